import type { Lease, LeasePart } from "../model/lease.ts";

/** When the claims of a lease began, by the registry's own count. */
export type ClaimAges = Pick<Lease, "since" | "dataSince" | "addressSince">;

/** Before this much of a registry's count nothing happens twice. */
const MOMENT = 1e-3;

/**
 * Which of two hosts was the first to hold its subnets; negative if it was `a`. All hosts judge alike, whatever news
 * came to them in which order, and after a restart too: what counts is what the registry says. Pure.
 *
 * A lease that tells no age is younger than all that do.
 */
export function compareBySubnets(a: Lease, b: Lease): number {
  return compareAges(a.since, b.since) || compareByHost(a, b);
}

/** The same of what two hosts publish for their backend: a host that was there for long may do so since a moment. */
export function compareByData(a: Lease, b: Lease): number {
  return compareAges(a.dataSince, b.dataSince) || compareBySubnets(a, b);
}

/** Whether `who` has come to its address later than `holder` to its subnets. */
export function isAddressNewer(who: Lease, holder: Lease): boolean {
  return compareAges(who.addressSince, holder.since) > 0;
}

function compareAges(a = Infinity, b = Infinity): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * A lease with the ages that it can have. What a host of bad faith says of itself may be older than it is: what this
 * process has seen come is younger than all that was there. Of those of good faith nothing changes.
 *
 * @param options.latest The largest age so far, where the lease is told of as a change; absent where all are listed.
 */
export function provenAges(
  before: Lease | undefined,
  lease: Lease,
  { latest }: { readonly latest?: number },
): Lease {
  const kept = keptAges(before, lease.parts);
  const prove = (told: number | undefined, known: number | undefined) => {
    if (told === undefined || known !== undefined) {
      return known === undefined ? told : Math.max(told ?? known, known);
    }
    return latest === undefined || told > latest ? told : latest + MOMENT;
  };
  const since = prove(lease.since, kept.since);
  const dataSince = prove(lease.dataSince, kept.dataSince);
  const addressSince = prove(lease.addressSince, kept.addressSince);
  if (isSameAge(lease, { since, dataSince, addressSince } as ClaimAges)) return lease;
  return {
    ...lease,
    ...since !== undefined && { since },
    ...dataSince !== undefined && { dataSince },
    ...addressSince !== undefined && { addressSince },
  };
}

/** The largest of the ages of a lease; 0 where it tells none. */
export function latestAge({ since = 0, dataSince = 0, addressSince = 0 }: ClaimAges): number {
  return Math.max(since, dataSince, addressSince);
}

/**
 * The ages of what a host says now that it said already, as it writes its lease anew; what it says for the first time
 * has none yet.
 */
export function keptAges(before: Lease | undefined, parts: readonly LeasePart[]): ClaimAges {
  const pairs = parts.map((part) =>
    [
      before?.parts.find(({ subnet }) => typeof subnet.address === typeof part.subnet.address),
      part,
    ] as const
  );
  const isKept = (isSame: (a: LeasePart, b: LeasePart) => boolean) =>
    pairs.every(([old, part]) => old !== undefined && isSame(old, part));
  const isSubnet = (a: LeasePart, b: LeasePart) =>
    a.subnet.address === b.subnet.address && a.subnet.length === b.subnet.length;
  // The subnet of a family that comes in addition was free, and takes none from anybody.
  const isSubnetKept = pairs.some(([old]) => old !== undefined) &&
    pairs.every(([old, part]) => old === undefined || isSubnet(old, part));
  const { since, dataSince, addressSince } = before ?? {};
  return {
    ...isSubnetKept && since !== undefined && { since },
    ...isKept(isSameData) && dataSince !== undefined && { dataSince },
    ...isKept((a, b) => a.underlayAddress === b.underlayAddress) && addressSince !== undefined &&
      { addressSince },
  };
}

/** Whether two parts publish the same for their backend. */
export function isSameData(a: LeasePart, b: LeasePart): boolean {
  return a.backendData === b.backendData || JSON.stringify(a.backendData) === JSON.stringify(b.backendData);
}

/** Whether two leases are equally old in all that counts. */
export function isSameAge(a: ClaimAges, b: ClaimAges): boolean {
  return a.since === b.since && a.dataSince === b.dataSince && a.addressSince === b.addressSince;
}

function compareByHost({ host: a }: Lease, { host: b }: Lease): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
