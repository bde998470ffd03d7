import { assert, assertEquals } from "@std/assert";
import { logSince, until, untilReady, withOverlay } from "../double/overlay_rig.ts";

Deno.test("the subnet file, by which pods are started, comes behind links, routes and rules", async () => {
  await withOverlay({ hosts: 2, withAgents: false }, async (lab, libc) => {
    for (const host of lab.hosts) host.startAgent(["-ip-masq"]);
    for (const host of lab.hosts) {
      await untilReady(libc, host);
      const events = await until("read the log", async () => {
        const events = (await logSince(host, 0)).map(({ event }) => event as string);
        return events.includes("subnet file written") ? events : undefined;
      });
      const at = (event: string) => events.indexOf(event);
      assert(at("rules changed") >= 0 && at("link changed") >= 0, events.join("\n"));
      assertEquals(at("subnet file written") > at("rules changed"), true, events.join("\n"));
      assertEquals(at("subnet file written") > at("link changed"), true, events.join("\n"));
    }
  });
});
