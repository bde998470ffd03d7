import {
  type Address,
  bitsOf,
  familyOf,
  formatAddress,
  formatPrefix,
  type Prefix,
  prefixContains,
} from "../../model/address.ts";
import type { LeasePart } from "../../model/lease.ts";
import { OWN, type Reach } from "../../model/reach.ts";
import type { StateTables } from "../../model/state.ts";
import type { UnderlayAddress } from "../../model/underlay.ts";
import type { PeerFault } from "./backend.ts";
import { pushRoute } from "./push_route.ts";

/**
 * Where another host is that says to be at `address`. The kernel was asked; where it was not, the prefixes of the
 * link's own addresses stand in.
 */
export function reachOf(underlay: UnderlayAddress, address: Address): Reach {
  const { segments, reaches } = underlay;
  const asked = reaches?.get(address);
  if (asked?.place === "elsewhere" || asked?.place === "nobody") return asked;
  const known = asked ?? bySegments(underlay, address);
  if (known.place !== "segment") return known;
  const nobody = (why: string): Reach => ({ place: "nobody", why });
  if (address === underlay.address || address === underlay.advertised) return nobody(OWN);
  return segments.some((segment) => isEndOf(segment, address)) ? nobody("is not one of a host") : known;
}

function bySegments({ segments }: UnderlayAddress, address: Address): Reach {
  const place = segments.some((segment) => prefixContains(segment, address)) ? "segment" : "elsewhere";
  return { place, why: segments.map(formatPrefix).join(", ") || "none" };
}

/** Why a peer is left out where no other host can be at its address. */
export function nobodyAt(host: string, address: Address, { why }: Reach): PeerFault {
  const isSelf = why === OWN;
  const reason = `its underlay address ${formatAddress(address)} ${why}`;
  return { host, reason, family: familyOf(address), ...isSelf && { isSelf } };
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
