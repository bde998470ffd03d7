import { assert, assertEquals } from "@std/assert";
import { onEveryRegistry } from "../double/overlay_registries.ts";
import { hostsOf } from "../double/overlay_rig.ts";
import { pairsWithout } from "../double/overlay_servers.ts";
import {
  addressOf,
  leaseOf,
  standingOf,
  underTraffic,
  untilContested,
  within,
} from "../double/overlay_standing.ts";

/** How long the node is watched, and how many changes are no fight. */
const COUNT_MS = 3000;
const FEW_CHANGES = 10;

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
      const first = await overlay.changes();
      const endsAtMs = performance.now() + COUNT_MS;
      let count = 0;
      await within("count changes", 2 * COUNT_MS, async () => {
        count = await overlay.changes() - first;
        return performance.now() >= endsAtMs || count >= FEW_CHANGES;
      });
      assert(count < FEW_CHANGES, `the node was changed ${count} times within ${COUNT_MS} ms`);
      assertEquals(leaseOf(await overlay.leases(), h1).addresses, [addressOf(h1)]);
      assertEquals(await Deno.readTextFile(h1.subnetFilePath), before.subnetFiles.get(h1.name));
      await second.stopAgent();
    });
  },
);
