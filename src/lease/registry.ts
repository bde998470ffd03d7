import type { Lease, LeasePart, LeaseUpdate } from "../model/lease.ts";

/** What a host asks for: who it is in the underlay, and what it publishes there. */
export interface LeaseRequest {
  readonly backendType: string;
  /** One for each family in use, IPv4 first; `backendData` is what the backend advertises. */
  readonly parts: readonly Pick<LeasePart, "underlayAddress" | "backendData">[];
}

/** Where hosts agree on who holds which subnet. */
export interface LeaseRegistry {
  /** The lease that this host held last, if the registry still knows it. */
  previous(options: { signal: AbortSignal }): Promise<Lease | undefined>;
  /** Takes a subnet of each family for this host, or renews those that it holds. */
  acquire(request: LeaseRequest, options: { signal: AbortSignal }): Promise<Lease>;
  /** Yields updates until `signal` aborts. Reconnects by itself; a gap starts over with a snapshot. */
  watch(options: { signal: AbortSignal }): AsyncIterable<LeaseUpdate>;
}
