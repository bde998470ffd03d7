import { assertEquals } from "@std/assert";
import { onEveryRegistry } from "../double/overlay_registries.ts";
import { hostsOf } from "../double/overlay_rig.ts";
import { pairsWithout } from "../double/overlay_servers.ts";
import {
  addressOf,
  assertFewChanges,
  leaseOf,
  standingOf,
  underTraffic,
  untilContested,
} from "../double/overlay_standing.ts";

onEveryRegistry(
  "a second host that says it is a node that has a host gives way to the first, and both say so",
  { registries: ["Kubernetes"], isOnRealServer: true, nodeName: (name) => name === "h4" ? "h1" : name },
  async (overlay) => {
    const { lab, flags } = overlay;
    const [h1] = hostsOf(lab);
    const before = await standingOf(overlay);
    await underTraffic(pairsWithout(lab, h1), async () => {
      const second = await lab.addHost();
      second.startAgent(flags);
      await untilContested(overlay, second, ["h1"]);
      await untilContested(overlay, h1, ["h1"]);
      await assertFewChanges(overlay);
      assertEquals(leaseOf(await overlay.leases(), h1).addresses, [addressOf(h1)]);
      assertEquals(await Deno.readTextFile(h1.subnetFilePath), before.subnetFiles.get(h1.name));
      await second.stopAgent();
    });
  },
);
