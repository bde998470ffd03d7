import { type Address, AF_INET, type Family, familyOf } from "../../model/address.ts";
import { NetlinkError } from "../../linux/errno.ts";
import type { Libc } from "../../linux/libc.ts";
import type { ObservedLink } from "../../model/state.ts";
import type { NetlinkClient } from "../../netlink/client.ts";
import { dumpNeighbourEntries } from "../../rtnetlink/neighbour_entry.ts";
import { decodeRouteLookup, encodeRouteLookup } from "../../rtnetlink/route_lookup.ts";
import { type Flow, queryRoute, type RouteAnswer } from "../../rtnetlink/route_query.ts";
import { ruleInto, type WalkedFlow, walkRoute, type WalkStep } from "../../rtnetlink/route_walk.ts";
import { dumpRules, type ObservedRule } from "../../rtnetlink/rule.ts";
import { dumpTableRoutes } from "../../rtnetlink/table_route.ts";
import type { Way } from "./facts.ts";

/** Asks the kernel for the ways of packets. */
export class WayReader {
  readonly #rules = new Map<Family, readonly ObservedRule[]>();

  constructor(
    readonly libc: Libc,
    readonly client: NetlinkClient,
    readonly links: readonly ObservedLink[],
  ) {}

  /** The link of an index. */
  linkOf(linkIndex: number | undefined): ObservedLink | undefined {
    return this.links.find((link) => link.linkIndex === linkIndex);
  }

  #rulesOf(family: Family): readonly ObservedRule[] {
    const known = this.#rules.get(family) ?? dumpRules(this.client, family);
    this.#rules.set(family, known);
    return known;
  }

  /** Where the kernel sends a packet. */
  way(flow: Flow): Way {
    const answer = this.#ask(flow);
    const { route } = answer;
    const [hop] = route?.hops ?? [];
    const link = this.linkOf(hop?.linkIndex);
    const nextHop = hop === undefined ? undefined : hop.gateway ?? flow.destination;
    const input = this.linkOf(flow.inputLinkIndex);
    const inputLink = input?.name;
    const rule = route && ruleInto(
      {
        destination: flow.destination,
        ...flow.source !== undefined && { source: flow.source },
        ...inputLink !== undefined && { inputLink },
        ...portsOf(flow),
      },
      this.#rulesOf(familyOf(flow.destination)),
      { table: route.table, length: route.destination.length },
    );
    const neighbour = link === undefined || nextHop === undefined
      ? undefined
      : dumpNeighbourEntries(this.client, familyOf(nextHop), link.linkIndex)
        .find(({ address }) => address === nextHop);
    const refusal = route === undefined || route.hops.length === 0
      ? this.#walk(flow).findLast(({ role }) => role === "decides")
      : undefined;
    return {
      answer,
      rule: rule ?? refusal?.rule,
      inputLink: input,
      isStrict: input !== undefined && familyOf(flow.destination) === AF_INET && this.#isStrict(input.name),
      refusal,
      link,
      nextHop,
      neighbour,
      ...this.#mtu(flow.destination),
    };
  }

  /** Of some addresses that are no host's the kernel tells no route, with errors of its own. */
  #ask(flow: Flow): RouteAnswer {
    try {
      return queryRoute(this.client, flow);
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      return { errno: error.errno };
    }
  }

  /** The greater of the two counts: 1 is strict, 2 is not. */
  #isStrict(link: string): boolean {
    const values = ["all", link].map((name) => {
      try {
        return Number(this.libc.readSysctl(`/proc/sys/net/ipv4/conf/${name}/rp_filter`));
      } catch {
        return 0;
      }
    });
    return Math.max(...values) === 1;
  }

  /** Which rule and route refuse a packet, by all tables on its way. */
  #walk(flow: Flow): readonly WalkStep[] {
    const { destination, source, inputLinkIndex } = flow;
    const inputLink = this.linkOf(inputLinkIndex)?.name;
    const family = familyOf(destination);
    return walkRoute(
      {
        destination,
        ...source !== undefined && { source },
        ...inputLink !== undefined && { inputLink },
        ...portsOf(flow),
      },
      this.#rulesOf(family),
      (table) => dumpTableRoutes(this.client, family, table),
    );
  }

  /** What routers have told counts too. */
  #mtu(address: Address): Pick<Way, "mtuBytes" | "mtuEndsS"> {
    let found: Pick<Way, "mtuBytes" | "mtuEndsS"> = { mtuBytes: 0 };
    try {
      this.client.request(
        "ask for the way to an address",
        (writer, sequence) => encodeRouteLookup(writer, sequence, address),
        (message) => {
          const { mtuBytes, isMtuLearnt, expiresS } = decodeRouteLookup(message) ?? {};
          if (mtuBytes === undefined) return;
          found = { mtuBytes, ...isMtuLearnt && { mtuEndsS: expiresS! } };
        },
      );
    } catch {
      // There is no way, which is told by itself.
    }
    return found;
  }
}

function portsOf({ udpPort, udpSourcePort }: Flow): Pick<WalkedFlow, "udp"> {
  return udpPort === undefined ? {} : { udp: { sourcePort: udpSourcePort, destinationPort: udpPort } };
}
