// Prefix arithmetic and the search for free subnets, for IPv4 and IPv6 alike.
//
// An address is two u64, high and low; `width` is the number of bits in it, 32 or 128, and an IPv4 address is in
// the low half. Addresses that come back are in `resultHigh()` and `resultLow()`.
//
// Subnets of one length in a range are numbered from the range's first. Numbers are u64 and end at `LAST_NUMBER`:
// a longer range is searched as far as that.
//
// The work (memory.ts); n is the count given to `reserveTaken()`:
//
//   taken    n × { u64 high, u64 low, u64 length }   prefixes that are taken   (the host writes them)
//   spans    n × { u64 first, u64 last }             numbers that they cover, sorted, merged   (we write)

import { reserveWork, workAt } from "./memory";

const TAKEN_BYTES: u32 = 24;
const SPAN_BYTES: u32 = 16;
const LAST_NUMBER: u64 = 0x7fff_ffff_ffff_ffff;

let high: u64 = 0;
let low: u64 = 0;
let takenCount: u32 = 0;
let spanCount: u32 = 0;
let freeCount: u64 = 0;
let takenAt: usize = 0;
let spansAt: usize = 0;

export function resultHigh(): u64 { return high; }
export function resultLow(): u64 { return low; }
export function takenPtr(): usize { return takenAt; }

/** Draws the memory for `count` taken prefixes; 0, or -1 when the memory cannot grow so far. */
export function reserveTaken(count: u32): i32 {
  if (reserveWork(<u64> count * (TAKEN_BYTES + SPAN_BYTES)) != 0) return -1;
  takenCount = count;
  takenAt = workAt();
  spansAt = takenAt + count * TAKEN_BYTES;
  return 0;
}

/** The first address of a prefix: `address` without the bits behind the first `length`. */
function firstAddress(addressHigh: u64, addressLow: u64, length: u32, width: u32): void {
  const hostBits = width - length;
  high = addressHigh & ~maskHigh(hostBits);
  low = addressLow & ~maskLow(hostBits);
}

/** The last address of a prefix. */
function lastAddress(addressHigh: u64, addressLow: u64, length: u32, width: u32): void {
  const hostBits = width - length;
  high = addressHigh | maskHigh(hostBits);
  low = addressLow | maskLow(hostBits);
}

/** Reports whether two addresses share their first `length` bits. */
export function shares(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64, length: u32, width: u32): bool {
  const hostBits = width - length;
  return ((aHigh ^ bHigh) & ~maskHigh(hostBits)) == 0 && ((aLow ^ bLow) & ~maskLow(hostBits)) == 0;
}

/** The address `number` subnets of `length` behind `address`. */
export function nthSubnet(addressHigh: u64, addressLow: u64, length: u32, width: u32, number: u64): void {
  const hostBits = width - length;
  const offsetLow = hostBits < 64 ? number << hostBits : 0;
  const offsetHigh = hostBits == 0 ? 0 : hostBits < 64
    ? number >> (64 - hostBits)
    : hostBits < 128 ? number << (hostBits - 64) : 0;
  low = addressLow + offsetLow;
  high = addressHigh + offsetHigh + u64(low < addressLow);
}

/** How many subnets of `length` lie between two addresses, the first not after the second; at most `LAST_NUMBER`. */
function subnetsBetween(
  fromHigh: u64,
  fromLow: u64,
  toHigh: u64,
  toLow: u64,
  length: u32,
  width: u32,
): u64 {
  const hostBits = width - length;
  const distanceLow = toLow - fromLow;
  const distanceHigh = toHigh - fromHigh - u64(toLow < fromLow);
  let number: u64;
  if (hostBits == 0) {
    if (distanceHigh != 0) return LAST_NUMBER;
    number = distanceLow;
  } else if (hostBits < 64) {
    if (distanceHigh >> hostBits != 0) return LAST_NUMBER;
    number = distanceHigh << (64 - hostBits) | distanceLow >> hostBits;
  } else {
    number = hostBits == 128 ? 0 : distanceHigh >> (hostBits - 64);
  }
  return number > LAST_NUMBER ? LAST_NUMBER : number;
}

/**
 * Counts the free subnets of `length` from `min` to `max`, both included and both first addresses of such a subnet.
 * One that overlaps a taken prefix is not free.
 */
