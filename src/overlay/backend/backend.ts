import { type Family, familyOf, type Mac, type Prefix } from "../../model/address.ts";
import type { Lease, LeasePart } from "../../model/lease.ts";
import { FDB, NEIGHBOUR, ROUTE } from "../../model/rows.ts";
import type { DesiredState, StateTables } from "../../model/state.ts";
import { Table } from "../../model/table.ts";
import type { Underlay } from "../../model/underlay.ts";

/** A remote lease, or a part of one, that this backend left out, or whose packets others' routes take, and why. */
export interface PeerFault {
  readonly host: string;
  readonly reason: string;
  /** The family whose part it is; absent where it is the whole lease, or not known. */
  readonly family?: Family;
  /** Whether it claims what this host claims too. */
  readonly isContest?: true;
  /** Whether it is at this host's own address: it is no other host, or a clone of this one. */
  readonly isSelf?: true;
  /** Its lease is used, and routes of others take its packets, or those for a part of its subnet; absent where none does. */
  readonly taken?: "whole" | "part";
  /** The reason without what is this peer's own, by which many are told in one sentence; `reason` if absent. */
  readonly cause?: string;
  /** How many peers it stands for, where they are too many to be named; one if absent. */
  readonly count?: number;
}

/** What a backend makes of the members of the overlay. */
export interface Desire {
  readonly state: DesiredState;
  readonly faults: readonly PeerFault[];
  /** Hosts that packets are sent to, by family. */
  readonly reached: ReadonlyMap<Family, number>;
}

/** Counts one more in a family. */
export function countIn(counts: Map<Family, number>, family: Family): void {
  counts.set(family, (counts.get(family) ?? 0) + 1);
}

/** Values of this host that a backend may use when it first advertises itself. */
export interface HostSeed {
  /** MAC of a link that is there already, as after a restart. */
  readonly existingMac: (linkName: string) => Mac | undefined;
  /** A random MAC that is unicast and locally administered. */
  readonly randomMac: Mac;
  /** The leases of hosts that have said the same for longer than this host: what they have is theirs. */
  readonly older: () => readonly Lease[];
}

/**
 * How packets get to other hosts, by which the parts of the agent know whether they are needed: in VXLAN, by plain routes
 * over the segment, by the one of the two that reaches a host, by a router that the hosts share, or not by Loden at all.
 */
export type Carriage = "tunnel" | "segment" | "tunnel or segment" | "router" | "none";

/** Whether some hosts are reached by plain routes over the segment. */
export function usesSegment(carriage: Carriage): boolean {
  return carriage === "segment" || carriage === "tunnel or segment";
}

/** Whether some hosts are reached through a VTEP. */
export function usesTunnel(carriage: Carriage): boolean {
  return carriage === "tunnel" || carriage === "tunnel or segment";
}

/** How one kind of overlay turns its members into state on this host. Pure. */
export interface Backend {
  /** The `Type` of `net-conf.json`: `vxlan`, `auto`, `host-gw`, `alloc`. */
  readonly type: string;
  readonly carriage: Carriage;
  /** What this host's lease says: flannel's word for what others need to do to reach it. */
  readonly leaseType: string;
  /** The largest packet that a pod may send. */
  overlayMtuBytes(underlay: Underlay): number;
  /**
   * What this host publishes in its lease, so that others reach it: one entry a family of `underlay`.
   *
   * @throws {Error} If no other host could reach it: one sentence that says why and what to do.
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

/** The part of a lease that is of one family. */
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
