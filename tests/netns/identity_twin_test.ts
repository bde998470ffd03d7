import { assertEquals } from "@std/assert";
import { onEveryRegistry, type RegistryOverlay } from "../double/overlay_registries.ts";
import { hostsOf } from "../double/overlay_rig.ts";
import { connectAside } from "../double/overlay_second_self.ts";
import {
  addressOf,
  assertFewChanges,
  changeAddress,
  forgetNeighbours,
  leaseOf,
  standingOf,
  untilAsBefore,
  untilContested,
  untilNamed,
  within,
} from "../double/overlay_standing.ts";

onEveryRegistry(
  "a new host with another host's address takes nothing from it, and both are told of each other",
  { isOnRealServer: true },
  async (overlay) => {
    const { lab, flags } = overlay;
    const [h1, , h3] = hostsOf(lab);
    const before = await standingOf(overlay);
    const twin = await overlay.addHost();
    await connectAside(overlay, twin, h1);
    await changeAddress(twin, addressOf(twin), addressOf(h1));
    twin.startAgent(flags);
    const lease = await untilTwinHolds(overlay, before.leases.length + 1);
    await untilContested(overlay, h1, [lease]);
    await untilContested(overlay, twin, [leaseOf(before.leases, h1).key]);
    await untilNamed(overlay, h3, [leaseOf(before.leases, h1).key, lease]);
    await assertFewChanges(overlay);
    assertEquals(leaseOf(await overlay.leases(), h1).addresses, [addressOf(h1)]);
    assertEquals(await Deno.readTextFile(h1.subnetFilePath), before.subnetFiles.get(h1.name));

    await changeAddress(twin, addressOf(h1), addressOf(twin));
    await forgetNeighbours(overlay);
    await twin.waitForSubnets();
    await twin.makePod();
    await untilEveryLeaseStands(overlay, before.leases.map(({ subnets }) => subnets.join()));
    const after = await standingOf(overlay);
    await untilAsBefore(overlay, after);
    for (const [name, text] of before.subnetFiles) assertEquals(after.subnetFiles.get(name), text, name);
  },
);

onEveryRegistry(
  "a host that is given another host's address while it runs keeps its lease, and so does the other",
  {},
  async (overlay) => {
    const [h1, h2, h3] = hostsOf(overlay.lab);
    const before = await standingOf(overlay);
    const [first, third] = [h1, h3].map((host) => leaseOf(before.leases, host).key) as [string, string];
    await connectAside(overlay, h3, h1);
    await changeAddress(h3, addressOf(h3), addressOf(h1));
    await untilContested(overlay, h1, [third]);
    await untilContested(overlay, h3, [first]);
    await untilNamed(overlay, h2, [first, third]);
    await assertFewChanges(overlay);
    await changeAddress(h3, addressOf(h1), addressOf(h3));
    await forgetNeighbours(overlay);
    await untilAsBefore(overlay, before);
  },
);

/** Waits until there are `count` leases, and returns the key of the one that no host of before has. */
async function untilTwinHolds({ leases, lab }: RegistryOverlay, count: number): Promise<string> {
  let found = await leases();
  await within(`see ${count} leases`, 20_000, async () => {
    found = await leases();
    return found.length === count;
  }, () => JSON.stringify(found));
  const others = lab.hosts.slice(0, count - 1).map((host) => leaseOf(found, host).key);
  return found.find(({ key }) => !others.includes(key))!.key;
}

/** Waits until the leases on these subnets and those of the hosts that came since are at different addresses. */
async function untilEveryLeaseStands({ leases }: RegistryOverlay, subnets: readonly string[]): Promise<void> {
  let found = await leases();
  await within("see each lease at an address of its own", 20_000, async () => {
    found = await leases();
    const addresses = new Set(found.map(({ addresses }) => addresses.join()));
    return addresses.size === found.length && found.length === subnets.length + 1 &&
      subnets.every((subnet) => found.some((lease) => lease.subnets.join() === subnet));
  }, () => JSON.stringify(found));
}
