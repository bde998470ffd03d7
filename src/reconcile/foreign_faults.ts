import { countIn, type PeerFault } from "../overlay/backend/backend.ts";
import { type Family, familyOf, formatPrefix, type Prefix } from "../model/address.ts";
import { ROUTE, routeDestination, routeProtocol } from "../model/rows.ts";
import type { Condition } from "../model/condition.ts";
import type { DesiredState } from "../model/state.ts";
import type { Table } from "../model/table.ts";
import { RTPROT_KERNEL } from "../rtnetlink/route_header.ts";
import { findOwnTaken, type OwnRouteLinks } from "./own_routes.ts";
import type { FamilyReach } from "./report.ts";
import { covers } from "./cover.ts";
import { describeForeign, type ForeignHit, isSelective } from "./foreign_routes.ts";

/** Peers that are named at most; `ip route` has them all. */
const NAMED = 200;

/** What is wanted, as far as it says whose a route is. */
export interface WantedRoutes {
  readonly state: Pick<DesiredState, "routes">;
  readonly faults: readonly PeerFault[];
  readonly reach: readonly FamilyReach[];
  /** The host that a subnet is of. */
  readonly hostOf: (subnet: Prefix) => string | undefined;
}

/** Who is left out or cut off. */
export interface JoinedFaults {
  readonly faults: readonly PeerFault[];
  /** Without those to whose whole subnet another route leads. */
  readonly reach: readonly FamilyReach[];
}

/** Says of which peers' packets others' routes take. The answer keeps its identity while nothing changes. */
export class ForeignFaults {
  readonly #linkName: (linkIndex: number) => string | undefined;
  #last:
    | { readonly before: WantedRoutes; readonly key: string; readonly joined: JoinedFaults }
    | undefined;

  readonly #isBeside: (own: readonly Prefix[]) => OwnRouteLinks["isBeside"];

  /**
   * @param linkName The name of a link of the kernel's index.
   * @param isBeside Tells for one look of the links which have no pods behind them; of none if absent.
   */
  constructor(
    linkName: (linkIndex: number) => string | undefined,
    isBeside: (own: readonly Prefix[]) => OwnRouteLinks["isBeside"] = () => () => false,
  ) {
    this.#linkName = linkName;
    this.#isBeside = isBeside;
  }

  /** Says what a foreign route is, as iproute2 prints it. */
  describe(foreign: Table, row: number): string {
    return describeForeign(foreign, row, this.#linkName);
  }

  /** What is to be known of others' routes that take packets for this host's own pods. */
  own(subnets: readonly Prefix[], foreign: Table): readonly Condition[] {
    return findOwnTaken(subnets, foreign, { name: this.#linkName, isBeside: this.#isBeside(subnets) });
  }

  /**
   * The peers that were left out, and those whose packets others' routes take.
   *
   * @param left Those of the hits that come back each time that they are taken over.
   */
  join(
    wanted: WantedRoutes,
    foreign: Table,
    hits: readonly ForeignHit[],
    left: ReadonlySet<ForeignHit> = new Set(),
  ): JoinedFaults {
    const reasons = new Map<number, string>();
    for (const hit of hits) {
      if (hit.isAlike) continue;
      if (reasons.size >= NAMED) break;
      if (!reasons.has(hit.row)) {
        reasons.set(hit.row, this.#reason(hit, wanted, foreign, left.has(hit)));
      }
    }
    if (reasons.size === 0) return { faults: wanted.faults, reach: wanted.reach };
    const whole = wholeRows(wanted.state.routes, foreign, hits);
    const key = [[...whole].join(), ...[...reasons].map(([row, reason]) => `${row} ${reason}`)].join("\n");
    if (
      this.#last?.before.faults === wanted.faults && this.#last.before.reach === wanted.reach &&
      this.#last.key === key
    ) return this.#last.joined;
    const more = [...reasons].map(([row, reason]): PeerFault => {
      const subnet = subnetOf(wanted, row);
      const host = wanted.hostOf(subnet) ?? formatPrefix(subnet);
      return { host, reason, family: familyOf(subnet.address), taken: whole.has(row) ? "whole" : "part" };
    });
    const taken = new Map<Family, number>();
    for (const row of whole) countIn(taken, familyOf(subnetOf(wanted, row).address));
    const reach = wanted.reach.map((one) => ({
      ...one,
      reached: Math.max(0, one.reached - (taken.get(one.family) ?? 0)),
    }));
    const joined = { faults: [...wanted.faults, ...more], reach };
    this.#last = { before: wanted, key, joined };
    return joined;
  }

  #reason(
    { row, foreignRow, kind }: ForeignHit,
    wanted: WantedRoutes,
    foreign: Table,
    isLeft: boolean,
  ): string {
    const route = this.describe(foreign, foreignRow);
    const subnet = formatPrefix(subnetOf(wanted, row));
    if (kind === "part") return `route ${route}, which is not ours, takes a part of ${subnet}; delete it`;
    const remedy = isLeft
      ? "it comes back each time that it is taken over: end what adds it"
      : routeProtocol(foreign.words, foreignRow * ROUTE.words) === RTPROT_KERNEL
      ? "it comes with an address of that link: change that, or the peer's subnet"
      : "delete it, or let ours take its place with -take-foreign-routes";
    return `route ${route}, which is not ours, takes the packets for ${subnet}; ${remedy}`;
  }
}

/** The rows to whose whole destination others' routes lead, by itself or part by part. */
function wholeRows(desired: Table, foreign: Table, hits: readonly ForeignHit[]): Set<number> {
  const whole = new Set<number>();
  const parts = new Map<number, Prefix[]>();
  for (const { row, foreignRow, kind, isAlike } of hits) {
    if (isAlike || whole.has(row)) continue;
    if (kind !== "part") whole.add(row);
    else if (!isSelective(foreign, foreignRow)) {
      const part = routeDestination(foreign.words, foreignRow * ROUTE.words);
      const known = parts.get(row);
      if (known === undefined) parts.set(row, [part]);
      else known.push(part);
    }
  }
  for (const [row, prefixes] of parts) {
    const { length } = routeDestination(desired.words, row * ROUTE.words);
    if (!whole.has(row) && covers(prefixes, length)) whole.add(row);
  }
  return whole;
}

function subnetOf({ state: { routes } }: WantedRoutes, row: number): Prefix {
  return routeDestination(routes.words, row * ROUTE.words);
}
