import { type Address, bitsOf, familyOf, formatAddress, type Prefix } from "../model/address.ts";
import { prefixContains } from "../model/address.ts";
import type { LeasePart } from "../model/lease.ts";
import type { StateTables } from "../model/state.ts";
import type { UnderlayAddress } from "../model/underlay.ts";
import { pushRoute } from "./push_route.ts";

/** Reports whether `address` is reached over the underlay's link without a gateway. */
export function isOnSegment({ segments }: UnderlayAddress, address: Address): boolean {
  return segments.some((segment) => prefixContains(segment, address));
}

/** Why no peer can be reached at `address`, which is on a segment; `undefined` where one can. */
export function gatewayFault(underlay: UnderlayAddress, address: Address): string | undefined {
  const text = `its underlay address ${formatAddress(address)}`;
  if (address === underlay.address || address === underlay.advertised) return `${text} is this host's own`;
  if (underlay.segments.some((segment) => isEndOf(segment, address))) return `${text} is not one of a host`;
  return undefined;
}

/** Reports whether `address` is the first of a segment, or the broadcast address, its last in IPv4. */
function isEndOf(segment: Prefix, address: Address): boolean {
  const hostBits = bitsOf(familyOf(segment.address)) - segment.length;
  // Segments of two addresses have two hosts (RFC 3021, RFC 6164).
  if (hostBits < 2 || !prefixContains(segment, address)) return false;
  if (typeof address === "bigint") return address === segment.address;
  const offset = address - (segment.address as number);
  return offset === 0 || offset === 2 ** hostBits - 1;
}

/** Adds the route that sends packets for a peer's pods to the peer itself, as they are. */
export function pushDirectRoute(
  tables: StateTables,
  slot: number,
  { subnet, underlayAddress }: LeasePart,
): void {
  pushRoute(tables, subnet, { slot, gateway: underlayAddress, isOnlink: false });
}
