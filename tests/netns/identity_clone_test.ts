import { assertEquals, assertNotEquals } from "@std/assert";
import { onEveryRegistry } from "../double/overlay_registries.ts";
import { hostsOf, untilReachable } from "../double/overlay_rig.ts";
import { copyHost } from "../double/overlay_second_self.ts";
import { pairsWithout } from "../double/overlay_servers.ts";
import {
  addressOf,
  leaseOf,
  standingOf,
  underTraffic,
  untilContent,
  whoIsWhere,
  within,
} from "../double/overlay_standing.ts";

/** A host that proves nothing but the machine has to hear from the holder before it knows that it is another. */
const SILENCE_DEADLINE_MS = 45_000;
const DEADLINE_MS = 20_000;

onEveryRegistry(
  "a clone of a host takes a subnet and a MAC of its own, and the original keeps all that it had",
  {},
  async (overlay) => {
    const { lab, flags } = overlay;
    const [h1] = hostsOf(lab);
    const before = await standingOf(overlay);
    const original = leaseOf(before.leases, h1);
    const ways = pairsWithout(lab);
    const clone = await overlay.addHost();
    await copyHost(overlay, h1, clone, original.mac!);
    await underTraffic(ways, async () => {
      clone.startAgent(flags);
      await within("see a lease for the clone", SILENCE_DEADLINE_MS, async () => {
        return (await overlay.leases()).length === before.leases.length + 1;
      });
      // Until it has its own, the subnet file is the original's.
      await within("see the clone's own subnet", DEADLINE_MS, async () => {
        const text = await Deno.readTextFile(clone.subnetFilePath).catch(() => "");
        return text !== "" && text !== before.subnetFiles.get(h1.name);
      });
      await clone.waitForSubnets();
      await clone.makePod();
      for (const host of lab.hosts) await untilContent(overlay, host);
      await untilReachable(lab);
    });
    const after = await standingOf(overlay);
    const lease = leaseOf(after.leases, clone);
    assertNotEquals(lease.mac, original.mac);
    assertEquals(lease.addresses, [addressOf(clone)]);
    assertEquals(leaseOf(after.leases, h1).mac, original.mac);
    const others = after.leases.filter(({ key }) => key !== lease.key);
    assertEquals(whoIsWhere(others), whoIsWhere(before.leases));
    for (const [name, text] of before.subnetFiles) assertEquals(after.subnetFiles.get(name), text, name);
    for (const host of lab.hosts) await untilContent(overlay, host);
  },
);
