import { type Address, maskAddress, type Prefix } from "../../model/address.ts";
import { NO_SLOT, ROUTE, ROUTE_ONLINK, writeAddress, writeFamilyAddress } from "../../model/rows.ts";
import type { StateTables } from "../../model/state.ts";
import type { Table } from "../../model/table.ts";
import { RTN_BLACKHOLE, RTN_UNICAST, RTPROT_LODEN } from "../../rtnetlink/route_header.ts";

/** `IP6_RT_PRIO_USER`: what the kernel makes of an IPv6 route without a metric. */
const IPV6_METRIC = 1024;
/** In front of what others are likely to have to the same subnet; only a route without a metric is before it. */
const FIRST_METRIC = 1;
/** So many metrics are enough for 100,000 routes. */
const METRICS = 256;
/** Behind every other route to the same subnet. */
const LAST_METRIC = 0xffff_ffff;

/** Where packets to a peer's pods go next. */
export interface NextHop {
  readonly slot: number;
  readonly gateway: Address;
  /** Whether the gateway is taken to be on the link, unseen. */
  readonly isOnlink: boolean;
}

/** Adds the route to a peer's subnet. */
export function pushRoute(
  { routes }: StateTables,
  subnet: Prefix,
  { slot, gateway, isOnlink }: NextHop,
): void {
  const route = pushRow(routes, subnet, { slot, metric: metricOf(subnet), type: RTN_UNICAST });
  writeAddress(routes.storage, route + ROUTE.gateway, gateway);
  routes.storage[route + ROUTE.traits]! |= isOnlink ? ROUTE_ONLINK : 0;
}

/**
 * The metric of the route to a peer's subnet: in IPv4 one of 256, by the last bits of the subnet.
 *
 * Before it adds an IPv4 route the kernel looks for one with the same next hop among all that have the same hash
 * (`fib_find_info()`), in which the gateway has no part but the metric has: with one metric the time to add n routes
 * over one link grows with the square of n. IPv6 has no such search.
 */
export function metricOf({ address, length }: Prefix): number {
  if (typeof address !== "number") return IPV6_METRIC;
  const subnetNumber = length === 0 ? 0 : address >>> 32 - length;
  return FIRST_METRIC + subnetNumber % METRICS;
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
