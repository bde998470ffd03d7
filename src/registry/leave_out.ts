import { formatAddress, formatPrefix, type Prefix, prefixContains } from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";
import { isAddressNewer } from "./claim_age.ts";
import { addressFact, coveredBy, coverReason, type GroundFact, GroundIndex } from "./ground.ts";
import type { LeaseFault } from "./remote_leases.ts";

/** What the leases of others are held against. */
export interface LeaveOutContext {
  readonly own: Lease;
  /** What this host needs itself, of the cluster networks. */
  readonly ground: readonly GroundFact[];
  /** The cluster networks. */
  readonly networks: readonly Prefix[];
}

/** An underlay address that lies in a cluster network. */
interface Inside {
  readonly lease: Lease;
  readonly part: LeasePart;
}

/**
 * Leaves out parts of leases whose subnets cover what this host needs itself, or another host's underlay address. Of a
 * subnet and an underlay address in it the one that came later goes, by what the registry tells; the subnet, where that does
 * not tell them apart. Pure.
 *
 * @returns `leases` itself where none is left out.
 */
export function leaveOut(
  leases: readonly Lease[],
  context: LeaveOutContext,
): { readonly leases: readonly Lease[]; readonly covering: readonly LeaseFault[] } {
  const { own, ground, networks } = context;
  const reasons = new Map<LeasePart, string>();
  const index = new GroundIndex(ground);
  for (const { parts } of ground.length === 0 ? [] : leases) {
    for (const part of parts) {
      const [hit] = index.coveredBy(part.subnet);
      if (hit === undefined) continue;
      // The first of the list is the one that says most.
      const fact = coveredBy(part.subnet, ground) ?? hit;
      const reason = coverReason(part.subnet, fact);
      reasons.set(part, `${reason}, which this host needs; remove the lease, or move what is there`);
    }
  }
  const inside = new Map<GroundFact, Inside>();
  for (const lease of [own, ...leases]) {
    for (const part of lease.parts) {
      const { underlayAddress } = part;
      if (!networks.some((network) => prefixContains(network, underlayAddress))) continue;
      const what = `${formatAddress(underlayAddress)}, the underlay address of ${lease.host}`;
      inside.set(addressFact(underlayAddress, what), { lease, part });
    }
  }
  if (inside.size > 0) weighAddresses(leases, inside, context, reasons);
  if (reasons.size === 0) return { leases, covering: [] };
  const covering = leases.flatMap(({ host, parts }) =>
    parts.flatMap((part): LeaseFault[] => {
      const reason = reasons.get(part);
      return reason === undefined ? [] : [{ host, reason }];
    })
  );
  const left = leases.flatMap((lease): Lease[] => {
    const parts = lease.parts.filter((part) => !reasons.has(part));
    if (parts.length === lease.parts.length) return [lease];
    return parts.length === 0 ? [] : [{ ...lease, parts }];
  });
  return { leases: left, covering };
}

function weighAddresses(
  leases: readonly Lease[],
  inside: ReadonlyMap<GroundFact, Inside>,
  { own }: LeaveOutContext,
  reasons: Map<LeasePart, string>,
): void {
  const index = new GroundIndex([...inside.keys()]);
  for (const lease of [own, ...leases]) {
    for (const part of lease.parts) {
      for (const fact of index.coveredBy(part.subnet)) {
        const other = inside.get(fact)!;
        if (other.lease === lease || reasons.has(part) || reasons.has(other.part)) continue;
        const { underlayAddress } = other.part;
        const isNewcomer = other.lease !== own && isAddressNewer(other.lease, lease);
        if (lease === own || isNewcomer) {
          const whose = lease === own ? "this host" : lease.host;
          reasons.set(
            other.part,
            `underlay address ${formatAddress(underlayAddress)} lies in ${
              formatPrefix(part.subnet)
            }, the subnet of ${whose}`,
          );
        } else reasons.set(part, `${coverReason(part.subnet, fact)}; remove one of the two leases`);
      }
    }
  }
}
