import { type Backend, type Desire, partOf, type PeerFault } from "../overlay/backend/backend.ts";
import { coveredBy, type GroundFact } from "../registry/ground.ts";
import { leaveOut } from "../registry/leave_out.ts";
import type { LeaseChange } from "../registry/remote_index.ts";
import {
  type Family,
  familyOf,
  formatPrefix,
  type Prefix,
  prefixContains,
  prefixEquals,
} from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
import { sizeKey } from "../model/peer_path.ts";
import { ROUTE, routeDestination } from "../model/rows.ts";
import { RowIndex } from "../model/row_index.ts";
import type { Table } from "../model/table.ts";
import type { Underlay } from "../model/underlay.ts";
import type { FamilyReach } from "./report.ts";
import { rowsBeyond, rowsOf, TABLES, WantedRows } from "./wanted_rows.ts";

/** Who else is in the overlay, and who was left out of it. Both keep their identity while nothing changes. */
export interface Remote {
  readonly leases: readonly Lease[];
  readonly faults: readonly PeerFault[];
  /** What can't be right and keeps nobody out. */
  readonly doubts: readonly string[];
  /** Whether this is what an earlier process knew, which may be behind the kernel. */
  readonly isRemembered: boolean;
  /** Another number, and a larger one, for each answer; absent where changes are not told one by one. */
  readonly serial?: number;
}

/** Where the wanted state comes from. */
export interface WantedDeps {
  readonly backend: Backend;
  readonly underlay: () => Underlay;
  readonly own: () => Lease | undefined;
  /**
   * `undefined` until the registry has delivered a whole snapshot: unknown is not empty. `isFresh` asks for what all leases
   * come to, where changes were put into an earlier answer.
   */
  readonly remote: (own: Lease, options: { readonly isFresh: boolean }) => Remote | undefined;
  /** Which leases have changed since an answer of `remote`, one by one, if that is all; never known if absent. */
  readonly changesSince?: (remote: Remote) => readonly LeaseChange[] | undefined;
  /** What of this host a peer's subnet may not cover; keeps its identity while nothing changes. Nothing if absent. */
  readonly ground?: () => readonly GroundFact[];
  /** The cluster networks; none if absent. */
  readonly networks?: readonly Prefix[];
  /**
   * The largest packet that gets to a host in a family, where that is less than the link carries; keeps its identity
   * while nothing changes. The routes to such hosts have it as their MTU. None if absent.
   */
  readonly sizes?: () => PathSizeMap;
  /** Hosts whose leases the registry could not read. Keeps its identity while nothing changes. */
  readonly unreadable: () => readonly PeerFault[];
}

/** Bytes of the largest packet, by `sizeKey()`. */
export type PathSizeMap = ReadonlyMap<string, number>;

/** What a pass is made for. */
export type Wanted = Omit<Desire, "reached"> & {
  /** The families that this host takes part with. */
  readonly families: readonly Family[];
  readonly reach: readonly FamilyReach[];
  readonly doubts: readonly string[];
  readonly remoteLeases: number;
  /** The subnets of this host. */
  readonly ownSubnets: readonly Prefix[];
  /** Hosts that this backend does not reach, as they have another one: `2 hosts of backend host-gw`. */
  readonly otherBackends: readonly string[];
  /** Whether others' leases are remembered only: then what is missing is added, and nothing replaced or deleted. */
  readonly isRemembered: boolean;
  /** Whether a route to a subnet would take what this host needs itself: it never stays. */
  readonly isCovering?: (subnet: Prefix) => boolean;
  /** The host that a subnet is of. */
  readonly hostOf: (subnet: Prefix) => string | undefined;
  /** The rows of the state, by their keys; the same for as long as only some of them have changed. */
  readonly rows?: WantedRows;
};

/** Says what a host must hold now; made anew of all there is if `isFresh` and only changes were put into the last answer. */
export type Desires = (options?: { readonly isFresh?: boolean }) => Wanted | undefined;

/** Hosts that the backend left out and that a change is held against one by one. */
const MOST_REFUSED = 16;

const NOTHING: readonly never[] = [];
const NO_SIZES: PathSizeMap = new Map();

/**
 * Asks the backend what this host must hold, and asks again only when something that it depends on has changed: of one
 * lease's rows alone, where one lease has.
 */
