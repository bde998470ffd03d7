import { maskAddress, type Prefix } from "../model/address.ts";
import type { Address } from "../model/address.ts";
import { NEXT_HOP, NO_SLOT, ROUTE, ROUTE_ONLINK, writeAddress, writeFamilyAddress } from "../model/rows.ts";
import type { StateTables } from "../model/state.ts";
import type { Table } from "../model/table.ts";
import { RTN_BLACKHOLE, RTN_UNICAST, RTPROT_LODEN } from "../netlink/route.ts";

/** `IP6_RT_PRIO_USER`: what the kernel makes of an IPv6 route without a metric. */
const IPV6_METRIC = 1024;
/** Behind every other route to the same subnet. */
const LAST_METRIC = 0xffff_ffff;

/** Which way packets to a peer's pods go. */
export interface Way {
  readonly slot: number;
  readonly gateway: Address;
  /** Whether the gateway is taken to be on the link, unseen. */
  readonly isOnlink: boolean;
}

/**
 * Adds the route to a peer's subnet, and its next hop.
 *
 * The next hop's id is the subnet's address, so that a peer has the same one whichever way it is reached: another way
 * is another value of it, and the route stays.
 */
export function pushRoute(
  { nextHops, routes }: StateTables,
  subnet: Prefix,
  { slot, gateway, isOnlink }: Way,
  { hasNextHopObjects }: { readonly hasNextHopObjects: boolean },
): void {
  const onlink = isOnlink ? ROUTE_ONLINK : 0;
  const metric = typeof gateway === "number" ? 0 : IPV6_METRIC;
  const route = pushRow(routes, subnet, { slot, metric, type: RTN_UNICAST });
  const { address } = subnet;
  // IPv4 only: there the kernel searches all routes of a link for one with the same gateway, so that without
  // next-hop objects the time grows with the square of the peers. IPv6 has no such search.
  if (!hasNextHopObjects || typeof address !== "number" || address === 0) {
    writeAddress(routes.storage, route + ROUTE.gateway, gateway);
    routes.storage[route + ROUTE.traits]! |= onlink;
    return;
  }
  routes.storage[route + ROUTE.nextHopId] = address;
  const nextHop = nextHops.push();
  nextHops.storage[nextHop] = address;
  nextHops.storage[nextHop + NEXT_HOP.slot] = slot;
  writeFamilyAddress(nextHops.storage, nextHop + NEXT_HOP.family, gateway);
  nextHops.storage[nextHop + NEXT_HOP.traits] = RTPROT_LODEN | onlink;
}

/**
 * Adds a route that drops what no other route to `subnet` takes, as that of the bridge does: packets to pods that are
 * gone would else go round between this host and its default gateway.
 */
export function pushBlackhole({ routes }: StateTables, subnet: Prefix): void {
  pushRow(routes, subnet, { slot: NO_SLOT, metric: LAST_METRIC, type: RTN_BLACKHOLE });
}

function pushRow(
  routes: Table,
  { address, length }: Prefix,
  { slot, metric, type }: { slot: number; metric: number; type: number },
): number {
  const route = routes.push();
  const words = routes.storage;
  writeFamilyAddress(words, route, maskAddress(address, length));
  words[route + ROUTE.length] = length;
  words[route + ROUTE.metric] = metric;
  words[route + ROUTE.slot] = slot;
  words[route + ROUTE.traits] = RTPROT_LODEN | type << 16;
  return route;
}
