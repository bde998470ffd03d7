import { assertEquals, assertStringIncludes } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { STANDARD_PLUGINS } from "../plugin/plugin_host.ts";
import { statusOf, until, untilReady, withOverlay } from "../double/overlay_rig.ts";

interface World {
  readonly host: LabHost;
  readonly libc: Libc;
  readonly folder: string;
  readonly conflistPath: string;
}

async function withPluginFolder(run: (world: World) => Promise<void>): Promise<void> {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
    const [host] = lab.hosts as readonly LabHost[] as [LabHost];
    const folder = `${host.directory}/bin`;
    await Deno.mkdir(folder);
    await Deno.mkdir(`${host.directory}/net.d`);
    await run({ host, libc, folder, conflistPath: `${host.directory}/net.d/10-flannel.conflist` });
  });
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

async function untilUnready({ host, libc }: World, isWanted: (reasons: string) => boolean): Promise<string> {
  let seen = "";
  return await until(`hear why ${host.name} is not ready`, async () => {
    seen = (await statusOf(libc, host))?.reasons.join("\n") ?? "";
    return isWanted(seen) ? seen : undefined;
  }, () => seen);
}

Deno.test("no conflist is written before the plugins that it names are there, and at once when they are", async () => {
  await withPluginFolder(async (world) => {
    const { host, libc, folder, conflistPath } = world;
    for (const type of ["bridge", "portmap"]) {
      await Deno.symlink(`${STANDARD_PLUGINS}/${type}`, `${folder}/${type}`);
    }
    await Deno.writeTextFile(`${folder}/host-local`, "no program");
    await Deno.chmod(`${folder}/host-local`, 0o644);
    host.startAgent([`-cni-conf=${conflistPath}`, `-cni-bin-dir=${folder}`]);
    const reasons = await untilUnready(world, (reasons) => reasons.includes("host-local"));
    assertStringIncludes(
      reasons,
      `${folder}/host-local is not there, which the conflist ${conflistPath} names`,
    );
    assertStringIncludes(reasons, "install it (containernetworking-plugins)");
    assertEquals(await isThere(conflistPath), false);

    await Deno.remove(`${folder}/host-local`);
    await Deno.symlink(`${STANDARD_PLUGINS}/host-local`, `${folder}/host-local`);
    await until("see the conflist", async () => await isThere(conflistPath) || undefined);
    await untilReady(libc, host);

    // What is there stays, also when a plugin goes.
    await Deno.remove(`${folder}/bridge`);
    await untilUnready(world, (reasons) => reasons.includes(`${folder}/bridge is not there`));
    const before = await Deno.readTextFile(conflistPath);
    await host.stopAgent();
    host.startAgent([`-cni-conf=${conflistPath}`, `-cni-bin-dir=${folder}`, "-mtu=1300"]);
    await until("see the new MTU", async () => {
      return (await Deno.readTextFile(conflistPath)).includes('"mtu": 1250') || undefined;
    }, () => before);
    await untilUnready(world, (reasons) => reasons.includes(`${folder}/bridge is not there`));
    await Deno.symlink(`${STANDARD_PLUGINS}/bridge`, `${folder}/bridge`);
    await untilReady(libc, host);
  });
});

Deno.test("where no flag names the runtime's folder a missing plugin is a note, and the conflist is written", async () => {
  await withPluginFolder(async ({ host, libc, conflistPath }) => {
    const source = `${host.directory}/cni-conf.json`;
    const plugins = [{ type: "flannel" }, { type: "lodentest-none" }];
    await Deno.writeTextFile(source, JSON.stringify({ name: "cbr0", plugins }));
    host.startAgent([`-cni-conf=${conflistPath}`, `-cni-conf-from=${source}`]);
    await untilReady(libc, host);
    assertEquals(await isThere(conflistPath), true);
    const { notes } = (await statusOf(libc, host))!;
    assertEquals(notes.filter((note) => note.includes("lodentest-none")).length, 1, notes.join("\n"));
  });
});