export function wantedState(deps: WantedDeps): Desires {
  let last: { readonly key: WantedKey; readonly growth: Growth } | undefined;
  return ({ isFresh = false } = {}) => {
    const own = deps.own();
    const remote = own && deps.remote(own, { isFresh });
    if (own === undefined || remote === undefined) return undefined;
    const ground = deps.ground?.() ?? NOTHING;
    const sizes = deps.sizes?.() ?? NO_SIZES;
    const key = { underlay: deps.underlay(), own, remote, unreadable: deps.unreadable(), ground, sizes };
    const differing = last === undefined ? [] : keysOf(key).filter((name) => last!.key[name] !== key[name]);
    if (last !== undefined && differing.length === 0) return last.growth.wanted;
    const changes = last !== undefined && !isFresh && differing.every((name) => name === "remote")
      ? deps.changesSince?.(last.key.remote)
      : undefined;
    const growth = changes && growWanted(last!.growth, changes) || wantedOfAll(deps, key);
    last = { key, growth };
    return growth.wanted;
  };
}

/** What the wanted state is made of. */
interface WantedKey {
  readonly underlay: Underlay;
  readonly own: Lease;
  readonly remote: Remote;
  readonly unreadable: readonly PeerFault[];
  readonly ground: readonly GroundFact[];
  readonly sizes: PathSizeMap;
}

function keysOf(key: WantedKey): (keyof WantedKey)[] {
  return Object.keys(key) as (keyof WantedKey)[];
}

/** Makes the wanted state of all leases. */
function wantedOfAll(deps: WantedDeps, key: WantedKey): Growth {
  const { underlay, own, remote, unreadable, ground, sizes } = key;
  const { backend, networks = NOTHING } = deps;
  const { leases, covering } = leaveOut(remote.leases, { own, ground, networks });
  const { state, faults, reached } = backend.desire(underlay, own, leases);
  if (sizes.size > 0) lowerRouteMtus(state.routes, leases, sizes);
  const wanted: Wanted = {
    state,
    families: networks.filter((network) => state.networks.some((made) => prefixEquals(made, network)))
      .map(({ address }) => familyOf(address)),
    faults: [...unreadable, ...remote.faults, ...covering, ...faults],
    reach: own.parts.map(({ subnet }) => familyOf(subnet.address))
      .filter((family) => underlay.addresses.some((address) => address.family === family))
      .map((family) => ({
        family,
        peers: remote.leases.filter((lease) => partOf(lease, family) !== undefined).length,
        reached: reached.get(family) ?? 0,
      })),
    doubts: remote.doubts,
    remoteLeases: remote.leases.length,
    ownSubnets: own.parts.map(({ subnet }) => subnet),
    otherBackends: otherBackends(backend, remote.leases),
    isRemembered: remote.isRemembered,
    isCovering: (subnet: Prefix) => coveredBy(subnet, ground) !== undefined,
    hostOf: (wanted: Prefix) =>
      remote.leases.find(({ parts }) => parts.some(({ subnet }) => prefixEquals(subnet, wanted)))?.host,
    rows: new WantedRows(state),
  };
  const isInNetworks = ({ parts }: Lease) =>
    parts.some(({ underlayAddress }) => networks.some((network) => prefixContains(network, underlayAddress)));
  return {
    wanted,
    desire: (remote) => {
      const desire = backend.desire(underlay, own, remote);
      if (sizes.size > 0) lowerRouteMtus(desire.state.routes, remote, sizes);
      return desire;
    },
    // What a peer's subnet covers, or whose address lies in one, is to be seen from all of them.
    isApart: (lease) =>
      lease.backendType === backend.leaseType && !isInNetworks(lease) &&
      !lease.parts.some(({ subnet }) => coveredBy(subnet, ground) !== undefined),
    isGrowable: covering.length === 0 && state.cloud === undefined && !remote.isRemembered &&
      ![own, ...remote.leases].some(isInNetworks),
    refused: faults.map(({ host }) => host),
    leaseOf: (host) => remote.leases.find((lease) => lease.host === host),
  };
}

