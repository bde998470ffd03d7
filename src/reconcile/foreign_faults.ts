import type { PeerFault } from "../backend/backend.ts";
import { formatPrefix, type Prefix } from "../model/address.ts";
import { ROUTE, routeDestination, routeProtocol } from "../model/rows.ts";
import type { DesiredState } from "../model/state.ts";
import type { Table } from "../model/table.ts";
import { RTPROT_KERNEL } from "../netlink/route.ts";
import { describeForeign, type ForeignHit } from "./foreign_routes.ts";

/** Peers that are named at most; `ip route` has them all. */
const NAMED = 200;

/** What is wanted, as far as it says whose a route is. */
export interface WantedRoutes {
  readonly state: Pick<DesiredState, "routes">;
  readonly faults: readonly PeerFault[];
  /** The host that a subnet is of. */
  readonly hostOf: (subnet: Prefix) => string | undefined;
}

/** Who is left out or cut off. */
export interface JoinedFaults {
  readonly faults: readonly PeerFault[];
  /** Hosts to whose whole subnet, of one family at least, another route leads. */
  readonly cutOff: number;
}

/** Says of which peers' packets others' routes take. The answer keeps its identity while nothing changes. */
export class ForeignFaults {
  readonly #linkName: (linkIndex: number) => string | undefined;
  #last:
    | { readonly before: readonly PeerFault[]; readonly key: string; readonly joined: JoinedFaults }
    | undefined;

  /** @param linkName The name of a link of the kernel's index. */
  constructor(linkName: (linkIndex: number) => string | undefined) {
    this.#linkName = linkName;
  }

  /** The peers that were left out, and those whose packets others' routes take. */
  join(wanted: WantedRoutes, foreign: Table, hits: readonly ForeignHit[]): JoinedFaults {
    const reasons = new Map<number, string>();
    for (const hit of hits) {
      if (hit.isAlike) continue;
      if (reasons.size >= NAMED) break;
      if (!reasons.has(hit.row)) reasons.set(hit.row, this.#reason(hit, wanted, foreign));
    }
    if (reasons.size === 0) return { faults: wanted.faults, cutOff: 0 };
    const whole = new Set(hits.flatMap(({ row, kind, isAlike }) => kind === "part" || isAlike ? [] : row));
    const key = [whole.size, ...[...reasons].map(([row, reason]) => `${row} ${reason}`)].join("\n");
    if (this.#last?.before === wanted.faults && this.#last.key === key) return this.#last.joined;
    const more = [...reasons].map(([row, reason]) => {
      const subnet = subnetOf(wanted, row);
      return { row, host: wanted.hostOf(subnet) ?? formatPrefix(subnet), reason };
    });
    const hosts = new Set(more.filter(({ row }) => whole.has(row)).map(({ host }) => host));
    const unnamed = [...whole].filter((row) => !reasons.has(row)).length;
    const faults = [...wanted.faults, ...more.map(({ host, reason }) => ({ host, reason }))];
    const joined = { faults, cutOff: hosts.size + unnamed };
    this.#last = { before: wanted.faults, key, joined };
    return joined;
  }

  #reason({ row, foreignRow, kind }: ForeignHit, wanted: WantedRoutes, foreign: Table): string {
    const route = describeForeign(foreign, foreignRow, this.#linkName);
    const subnet = formatPrefix(subnetOf(wanted, row));
    if (kind === "part") return `route ${route}, which is not ours, takes a part of ${subnet}; delete it`;
    const remedy = routeProtocol(foreign.words, foreignRow * ROUTE.words) === RTPROT_KERNEL
      ? "it comes with an address of that link: change that, or the peer's subnet"
      : "delete it, or let ours take its place with -take-foreign-routes";
    return `route ${route}, which is not ours, takes the packets for ${subnet}; ${remedy}`;
  }
}

function subnetOf({ state: { routes } }: WantedRoutes, row: number): Prefix {
  return routeDestination(routes.words, row * ROUTE.words);
}
