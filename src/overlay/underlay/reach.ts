import { type Address, formatAddress } from "../../model/address.ts";
import { OWN, type Reach } from "../../model/reach.ts";
import type { Underlay } from "../../model/underlay.ts";
import { type RouteLookup } from "../../rtnetlink/route_lookup.ts";
import { RTN_LOCAL, RTN_MULTICAST, RTN_UNICAST } from "../../rtnetlink/route_header.ts";

/** On the segment of the underlay's link. */
export const ON_SEGMENT: Reach = { place: "segment", why: "" };

/**
 * Where an address is, by the kernel's way to it; `undefined` for no way. On the segment is what the kernel reaches
 * over the underlay's link without a gateway, as in flannel, where that link finds out who has an address: on a
 * tunnel, which hands packets to whom it likes, there is no segment.
 */
export function reachBy(
  way: Pick<RouteLookup, "linkIndex" | "type" | "gateway"> | undefined,
  underlay: Pick<Underlay, "linkIndex" | "linkName" | "resolvesNothing">,
): Reach {
  const elsewhere = (why: string): Reach => ({ place: "elsewhere", why });
  const { linkIndex, linkName, resolvesNothing = false } = underlay;
  if (way === undefined) return elsewhere("this host has no route to it");
  if (way.type === RTN_LOCAL) return { place: "nobody", why: OWN };
  if (way.type > RTN_LOCAL && way.type <= RTN_MULTICAST) {
    return { place: "nobody", why: "is not one of a host" };
  }
  if (way.type !== RTN_UNICAST) return elsewhere("its route refuses packets");
  if (way.gateway !== undefined) return elsewhere(`it is reached through ${gatewayText(way.gateway)}`);
  if (way.linkIndex !== linkIndex) return elsewhere("it is reached over another link");
  if (resolvesNothing) {
    return elsewhere(
      `${linkName} is a point-to-point link or has NOARP set, so that nobody can be chosen on it`,
    );
  }
  return ON_SEGMENT;
}

/**
 * Why a packet to an address does not leave this host by the kernel's way to it, as a clause; `undefined` if it does.
 *
 * @param isOverlay Whether a link is one of the overlay's own, which would send its packets to itself.
 */
export function whyNoWay(
  way: Pick<RouteLookup, "linkIndex" | "type"> | undefined,
  isOverlay: (linkIndex: number) => boolean,
): string | undefined {
  if (way === undefined) return "this host has no route to it";
  if (way.type !== RTN_UNICAST) return "its route refuses packets";
  return isOverlay(way.linkIndex) ? "its route leads into the overlay itself" : undefined;
}

function gatewayText(gateway: Address): string {
  return `the gateway ${formatAddress(gateway)}`;
}

/** Reports whether two places are the same, for the same reason. */
export function isSameReach(a: Reach, b: Reach): boolean {
  return a.place === b.place && a.why === b.why;
}
