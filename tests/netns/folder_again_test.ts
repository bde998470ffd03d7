import { dirname } from "node:path";
import { assertLess } from "@std/assert";
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
