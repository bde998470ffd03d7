import {
  type Address,
  formatAddress,
  formatPrefix,
  type Ipv4,
  isOverlapping,
  maskAddress,
  parsePrefix,
  type Prefix,
  prefixContains,
} from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";

/** What a part of a remote lease is checked against. */
export interface PartContext {
  /** The cluster network of the part's family. */
  readonly network: Prefix;
  readonly own: Lease;
  /** Whether the same lease has a part of this family already. */
  readonly isSecond: boolean;
}

/** Addresses that no other host can be reached at: RFC 6890. */
const UNREACHABLE: readonly (readonly [prefix: Prefix, what: string])[] = [
  ["0.0.0.0/8", "is not the address of a host"],
  ["127.0.0.0/8", "is a loopback address"],
  ["224.0.0.0/4", "is a multicast address"],
  ["240.0.0.0/4", "is a reserved or broadcast address"],
  ["::/128", "is not the address of a host"],
  ["::1/128", "is a loopback address"],
  ["::ffff:0:0/96", "is an IPv4 address written as IPv6"],
  ["ff00::/8", "is a multicast address"],
].map(([prefix, what]) => [parsePrefix(prefix!), what!]);

/** Why a part of a remote lease can't be built upon, without a look at other remote leases; `undefined` if it can. */
export function checkPart(part: LeasePart, { network, own, isSecond }: PartContext): string | undefined {
  const { subnet, underlayAddress } = part;
  const text = () => `subnet ${formatPrefix(subnet)}`;
  if (isSecond) return `${text()} is a second one of its family`;
  if (subnet.length === 0) return `${text()} is everything`;
  if (maskAddress(subnet.address, subnet.length) !== subnet.address) return `${text()} has host bits`;
  if (subnet.length < network.length || !prefixContains(network, subnet.address)) {
    return `${text()} is not in the cluster network ${formatPrefix(network)}`;
  }
  const address = () => `underlay address ${formatAddress(underlayAddress)}`;
  if (typeof underlayAddress !== typeof subnet.address) {
    return `${address()} is not of the family of ${text()}`;
  }
  const unreachable = unreachableReason(underlayAddress);
  if (unreachable !== undefined) return `${address()} ${unreachable}`;
  if (prefixContains(subnet, underlayAddress)) return `${address()} lies in its own ${text()}`;
  for (const ours of own.parts) {
    if (isOverlapping(ours.subnet, subnet)) return `${text()} overlaps ours, ${formatPrefix(ours.subnet)}`;
    if (ours.underlayAddress === underlayAddress) return `${address()} is ours`;
  }
  return undefined;
}

/**
 * Whether a part of a lease claims what this host claims, so that others have to decide between the two. A wider or a
 * narrower subnet is no contest: all hosts take the side of the usual length.
 */
export function isContest({ subnet, underlayAddress }: LeasePart, own: Lease): boolean {
  return own.parts.some((ours) =>
    ours.underlayAddress === underlayAddress ||
    ours.subnet.address === subnet.address && ours.subnet.length === subnet.length
  );
}

function unreachableReason(address: Address): string | undefined {
  // Almost every address is an IPv4 address in between.
  if (typeof address === "number" && isOrdinary(address)) return undefined;
  return UNREACHABLE.find(([prefix]) => prefixContains(prefix, address))?.[1];
}

function isOrdinary(address: Ipv4): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}
