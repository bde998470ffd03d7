import { type Address, formatAddress, type Prefix, prefixContains } from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";
import { compareAddresses, firstNotBefore } from "../model/ordered.ts";
import { describeOrigin } from "./origin_text.ts";

/** One half of a lease and whose it is. */
export interface Holding {
  readonly lease: Lease;
  readonly part: LeasePart;
}

/** Two claims on the same addresses. */
export interface Overlap {
  readonly loser: Holding;
  readonly winner: Holding;
}

/**
 * Finds the claims that must give way, so that the others don't overlap, in O(n log n). `holdings` is sorted in
 * place: by family, subnet, prefix length, and who was first.
 *
 * Prefixes overlap only by containment, and what a prefix contains comes right behind it. So a claim gives way
 * if the next other prefix lies inside it, or if the same prefix stands before it under another host.
 *
 * @param wasFirst Negative if the first of two leases was there first.
 */
export function findOverlaps(holdings: Holding[], wasFirst: (a: Lease, b: Lease) => number): Overlap[] {
  holdings.sort((a, b) => compare(a, b) || wasFirst(a.lease, b.lease));
  const overlaps: Overlap[] = [];
  for (let at = 0; at < holdings.length;) {
    const first = holdings[at]!;
    let end = at + 1;
    while (end < holdings.length && isSame(holdings[end]!.part.subnet, first.part.subnet)) end++;
    const next = holdings[end];
    if (next !== undefined && prefixContains(first.part.subnet, next.part.subnet.address)) {
      for (; at < end; at++) overlaps.push({ loser: holdings[at]!, winner: next });
    }
    for (at++; at < end; at++) overlaps.push({ loser: holdings[at]!, winner: first });
    at = end;
  }
  return overlaps;
}

/** Finds those of `others` that overlap one of `holdings`, which is sorted as `findOverlaps()` leaves it. */
export function findOverlapsWith(holdings: readonly Holding[], others: readonly Holding[]): Overlap[] {
  return others.flatMap((loser) => {
    const at = firstNotBefore(holdings, loser.part.subnet.address, ({ part }) => part.subnet.address);
    // What overlaps a prefix is the last one that begins before it, or the first one that does not.
    const winner = [holdings[at - 1], holdings[at]].find((holding) =>
      holding !== undefined && typeof holding.part.subnet.address === typeof loser.part.subnet.address &&
      isOverlapping(holding.part.subnet, loser.part.subnet)
    );
    return winner === undefined ? [] : [{ loser, winner }];
  });
}

/** Names at most so many addresses that two leases publish. */
const NAMED_DOUBTS = 10;

/** The addresses that more than one lease publishes: one of these hosts gets what is meant for the other. */
export function sharedAddresses(holdings: readonly Holding[]): string[] {
  const holderOf = new Map<Address, Lease>();
  const doubts: string[] = [];
  for (const { lease, part: { underlayAddress } } of holdings) {
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

/** Reports whether two prefixes have an address in common. */
export function isOverlapping(a: Prefix, b: Prefix): boolean {
  return a.length <= b.length ? prefixContains(a, b.address) : prefixContains(b, a.address);
}

function isSame(a: Prefix, b: Prefix): boolean {
  return a.address === b.address && a.length === b.length;
}

function compare(a: Holding, b: Holding): number {
  const [x, y] = [a.part.subnet, b.part.subnet];
  const order = compareAddresses(x.address, y.address);
  if (order !== 0) return order;
  return x.length - y.length;
}
