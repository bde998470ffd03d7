import type { Address, Prefix } from "./address.ts";

/** One family's part of a lease: a subnet, and what others need to reach it. */
export interface LeasePart {
  readonly subnet: Prefix;
  /** Where the host is reached in the underlay, `PublicIP` on the wire. Same family as `subnet`. */
  readonly underlayAddress: Address;
  /** What the backend published (`BackendData`), as decoded JSON; hostile until a backend has checked it. */
  readonly backendData: unknown;
}

/**
 * What a host says of itself beside its lease, so that it can be told from another. flanneld says nothing of the kind.
 * Any writer to the registry may have put it there.
 */
export interface Origin {
  /** What stands for the machine's id: 32 hexadecimal digits, of no use for anything else. */
  readonly machine?: string;
  /** The MAC of the underlay's link. */
  readonly mac?: string;
  /** The host's name. */
  readonly name?: string;
  /** The UDP port at which it answers probes; absent where it does not. */
  readonly probePort?: number;
}

/** A host's claim on one subnet a family. */
export interface Lease {
  /** What the registry knows the host by: unique among all leases, and stable. */
  readonly host: string;
  /** `vxlan`, `host-gw`; the host's own word. */
  readonly backendType: string;
  /** At most one of each family, IPv4 first. */
  readonly parts: readonly LeasePart[];
  /** End of the claim in milliseconds since 1970; absent where it does not end by itself. */
  readonly expiresAtMs?: number;
  /** Who says so; absent where the host does not tell. */
  readonly origin?: Origin;
  /**
   * When the claim on the subnets began, by the registry's own count: of two hosts that claim one, the one with the
   * smaller number was there first. Such numbers are comparable within one registry, and the same to all hosts.
   */
  readonly since?: number;
  /** When the host began to publish this backend data, likewise: another address is no new claim on a MAC. */
  readonly dataSince?: number;
  /** When it began to be at these underlay addresses, likewise. */
  readonly addressSince?: number;
}

/** Everything a watch says: the whole set first, then one change at a time. */
export type LeaseUpdate =
  | { readonly kind: "snapshot"; readonly leases: readonly Lease[] }
  | { readonly kind: "held"; readonly lease: Lease }
  | { readonly kind: "released"; readonly host: string };
