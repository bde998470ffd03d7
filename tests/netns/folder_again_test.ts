import { dirname } from "node:path";
import { assertEquals, assertLess } from "@std/assert";
import { FolderWatch } from "../../src/linux/folder_watch.ts";
import { Libc } from "../../src/linux/libc.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { until, untilReady, withOverlay } from "../double/overlay_rig.ts";

/** What is heard of is put back in this time, on a busy machine too; the next pass is an hour away. */
const SOON_MS = 4000;
const CONFLIST = JSON.stringify({
  name: "cbr0",
  cniVersion: "1.0.0",
  plugins: [{ type: "flannel", delegate: { isDefaultGateway: true } }],
});

async function isThere(path: string): Promise<true | undefined> {
  return (await Deno.stat(path).catch(() => undefined)) && true;
}

/** Removes a folder, even if the agent writes to it meanwhile. */
async function removeFolder(path: string): Promise<void> {
  await until(`remove ${path}`, async () => {
    return await Deno.remove(path, { recursive: true }).then(() => true, () => undefined);
  });
}

/** Waits until the agent has written a file again, which it must do soon. */
async function untilBack(path: string): Promise<void> {
  const startMs = performance.now();
  await until(`see ${path} again`, () => isThere(path));
  assertLess(performance.now() - startMs, SOON_MS, path);
}

Deno.test("files of pods are put back at once, also after their folder was removed and made again, was there later than the agent, or was moved", async () => {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
    const [host] = lab.hosts as readonly LabHost[] as [LabHost];
    const subnetFile = `${host.directory}/run/flannel/subnet.env`;
    const conflist = `${host.directory}/etc/net.d/10-flannel.conflist`;
    const source = `${host.directory}/cfg/cni-conf.json`;
    host.startAgent([
      "-resync=3600",
      `-subnet-file=${subnetFile}`,
      `-cni-conf=${conflist}`,
      `-cni-conf-from=${source}`,
      "-cni-conf-render=false",
    ]);
    // It comes when the agent runs: a cluster mounts it late.
    await until("see the subnet file", () => isThere(subnetFile));
    await Deno.mkdir(dirname(source));
    await Deno.writeTextFile(source, CONFLIST);
    await untilBack(conflist);
    await untilReady(libc, host);
    for (const path of [subnetFile, conflist]) {
      await Deno.remove(path);
      await untilBack(path);
      await removeFolder(dirname(path));
      await untilBack(path);
      await Deno.remove(path);
      await untilBack(path);
      await Deno.rename(dirname(path), `${dirname(path)}.away`);
      await untilBack(path);
      await Deno.remove(path);
      await untilBack(path);
    }
    // The source is made again with another text, which is followed then.
    await Deno.remove(dirname(source), { recursive: true });
    await Deno.mkdir(dirname(source));
    for (const name of ["one", "two"]) {
      await Deno.writeTextFile(source, CONFLIST.replace("cbr0", name));
      const startMs = performance.now();
      await until(`see the conflist ${name}`, async () => {
        return (await Deno.readTextFile(conflist)).includes(`"${name}"`) || undefined;
      });
      assertLess(performance.now() - startMs, SOON_MS, name);
    }
  });
});

Deno.test("FolderWatch hears of a file in what was mounted over its folder, once it has looked, and again when that has gone", async () => {
  using libc = new Libc();
  await using watch = FolderWatch.open(libc);
  const controller = new AbortController();
  const running = watch.run({ signal: controller.signal });
  const path = await Deno.makeTempDir({ prefix: "loden-watch-" });
  let told = 0;
  watch.add(path, "watched", () => void told++);
  const hear = async (action: string, change: () => unknown) => {
    const before = told;
    await change();
    await until(action, () => told > before || undefined);
  };
  const run = async (command: string, ...args: string[]) => {
    assertEquals((await new Deno.Command(command, { args }).output()).code, 0);
  };
  const write = () => Deno.writeTextFile(`${path}/watched`, String(Math.random()));
  try {
    await run("mount", "-t", "tmpfs", "loden-test", path);
    try {
      await hear("hear of the mount", () => watch.recheck());
      await hear("hear of a file in it", write);
    } finally {
      await run("umount", path);
    }
    watch.recheck();
    await hear("hear of a file that was hidden", write);
  } finally {
    controller.abort();
    await running;
    await Deno.remove(path, { recursive: true });
  }
});
