import { assertEquals } from "@std/assert";
import { onEveryRegistry, type RegistryOverlay } from "../double/overlay_registries.ts";
import { hostsOf } from "../double/overlay_rig.ts";
import { pairsWithout } from "../double/overlay_servers.ts";
import {
  addressOf,
  leaseOf,
  standingOf,
  underTraffic,
  untilAsBefore,
  untilContent,
  untilContested,
  within,
} from "../double/overlay_standing.ts";

/** A claim that is gone hurts no host from one pass on. */
const AT_ONCE_MS = 5000;
const NOBODY = { address: "198.51.100.9", mac: "0e:00:00:00:01:09" } as const;

onEveryRegistry(
  "a host whose MAC or address is claimed by a foreign lease says by whom, until that is taken away",
  {},
  async (overlay) => {
    const [h1] = hostsOf(overlay.lab);
    const before = await standingOf(overlay);
    const own = leaseOf(before.leases, h1);
    const claims = [{ ...NOBODY, mac: own.mac! }, { ...NOBODY, address: addressOf(h1) }];
    await underTraffic(pairsWithout(overlay.lab), async () => {
      for (const claim of claims) {
        const key = await overlay.put(claim);
        await untilContested(overlay, h1, [key]);
        await overlay.remove(key);
        await untilContent(overlay, h1, AT_ONCE_MS);
        await untilAsBefore(overlay, before);
      }
    });
  },
);

onEveryRegistry(
  "a node that comes with another node's podCIDR takes nothing from it, also if its name comes first",
  {
    registries: ["Kubernetes"],
    isOnRealServer: true,
    // Before h1.
    nodeName: (hostName) => hostName === "h4" ? "a4" : hostName,
  },
  async (overlay) => {
    const { lab, flags } = overlay;
    const settled = [...hostsOf(lab)];
    const [h1] = hostsOf(lab);
    const before = await standingOf(overlay);
    await underTraffic(pairsWithout(lab), async () => {
      const newcomer = await overlay.addHost(leaseOf(before.leases, h1).subnets[0]!);
      newcomer.startAgent(flags);
      await untilContested(overlay, newcomer, ["h1"]);
      await untilContested(overlay, h1, ["a4"]);
      await newcomer.stopAgent();
      await overlay.remove("a4");
      await untilOnly(overlay, before.leases.length);
      for (const host of settled) await untilContent(overlay, host, AT_ONCE_MS);
    });
    assertEquals((await overlay.leases()).map(({ key }) => key), ["h1", "h2", "h3"]);
  },
);

async function untilOnly({ leases }: RegistryOverlay, count: number): Promise<void> {
  await within(`see ${count} leases`, AT_ONCE_MS, async () => (await leases()).length === count);
}
