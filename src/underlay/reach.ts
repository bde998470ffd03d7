import { type Address, formatAddress } from "../model/address.ts";
import { OWN, type Reach } from "../model/reach.ts";
import type { Underlay } from "../model/underlay.ts";
import { type RouteLookup, RTN_LOCAL, RTN_MULTICAST, RTN_UNICAST } from "../netlink/route_lookup.ts";

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

function gatewayText(gateway: Address): string {
  return `the gateway ${formatAddress(gateway)}`;
}

/** Reports whether two places are the same, for the same reason. */
export function isSameReach(a: Reach, b: Reach): boolean {
  return a.place === b.place && a.why === b.why;
}
