import { type Address, FAMILIES, type Family } from "../../model/address.ts";
import type { ObservedAddress, ObservedLink } from "../../model/state.ts";
import { dumpAddresses } from "../../rtnetlink/address.ts";
import type { NetlinkClient } from "../../netlink/client.ts";
import { EACCES, EINVAL, NetlinkError } from "../../linux/errno.ts";
import { dumpLinks } from "../../rtnetlink/link.ts";
import {
  decodeDefaultRoute,
  decodeRouteLookup,
  type DefaultRoute,
  encodeDefaultRouteDump,
  encodeRouteLookup,
  type RouteLookup,
} from "../../rtnetlink/route_lookup.ts";

const ENETUNREACH = 101;
const EHOSTUNREACH = 113;
/** The kernel's words for no route, and for routes that refuse: unreachable, prohibit, blackhole. */
const NO_WAY: readonly number[] = [ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL];

/** Where the kernel would send a packet. */
export type ReachedBy = Pick<RouteLookup, "linkIndex" | "source" | "mtuBytes" | "isMtuLearnt">;

/** What is known about this host's network. Lists are in the kernel's order. */
export interface HostNetwork {
  readonly links: readonly ObservedLink[];
  readonly addresses: readonly ObservedAddress[];
  readonly defaultRoutes: readonly DefaultRoute[];
  /** Asks the kernel for its route to an address; absent where it has none. */
  readonly reach?: (address: Address) => ReachedBy | undefined;
}

/**
 * Reads what the choice of the underlay is made from: links, addresses and default routes of this host.
 *
 * @throws {NetlinkError} If the kernel refused.
 */
export function observeHostNetwork(client: NetlinkClient): HostNetwork {
  return {
    links: dumpLinks(client),
    addresses: dumpAddresses(client, 0),
    defaultRoutes: FAMILIES.flatMap((family) => dumpDefaultRoutes(client, family)),
    reach: (address) => lookUp(client, address),
  };
}

function dumpDefaultRoutes(client: NetlinkClient, family: Family): DefaultRoute[] {
  const routes: DefaultRoute[] = [];
  client.dump(
    "read default routes",
    (writer, sequence) => encodeDefaultRouteDump(writer, sequence, family),
    () => routes.length = 0,
    (message) => {
      const route = decodeDefaultRoute(message);
      if (route !== undefined) routes.push(route);
    },
  );
  return routes;
}

/** How the kernel would reach `address`; `undefined` if it has no route there, or does not say. */
function lookUp(client: NetlinkClient, address: Address): RouteLookup | undefined {
  try {
    return askWay(client, address, 0);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
  }
}

/**
 * How the kernel would reach `address`, over one link or (0) any; `undefined` if it has no route there.
 *
 * @throws {NetlinkError} If it does not say.
 */
export function askWay(client: NetlinkClient, address: Address, linkIndex: number): RouteLookup | undefined {
  let lookup: RouteLookup | undefined;
  try {
    client.request(
      "look up a route",
      (writer, sequence) => encodeRouteLookup(writer, sequence, address, linkIndex),
      (message) => lookup = decodeRouteLookup(message) ?? lookup,
    );
  } catch (error) {
    if (!(error instanceof NetlinkError) || !NO_WAY.includes(error.errno)) throw error;
  }
  return lookup;
}
