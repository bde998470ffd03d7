import { assertEquals, assertNotEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { onEveryRegistry } from "../double/overlay_registries.ts";
import { hostsOf, until, untilReachable } from "../double/overlay_rig.ts";
import { pairsWithout } from "../double/overlay_servers.ts";
import {
  addressOf,
  ip,
  leaseOf,
  standingOf,
  underTraffic,
  untilContent,
  whoIsWhere,
} from "../double/overlay_standing.ts";

/** What an image of a host's disk holds of Loden. */
const COPIED = ["boot.json", "leases.json", "subnet.env", "machine-id"];

onEveryRegistry(
  "a clone of a host takes a subnet and a MAC of its own, and the original keeps all that it had",
  {},
  async (overlay) => {
    const { lab, flags } = overlay;
    const [h1] = hostsOf(lab);
    await untilWritten(h1);
    const before = await standingOf(overlay);
    const original = leaseOf(before.leases, h1);
    const ways = pairsWithout(lab);
    const clone = await overlay.addHost();
    await copyHost(h1, clone, original.mac!);
    await underTraffic(ways, async () => {
      clone.startAgent(flags);
      await until("see a lease for the clone", async () => {
        return (await overlay.leases()).length === before.leases.length + 1 || undefined;
      });
      // Until it has its own, the subnet file is the original's.
      await until("see the clone's own subnet", async () => {
        const text = await Deno.readTextFile(clone.subnetFilePath).catch(() => "");
        return text !== "" && text !== before.subnetFiles.get(h1.name) || undefined;
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

/** Waits until an agent has written all that is copied. */
async function untilWritten({ name, directory }: LabHost): Promise<void> {
  for (const file of COPIED) {
    await until(`see ${file} of ${name}`, async () => {
      return await Deno.stat(`${directory}/${file}`).then(() => true, () => undefined);
    });
  }
}

/** Makes a host what it would be if it had been started from an image of another that runs: its link too. */
async function copyHost(original: LabHost, clone: LabHost, mac: string): Promise<void> {
  for (const file of COPIED) {
    await Deno.copyFile(`${original.directory}/${file}`, `${clone.directory}/${file}`);
  }
  const vxlan = ["type", "vxlan", "id", "1", "dev", "eth0", "local", addressOf(clone), "dstport", "8472"];
  await ip(clone, "link", "add", "flannel.1", "address", mac, ...vxlan, "nolearning");
}
