import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import { addAddress, makeVeth } from "../../src/lab/wiring.ts";
import { formatMac, parseAddress } from "../../src/model/address.ts";
import { queryLink } from "../../src/rtnetlink/link.ts";
import type { RegistryOverlay } from "./overlay_registries.ts";
import { until } from "./overlay_rig.ts";
import { SERVER_ADDRESS } from "./overlay_servers.ts";
import { addressOf, ip } from "./overlay_standing.ts";

/** What an image of a host's disk holds of Loden; a lease cache only where the registry can be away. */
const COPIED = ["boot.json", "subnet.env", "machine-id"];
const CACHE = "leases.json";

/** The segment on which a twin reaches the registry: on its own it can't, as answers go to whom it resembles. */
const ASIDE = { twin: "198.51.100.4", servers: "198.51.100.254", length: 24 } as const;

/**
 * Gives a host a second card, on a segment that only the servers are on too, and has the servers remember where `other`
 * is: so both reach the registry, whichever answers for the address that they share.
 */
export async function connectAside(
  { lab, libc }: RegistryOverlay,
  host: LabHost,
  other: LabHost,
): Promise<void> {
  const ends = [{ netns: lab.underlay, name: "aside" }, { netns: host.netns, name: "aside" }] as const;
  const [port, card] = makeVeth(libc, ...ends);
  const { length } = ASIDE;
  addAddress(lab.underlay.client, port, { address: parseAddress(ASIDE.servers), length });
  addAddress(host.client, card, { address: parseAddress(ASIDE.twin), length });
  await ip(host, "route", "replace", SERVER_ADDRESS, "dev", "aside", "src", ASIDE.twin);
  const mac = formatMac(queryLink(other.client, UPLINK)!.mac!);
  const entry = [addressOf(other), "lladdr", mac, "dev", "switch", "nud", "permanent"];
  await lab.underlay.mustExec("ip", "neigh", "replace", ...entry);
}

/** Makes a host what it would be if it had been started from an image of another that runs: its link too. */
export async function copyHost(
  { name }: RegistryOverlay,
  original: LabHost,
  clone: LabHost,
  mac: string,
): Promise<void> {
  for (const file of name === "local" ? COPIED : [...COPIED, CACHE]) {
    const [from, to] = [original, clone].map(({ directory }) => `${directory}/${file}`) as [string, string];
    await until(`see ${file} of ${original.name}`, async () => {
      return await Deno.stat(from).then(() => true, () => undefined);
    });
    await Deno.copyFile(from, to);
  }
  const vxlan = ["type", "vxlan", "id", "1", "dev", "eth0", "local", addressOf(clone), "dstport", "8472"];
  await ip(clone, "link", "add", "flannel.1", "address", mac, ...vxlan, "nolearning");
}
