import type { Lease, LeasePart } from "../model/lease.ts";

/** When the claims of a lease began, by the registry's own count. */
export type ClaimAges = Pick<Lease, "since" | "dataSince" | "addressSince">;

/**
 * Which of two hosts was the first to hold its subnets; negative if it was `a`. All hosts judge alike, whatever news
 * came to them in which order, and after a restart too: nothing counts but what the registry says. Pure.
 *
 * A lease that tells no age is older than all that do: an early release has written it.
 */
export function compareBySubnets(a: Lease, b: Lease): number {
  return (a.since ?? 0) - (b.since ?? 0) || compareByHost(a, b);
}

/** The same of what two hosts publish for their backend. */
export function compareByData(a: Lease, b: Lease): number {
  return (a.dataSince ?? a.since ?? 0) - (b.dataSince ?? b.since ?? 0) || compareBySubnets(a, b);
}

/** Whether `who` has come to its address later than `holder` to its subnets. */
export function isAddressNewer(who: Lease, holder: Lease): boolean {
  return (who.addressSince ?? who.since ?? 0) > (holder.since ?? 0);
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
  const { since, dataSince = since, addressSince = since } = before ?? {};
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
