import type { Address } from "../model/address.ts";
import type { Lease, LeasePart, LeaseUpdate, Origin } from "../model/lease.ts";
import type { LeaseFault } from "./remote_leases.ts";

/** What a host asks for: who it is in the underlay, and what it publishes there. */
export interface LeaseRequest {
  readonly backendType: string;
  /** One for each family in use, IPv4 first; `backendData` is what the backend advertises. */
  readonly parts: readonly Pick<LeasePart, "underlayAddress" | "backendData">[];
  /** Who asks. */
  readonly origin: Origin;
}

/** A host that leaves for good, by all that it may have said of itself. */
export interface LeavingHost {
  /** The id that leases of this machine have; absent where it has none. */
  readonly machine?: string | undefined;
  /** The MACs of its links; absent where they are not known. */
  readonly macs?: ReadonlySet<string>;
  /** Where other hosts reach it. */
  readonly addresses: ReadonlySet<Address>;
}

/** What a registry holds of a host, until it is released. */
export interface HeldLease {
  /** A noun, with its place: `lease /coreos.com/network/subnets/10.5.1.0-24`. */
  readonly object: string;
  /**
   * Gives it up, as it was found and not otherwise: by now it may be another host's.
   *
   * @returns Whether it is given up; `false` if it has changed since it was found.
   */
  release(options: { signal: AbortSignal }): Promise<boolean>;
  /**
   * Takes what flanneld does not know out of it, and leaves the lease; absent where there is nothing of the kind.
   *
   * @returns Whether that is done; `false` if it has changed since it was found.
   */
  readonly strip?: (options: { signal: AbortSignal }) => Promise<boolean>;
}

/** Whether a registry answers. */
export interface RegistryContact {
  /** When the registry last answered, in milliseconds since 1970; `undefined` if it never did. */
  readonly heardAtMs: number | undefined;
  /** Why it can't be followed now, as one sentence; `undefined` while it can. */
  readonly reason: string | undefined;
  /** How often it was heard again after it could not be followed; absent where nobody counts. */
  readonly reconnects?: number;
}

/** Where hosts agree on who holds which subnet. */
export interface LeaseRegistry {
  /** What this host is known by, as `Lease.host`; `undefined` where only a lease decides it, and none was taken yet. */
  readonly host: string | undefined;
  /** Hosts whose entries can't be read, and why. */
  readonly faults: readonly LeaseFault[];
  readonly contact: RegistryContact;
  /** Why the lease that was taken last lacks a family in use, one sentence each. */
  readonly shortfalls?: readonly string[];
  /** What only the holder of the own lease has, to be kept for the next process; `undefined` where there is none. */
  readonly token?: string | undefined;
  /**
   * The lease that this host held last, if the registry still knows it. `request` is what the host would ask for
   * without it.
   */
  previous(request: LeaseRequest, options: { signal: AbortSignal }): Promise<Lease | undefined>;
  /** Takes a subnet of each family for this host, or renews those that it holds. */
  acquire(request: LeaseRequest, options: { signal: AbortSignal }): Promise<Lease>;
  /**
   * Whether the holder of another lease has shown no sign of life for a while. One that shows none by nature, as a
   * flanneld in etcd, is not silent.
   */
  isSilent(host: string, options: { signal: AbortSignal }): Promise<boolean>;
  /**
   * Finds what is held of a host that leaves for good. Nothing is made or changed by that.
   *
   * @throws {RegistryError} If it can't be found, or what is in the place of this host's lease is another host's.
   */
  held(host: LeavingHost, options: { signal: AbortSignal }): Promise<readonly HeldLease[]>;
  /** Told that this host has another address: connections from the one before are of no use. */
  moved?(): void;
  /** Yields updates until `signal` aborts. Reconnects by itself; a gap starts over with a snapshot. */
  watch(options: { signal: AbortSignal }): AsyncIterable<LeaseUpdate>;
}