/** A wanted state, and what is to be known to change it by one lease. */
interface Growth {
  readonly wanted: Wanted;
  /** What the backend makes of some other hosts. */
  readonly desire: (remote: readonly Lease[]) => Desire;
  /** Whether a lease has nothing to do with what else this host needs, or is refused for. */
  readonly isApart: (lease: Lease) => boolean;
  /** Whether nothing of this state stands on how leases lie to each other. */
  readonly isGrowable: boolean;
  /** Hosts that the backend left out. */
  readonly refused: readonly string[];
  /** A lease that the state was made of. */
  readonly leaseOf: (host: string) => Lease | undefined;
}

/**
 * Puts changes of single leases into a wanted state: what the backend makes of such a lease alone goes, or comes. Pure but for
 * the tables, which are changed in their place.
 *
 * @returns The same as all leases come to; `undefined` if that is to be found out from all of them.
 */
function growWanted(growth: Growth, changes: readonly LeaseChange[]): Growth | undefined {
  const { wanted: { rows }, refused, isGrowable, isApart, desire } = growth;
  if (rows === undefined || !isGrowable || refused.length > MOST_REFUSED) return undefined;
  const base = desire([]);
  let { reach, remoteLeases } = growth.wanted;
  for (const { before, after } of changes) {
    const leases = [before, after].flatMap((lease) => lease ?? []);
    if (!leases.every((lease) => isApart(lease) && !refused.includes(lease.host))) return undefined;
    const [gone, come] = [before, after].map((lease) => desire(lease === undefined ? [] : [lease]));
    if (gone!.faults.length > 0 || come!.faults.length > 0) return undefined;
    const [leaving, coming] = [rowsBeyond(gone!.state, base.state), rowsBeyond(come!.state, base.state)];
    if (isMetByRefused(growth, base, [leaving, coming]) || !rows.change(leaving, coming)) return undefined;
    const count = (lease: Lease | undefined, family: (typeof reach)[number]["family"]) =>
      lease !== undefined && partOf(lease, family) !== undefined ? 1 : 0;
    reach = reach.map(({ family, peers, reached }) => ({
      family,
      peers: peers + count(after, family) - count(before, family),
      reached: reached + (come!.reached.get(family) ?? 0) - (gone!.reached.get(family) ?? 0),
    }));
    remoteLeases += (after === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
  }
  const { state } = growth.wanted;
  return { ...growth, wanted: { ...growth.wanted, state: { ...state }, reach, remoteLeases } };
}

/** Whether a row that comes or goes has the key of one that was left out as another had it. */
function isMetByRefused(
  { refused, leaseOf, desire }: Growth,
  base: Desire,
  changed: readonly ReturnType<typeof rowsBeyond>[],
): boolean {
  return refused.some((host) => {
    const lease = leaseOf(host);
    if (lease === undefined) return true;
    const alone = rowsBeyond(desire([lease]).state, base.state);
    return TABLES.some((name) => {
      const index = RowIndex.of(alone[name]);
      return index === undefined ||
        changed.some((tables) =>
          [...rowsOf(tables[name])].some((at) => index.find(tables[name].words, at) >= 0)
        );
    });
  });
}

/** Writes the sizes that get through into the routes to hosts behind narrow paths. */
function lowerRouteMtus({ words, count }: Table, leases: readonly Lease[], sizes: PathSizeMap): void {
  const bySubnet = new Map<string, number>();
  for (const { host, parts } of leases) {
    for (const { subnet } of parts) {
      const bytes = sizes.get(sizeKey(host, familyOf(subnet.address)));
      if (bytes !== undefined) bySubnet.set(formatPrefix(subnet), bytes);
    }
  }
  for (let at = 0; at < count * ROUTE.words; at += ROUTE.words) {
    const bytes = bySubnet.get(formatPrefix(routeDestination(words, at)));
    if (bytes !== undefined) words[at + ROUTE.mtuBytes] = bytes;
  }
}

/** Counts the hosts of other backends, by backend. */
function otherBackends({ leaseType }: Backend, leases: readonly Lease[]): readonly string[] {
  const counts = new Map<string, number>();
  // A backend that publishes nothing reaches nobody.
  for (const { backendType } of leaseType === "" ? [] : leases) {
    if (backendType !== leaseType) counts.set(backendType, (counts.get(backendType) ?? 0) + 1);
  }
  return [...counts].map(([type, count]) =>
    `${count === 1 ? "1 host" : `${count} hosts`} of backend ${type || "alloc"}`
  );
}
