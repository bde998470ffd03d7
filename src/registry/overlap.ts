import { type Address, formatAddress, isOverlapping, type Prefix, prefixContains } from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";
import { compareAddresses, firstNotBefore } from "../model/ordered.ts";
import { describeOrigin } from "./origin_text.ts";

/** A claim of a lease on a subnet. */
export interface SubnetClaim {
  readonly lease: Lease;
  readonly part: LeasePart;
}

/** Two claims on the same addresses. */
export interface Overlap {
  readonly loser: SubnetClaim;
  readonly winner: SubnetClaim;
}

/**
 * Finds the claims that must give way, so that the others don't overlap, in O(n log n). `claims` is sorted in
 * place: by family, subnet, prefix length, and who was first.
 *
 * Prefixes overlap only by containment, and what a prefix contains comes right behind it. So a claim gives way
 * if the next other prefix lies inside it, or if the same prefix stands before it under another host.
 *
 * @param wasFirst Negative if the first of two leases was there first.
 */
export function findOverlaps(claims: SubnetClaim[], wasFirst: (a: Lease, b: Lease) => number): Overlap[] {
  claims.sort((a, b) => compare(a, b) || wasFirst(a.lease, b.lease));
  const overlaps: Overlap[] = [];
  for (let at = 0; at < claims.length;) {
    const first = claims[at]!;
    let end = at + 1;
    while (end < claims.length && isSame(claims[end]!.part.subnet, first.part.subnet)) end++;
    const next = claims[end];
    if (next !== undefined && prefixContains(first.part.subnet, next.part.subnet.address)) {
      for (; at < end; at++) overlaps.push({ loser: claims[at]!, winner: next });
    }
    for (at++; at < end; at++) overlaps.push({ loser: claims[at]!, winner: first });
    at = end;
  }
  return overlaps;
}

/** Finds those of `others` that overlap one of `claims`, which is sorted as `findOverlaps()` leaves it. */
export function findOverlapsWith(claims: readonly SubnetClaim[], others: readonly SubnetClaim[]): Overlap[] {
  return others.flatMap((loser) => {
    const at = firstNotBefore(claims, loser.part.subnet.address, ({ part }) => part.subnet.address);
    // What overlaps a prefix is the last one that begins before it, or the first one that does not.
    const winner = [claims[at - 1], claims[at]].find((claim) =>
      claim !== undefined && typeof claim.part.subnet.address === typeof loser.part.subnet.address &&
      isOverlapping(claim.part.subnet, loser.part.subnet)
    );
    return winner === undefined ? [] : [{ loser, winner }];
  });
}

/** Names at most so many addresses that two leases publish. */
const NAMED_DOUBTS = 10;

/** The addresses that more than one lease publishes: one of these hosts gets what is meant for the other. */
export function sharedAddresses(claims: readonly SubnetClaim[]): string[] {
  const holderOf = new Map<Address, Lease>();
  const doubts: string[] = [];
  for (const { lease, part: { underlayAddress } } of claims) {
    const other = holderOf.get(underlayAddress);
    if (other === undefined) holderOf.set(underlayAddress, lease);
    else if (other !== lease && doubts.length < NAMED_DOUBTS) {
      const [first, second] = [other, lease].map(nameOf);
      doubts.push(
        `underlay address ${formatAddress(underlayAddress)} is published by ${first} and by ${second}`,
      );
    }
  }
  return doubts;
}

/** A host as a person is told of it: what the registry calls it, and what it says of itself. */
function nameOf({ host, origin }: Lease): string {
  const who = describeOrigin(origin);
  return who === "" ? host : `${host}, ${who}`;
}

function isSame(a: Prefix, b: Prefix): boolean {
  return a.address === b.address && a.length === b.length;
}

function compare(a: SubnetClaim, b: SubnetClaim): number {
  const [x, y] = [a.part.subnet, b.part.subnet];
  const order = compareAddresses(x.address, y.address);
  if (order !== 0) return order;
  return x.length - y.length;
}
