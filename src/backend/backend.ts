import { type Family, familyOf, type Mac, type Prefix } from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";
import { FDB, NEIGHBOUR, ROUTE } from "../model/rows.ts";
import type { DesiredState, StateTables } from "../model/state.ts";
import { Table } from "../model/table.ts";
import type { Underlay } from "../model/underlay.ts";

/** A remote lease, or half of one, that this backend left out, and why. */
export interface PeerFault {
  readonly host: string;
  readonly reason: string;
  /** Whether it claims what this host claims too. */
  readonly isContest?: true;
  /** Whether it is at this host's own address: it is no other host, or a clone of this one. */
  readonly isSelf?: true;
  /** The reason without what is this peer's own, by which many are told in one sentence; `reason` if absent. */
  readonly cause?: string;
}

/** What a backend makes of the members of the overlay. */
export interface Desire {
  readonly state: DesiredState;
  readonly faults: readonly PeerFault[];
  /** Hosts that packets are sent to, of one family at least. */
  readonly reached: number;
}

/** Values of this host that a backend may use when it first advertises itself. */
export interface HostSeed {
  /** MAC of a link that is there already, as after a restart. */
  readonly existingMac: (linkName: string) => Mac | undefined;
  /** A random MAC that is unicast and locally administered. */
  readonly randomMac: Mac;
  /** Whoever has said what it says of itself for longer than this host: what they have is theirs. */
  readonly older: () => readonly Lease[];
}

/** How one kind of overlay turns its members into state on this host. Pure. */
export interface Backend {
  /** The `Type` of `net-conf.json`: `vxlan`, `auto`, `host-gw`, `alloc`. */
  readonly type: string;
  /** What this host's lease says: flannel's word for what others need to do to reach it. */
  readonly leaseType: string;
  /** The largest packet that a pod may send. */
  overlayMtuBytes(underlay: Underlay): number;
  /**
   * What this host publishes in its lease, so that others reach it: one entry a family of `underlay`.
   *
   * @throws {Error} If nobody could reach it: one sentence that says why and what to do.
   */
  advertise(
    underlay: Underlay,
    previous: Lease | undefined,
    seed: HostSeed,
  ): readonly Pick<LeasePart, "underlayAddress" | "backendData">[];
  /** What this host must hold, given who else is in the overlay. */
  desire(underlay: Underlay, own: Lease, remote: readonly Lease[]): Desire;
}

/** What every backend is told of the cluster. */
export interface BackendContext {
  /** The cluster networks, at most one of each family. */
  readonly networks: readonly Prefix[];
  /** Cluster networks of earlier configurations: nothing of ours may stay there. None if absent. */
  readonly former?: readonly Prefix[];
}

/** The half of a lease that is of one family. */
export function partOf(lease: Lease | undefined, family: Family): LeasePart | undefined {
  return lease?.parts.find(({ subnet }) => familyOf(subnet.address) === family);
}

/** Those of the cluster networks that are of one of `families`, as nothing of the others is touched; and former ones. */
export function networksOf(
  { networks, former = [] }: BackendContext,
  families: readonly Family[],
): readonly Prefix[] {
  return [...networks.filter(({ address }) => families.includes(familyOf(address))), ...former];
}

/** Empty tables with room for `peers`. */
export function emptyTables(peers: number): StateTables {
  return {
    neighbours: new Table(NEIGHBOUR, peers),
    fdb: new Table(FDB, peers),
    routes: new Table(ROUTE, peers),
  };
}