export function countFree(
  minHigh: u64,
  minLow: u64,
  maxHigh: u64,
  maxLow: u64,
  length: u32,
  width: u32,
): u64 {
  const last = subnetsBetween(minHigh, minLow, maxHigh, maxLow, length, width);
  // Not `max`: in a range that is cut short, what is taken behind the cut must not count.
  nthSubnet(minHigh, minLow, length, width, last);
  lastAddress(high, low, length, width);
  const endHigh = high;
  const endLow = low;
  spanCount = 0;
  for (let index: u32 = 0; index < takenCount; index++) {
    const at = takenAt + index * TAKEN_BYTES;
    const takenLength = <u32> load<u64>(at, 16);
    firstAddress(load<u64>(at), load<u64>(at, 8), takenLength, width);
    const firstHigh = high;
    const firstLow = low;
    lastAddress(firstHigh, firstLow, takenLength, width);
    if (isBefore(endHigh, endLow, firstHigh, firstLow) || isBefore(high, low, minHigh, minLow)) continue;
    const from = isBefore(firstHigh, firstLow, minHigh, minLow)
      ? 0
      : subnetsBetween(minHigh, minLow, firstHigh, firstLow, length, width);
    const to = isBefore(endHigh, endLow, high, low)
      ? last
      : subnetsBetween(minHigh, minLow, high, low, length, width);
    const span = spansAt + spanCount++ * SPAN_BYTES;
    store<u64>(span, from);
    store<u64>(span, to, 8);
  }
  sortSpans();
  mergeSpans();
  let covered: u64 = 0;
  for (let index: u32 = 0; index < spanCount; index++) {
    covered += load<u64>(spanAt(index), 8) - load<u64>(spanAt(index)) + 1;
  }
  freeCount = last + 1 - covered;
  return freeCount;
}

/** The number of the `k`-th free subnet, from 0, of the range that `countFree()` was last asked about. */
export function freeNumber(k: u64): u64 {
  let number = k;
  for (let index: u32 = 0; index < spanCount; index++) {
    const first = load<u64>(spanAt(index));
    if (number < first) break;
    number += load<u64>(spanAt(index), 8) - first + 1;
  }
  return number;
}

/** Scales 64 random bits to a number below the free count, each as likely as the others. */
export function scaleToFree(random: u64): u64 {
  const aHigh = random >> 32;
  const aLow = random & 0xffff_ffff;
  const bHigh = freeCount >> 32;
  const bLow = freeCount & 0xffff_ffff;
  const middle = aHigh * bLow + (aLow * bLow >> 32);
  return aHigh * bHigh + (middle >> 32) + (aLow * bHigh + (middle & 0xffff_ffff) >> 32);
}

/** The high half of a mask of `bits` ones at the low end. */
@inline
function maskHigh(bits: u32): u64 {
  return bits <= 64 ? 0 : bits == 128 ? u64.MAX_VALUE : ((<u64> 1) << (bits - 64)) - 1;
}

/** The low half of a mask of `bits` ones at the low end. */
@inline
function maskLow(bits: u32): u64 {
  return bits >= 64 ? u64.MAX_VALUE : ((<u64> 1) << bits) - 1;
}

@inline
function isBefore(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): bool {
  return aHigh < bHigh || (aHigh == bHigh && aLow < bLow);
}

@inline
function spanAt(index: u32): usize {
  return spansAt + index * SPAN_BYTES;
}

/** Heap sort by first number: in place, and never quadratic whatever the registry's order is. */
function sortSpans(): void {
  for (let root = <i32> (spanCount / 2) - 1; root >= 0; root--) sift(<u32> root, spanCount);
  for (let end = <i32> spanCount - 1; end > 0; end--) {
    swap(0, <u32> end);
    sift(0, <u32> end);
  }
}

function sift(start: u32, end: u32): void {
  let root = start;
  for (;;) {
    let child: u32 = 2 * root + 1;
    if (child >= end) return;
    if (child + 1 < end && load<u64>(spanAt(child)) < load<u64>(spanAt(child + 1))) child++;
    if (load<u64>(spanAt(root)) >= load<u64>(spanAt(child))) return;
    swap(root, child);
    root = child;
  }
}

function swap(a: u32, b: u32): void {
  const first = load<u64>(spanAt(a));
  const last = load<u64>(spanAt(a), 8);
  store<u64>(spanAt(a), load<u64>(spanAt(b)));
  store<u64>(spanAt(a), load<u64>(spanAt(b), 8), 8);
  store<u64>(spanAt(b), first);
  store<u64>(spanAt(b), last, 8);
}

function mergeSpans(): void {
  let merged: u32 = 0;
  for (let index: u32 = 0; index < spanCount; index++) {
    const first = load<u64>(spanAt(index));
    const last = load<u64>(spanAt(index), 8);
    if (merged > 0 && first <= load<u64>(spanAt(merged - 1), 8)) {
      if (last > load<u64>(spanAt(merged - 1), 8)) store<u64>(spanAt(merged - 1), last, 8);
    } else {
      store<u64>(spanAt(merged), first);
      store<u64>(spanAt(merged), last, 8);
      merged++;
    }
  }
  spanCount = merged;
}
