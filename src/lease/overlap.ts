import { type Prefix, prefixContains } from "../model/address.ts";
import type { LeasePart } from "../model/lease.ts";

/** One half of a lease and whose it is. */
export interface Holding {
  readonly host: string;
  readonly part: LeasePart;
}

/** Two claims on the same addresses. */
export interface Overlap {
  readonly loser: Holding;
  readonly winner: Holding;
}

/**
 * Finds the claims that must give way, so that the others don't overlap, in O(n log n). `holdings` is sorted in
 * place: by family, subnet, prefix length and host.
 *
 * Prefixes overlap only by containment, and what a prefix contains comes right behind it. So a claim gives way
 * if the next other prefix lies inside it, or if the same prefix stands before it under another host.
 */
export function findOverlaps(holdings: Holding[]): Overlap[] {
  holdings.sort(compare);
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
    const at = firstNotBefore(holdings, loser.part.subnet);
    // What overlaps a prefix is the last one that begins before it, or the first one that does not.
    const winner = [holdings[at - 1], holdings[at]].find((holding) =>
      holding !== undefined && typeof holding.part.subnet.address === typeof loser.part.subnet.address &&
      isOverlapping(holding.part.subnet, loser.part.subnet)
    );
    return winner === undefined ? [] : [{ loser, winner }];
  });
}

/** Index of the first holding whose subnet does not begin before `subnet`. */
function firstNotBefore(holdings: readonly Holding[], subnet: Prefix): number {
  let low = 0;
  let high = holdings.length;
  while (low < high) {
    const middle = low + high >> 1;
    if (compareAddresses(holdings[middle]!.part.subnet, subnet) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
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
  const order = compareAddresses(x, y);
  if (order !== 0) return order;
  if (x.length !== y.length) return x.length - y.length;
  return a.host < b.host ? -1 : a.host > b.host ? 1 : 0;
}

/** IPv4 first, then by first address. */
function compareAddresses(a: Prefix, b: Prefix): number {
  if (typeof a.address !== typeof b.address) return typeof a.address === "number" ? -1 : 1;
  return a.address < b.address ? -1 : a.address > b.address ? 1 : 0;
}
