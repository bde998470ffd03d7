import { type Address, type Family, familyOf } from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
import type { ProbedNetwork } from "../model/peer_path.ts";
import { ringOf } from "./sampler.ts";

/** One family of a host that is asked. */
export interface PathMember {
  readonly host: string;
  readonly family: Family;
  /** Where it answers probes; absent where it does not, and its kernel alone is asked. */
  readonly port: number | undefined;
  /** Where it is, by network; the overlay's absent where pods' packets are not encapsulated. */
  readonly addresses: { readonly underlay: Address; readonly overlay?: Address };
}

/** Who takes part in one family. */
export interface FamilyMembers {
  readonly byHost: ReadonlyMap<string, PathMember>;
  /** All of them and this host, as `ringOf()` has them. */
  readonly ring: readonly string[];
}

/** Who takes part. */
export interface PathMembers {
  readonly families: ReadonlyMap<Family, FamilyMembers>;
  /** Who is at an address, and through which network. */
  readonly at: ReadonlyMap<Address, { readonly member: PathMember; readonly network: ProbedNetwork }>;
}

/** Whom this host asks, and by what. */
export interface MemberChoice {
  /** What the registry knows this host by. */
  readonly own: string;
  /** What the leases of this host's backend say: packets go to no others. */
  readonly backendType: string;
  /** Whether packets are encapsulated. */
  readonly hasOverlay: boolean;
  /** Whether hosts that don't take part are asked too, by a port at which nobody listens. */
  readonly withOthers: boolean;
}

/** Finds who takes part. Each address is one host's: where two claim one, neither is asked there. */
export function pathMembers(leases: Iterable<Lease>, choice: MemberChoice): PathMembers {
  const { own, backendType, hasOverlay, withOthers } = choice;
  const byFamily = new Map<Family, Map<string, PathMember>>();
  const at = new Map<Address, { readonly member: PathMember; readonly network: ProbedNetwork }>();
  const claimed = new Set<Address>();
  const put = (address: Address, member: PathMember, network: ProbedNetwork) => {
    if (claimed.has(address)) at.delete(address);
    else at.set(address, { member, network });
    claimed.add(address);
  };
  for (const lease of leases) {
    const port = lease.origin?.probePort;
    if (lease.host === own || lease.backendType !== backendType) continue;
    if (port === undefined && !withOthers) continue;
    for (const { subnet, underlayAddress: underlay } of lease.parts) {
      const family = familyOf(subnet.address);
      const addresses = hasOverlay ? { underlay, overlay: subnet.address } : { underlay };
      const member: PathMember = { host: lease.host, family, port, addresses };
      byFamily.getOrInsertComputed(family, () => new Map()).set(lease.host, member);
      put(underlay, member, "underlay");
      if (hasOverlay) put(subnet.address, member, "overlay");
    }
  }
  const families = new Map<Family, FamilyMembers>();
  for (const [family, byHost] of byFamily) {
    families.set(family, { byHost, ring: ringOf([own, ...byHost.keys()]) });
  }
  return { families, at };
}
