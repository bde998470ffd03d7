import { assertEquals } from "@std/assert";
import { pathExists } from "../../src/lab/command.ts";
import { hostsOf, until, untilReady, withOverlay } from "../double/overlay_rig.ts";

Deno.test("an agent that can write no line to its log does its work all the same", async () => {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
    const [host] = hostsOf(lab);
    // Whatever is written there, the disk is full (full(4)); it is never read to its end, as it has none.
    await Deno.symlink("/dev/full", host.logPath);
    try {
      const agent = host.startAgent();
      for (const _round of ["at the start", "again, once it is removed"]) {
        await until("see the subnet file", async () => {
          assertEquals(agent.end, undefined);
          return await pathExists(host.subnetFilePath) ? true : undefined;
        });
        await untilReady(libc, host);
        await Deno.remove(host.subnetFilePath);
      }
    } finally {
      await Deno.remove(host.logPath);
    }
  });
});
