import {
  type Address,
  familyOf,
  formatAddress,
  formatPrefix,
  maskAddress,
  type Prefix,
  prefixContains,
} from "../model/address.ts";
import type { Finding as Attachment } from "./leftovers.ts";

/** A pod with addresses outside of this host's subnets. */
export interface OldPod {
  readonly containerId: string;
  readonly ifname: string;
  /** Those outside. */
  readonly addresses: readonly Address[];
}

/** Of several addresses so many are named. */
const NAMED_ADDRESSES = 5;

/** Reports whether an address is in none of the subnets. */
export function isOutside(address: Address, subnets: readonly Prefix[]): boolean {
  return !subnets.some((subnet) => prefixContains(subnet, address));
}

/** Of what holds addresses outside of the own subnets, what is not known to be gone. */
export function oldPods(attachments: readonly Attachment[], own: readonly Prefix[]): OldPod[] {
  return attachments.flatMap(({ fate, containerId, ifname, reservations }) => {
    const addresses = reservations.map(({ address }) => address).filter((address) => isOutside(address, own));
    return fate === "stale" || addresses.length === 0 ? [] : [{ containerId, ifname, addresses }];
  });
}

/**
 * Says of the pods of each earlier subnet how many they are and what must become of them, one sentence a subnet.
 *
 * @param held The subnets that this host is known to have had; another is taken to be as long as those that it has.
 */
export function describeOldPods(
  pods: readonly OldPod[],
  { own, held }: { readonly own: readonly Prefix[]; readonly held: readonly Prefix[] },
): string[] {
  const subnetOf = (address: Address): string => {
    const known = held.find((subnet) => prefixContains(subnet, address));
    const like = known ?? own.find((subnet) => familyOf(subnet.address) === familyOf(address));
    if (like === undefined) return formatAddress(address);
    return formatPrefix({ address: maskAddress(address, like.length), length: like.length });
  };
  const bySubnet = new Map<string, Address[][]>();
  for (const { addresses } of pods) {
    const subnet = [...new Set(addresses.map(subnetOf))].sort().join(" and ");
    bySubnet.set(subnet, [...bySubnet.get(subnet) ?? [], [...addresses]]);
  }
  const now = own.map(formatPrefix).join(" and ");
  return [...bySubnet].sort(([a], [b]) => a < b ? -1 : 1).map(([subnet, addresses]) => {
    const count = addresses.length;
    const all = addresses.flat().map(formatAddress).sort();
    const named = all.slice(0, NAMED_ADDRESSES).join(", ") + (all.length > NAMED_ADDRESSES ? ", …" : "");
    const who = count === 1 ? "1 pod has addresses" : `${count} pods have addresses`;
    return `${who} of ${subnet} and must be re-created: this host has ${now} now, so other hosts do not reach ${
      count === 1 ? "it" : "them"
    } (${named})`;
  });
}
