import { assertEquals } from "@std/assert";
import { pathExists } from "../../src/lab/command.ts";
import { hostsOf, until, untilReady, withOverlay } from "../double/overlay_rig.ts";
import { fillFolder, mountSmallDisk } from "./disk.ts";

Deno.test("an agent that can write no line to its log does its work all the same", async () => {
  const disk = await Deno.makeTempDir({ prefix: "loden-full-" });
  try {
    await using _mounted = await mountSmallDisk(disk);
    await Deno.writeTextFile(`${disk}/agent.log`, "");
    await fillFolder(disk);
    await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
      const [host] = hostsOf(lab);
      await Deno.symlink(`${disk}/agent.log`, host.logPath);
      const agent = host.startAgent();
      for (const _round of ["at the start", "again, once it is removed"]) {
        await until("see the subnet file", async () => {
          assertEquals(agent.end, undefined);
          return await pathExists(host.subnetFilePath) ? true : undefined;
        });
        await untilReady(libc, host);
        await Deno.remove(host.subnetFilePath);
      }
    });
    assertEquals(await Deno.readTextFile(`${disk}/agent.log`), "");
  } finally {
    await Deno.remove(disk);
  }
});
