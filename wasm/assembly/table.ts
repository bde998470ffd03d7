// Difference of tables of fixed-size rows.
//
// A row is `rowWords` 32-bit words; the first `keyWords` of them are its key, compared as unsigned numbers.
// The work (memory.ts); d and o are the row counts given to `reserve()`, b is a power of two, at least 2d:
//
//   desired       d rows       the host writes them
//   observed      o rows       the host writes them
//   additions     d u32 indices into desired: keys that observed lacks; of several rows with one key the first
//   replacements  d u32 indices into desired: keys that observed has with another value
//   deletions     o u32 indices into observed: keys that desired lacks, and rows of one key that are otherwise
//   fates         d u32        what was found of each desired row's key: NOTHING, EQUAL, IS_LATER, or FIRST + index
//                              of the first observed row of that key, all of which are otherwise
//   buckets       b u32        index + 1 of a desired row, by the hash of its key and those behind it; 0 for none
//   scratch       max(d, o) u32    the other half of the merge sort
//
// Both tables are passed once, and only what differs is sorted. Keys come from other hosts: the hash is seeded by the
// host, so that nobody knows which keys share a bucket.

import { reserveWork, workAt } from "./memory";

/** What `reserve()` answers when the memory cannot grow so far. Not exported: the host would see an object. */
const OUT_OF_MEMORY: i32 = -1;

const NOTHING: u32 = 0;
const EQUAL: u32 = 1;
/** An earlier row has the key. */
const IS_LATER: u32 = 2;
const FIRST: u32 = 3;

let rowWords: u32 = 0;
let keyWords: u32 = 0;
let desiredCount: u32 = 0;
let observedCount: u32 = 0;
let additionCount: u32 = 0;
let replacementCount: u32 = 0;
let deletionCount: u32 = 0;
let bucketMask: u32 = 0;
let hashSeed: u64 = 0;

let desiredAt: usize = 0;
let observedAt: usize = 0;
let additionsAt: usize = 0;
let replacementsAt: usize = 0;
let deletionsAt: usize = 0;
let fatesAt: usize = 0;
let bucketsAt: usize = 0;
let scratchAt: usize = 0;

export function desiredPtr(): usize { return desiredAt; }
export function observedPtr(): usize { return observedAt; }
export function additionsPtr(): usize { return additionsAt; }
export function replacementsPtr(): usize { return replacementsAt; }
export function deletionsPtr(): usize { return deletionsAt; }
export function additions(): u32 { return additionCount; }
export function replacements(): u32 { return replacementCount; }
export function deletions(): u32 { return deletionCount; }

/** Sets what hashes begin with. */
export function seed(value: u64): void {
  hashSeed = value;
}

/** Draws the memory for two tables of one layout; 0, or `OUT_OF_MEMORY`. */
export function reserve(desired: u32, observed: u32, words: u32, key: u32): i32 {
  rowWords = words;
  keyWords = key;
  desiredCount = desired;
  observedCount = observed;
  let buckets: u64 = 16;
  while (buckets < <u64> desired * 2) buckets *= 2;
  bucketMask = <u32> (buckets - 1);
  const rowBytes = <u64> words * 4;
  const larger = desired > observed ? desired : observed;
  const bytes = (<u64> desired + observed) * rowBytes + 4 * (3 * <u64> desired + observed + buckets + larger);
  if (reserveWork(bytes) != 0) return OUT_OF_MEMORY;
  desiredAt = workAt();
  observedAt = desiredAt + <usize> (desired * rowBytes);
  additionsAt = observedAt + <usize> (observed * rowBytes);
  replacementsAt = additionsAt + 4 * desired;
  deletionsAt = replacementsAt + 4 * desired;
  fatesAt = deletionsAt + 4 * observed;
  bucketsAt = fatesAt + 4 * desired;
  scratchAt = bucketsAt + <usize> (4 * buckets);
  return 0;
}

/**
 * Compares both tables and fills `additions`, `replacements` and `deletions`. Of several desired rows with one key
 * the first counts.
 */
export function diff(): void {
  index();
  // What has no equal, for now: a row that follows may show that another one is kept.
  deletionCount = 0;
  for (let o: u32 = 0; o < observedCount; o++) {
    const d = find(row(observedAt, o));
    if (d == 0) {
      drop(o);
    } else if (areSame(row(desiredAt, d - 1), row(observedAt, o), rowWords)) {
      setFate(d - 1, EQUAL);
    } else {
      if (fate(d - 1) == NOTHING) setFate(d - 1, FIRST + o);
      drop(o);
    }
  }
  // The first of several that are otherwise is replaced, unless there is an equal one.
  const candidates = deletionCount;
  deletionCount = 0;
  for (let position: u32 = 0; position < candidates; position++) {
    const o = ordered(deletionsAt, position);
    const d = find(row(observedAt, o));
    if (d == 0 || fate(d - 1) != FIRST + o) drop(o);
  }
  additionCount = 0;
  replacementCount = 0;
  for (let d: u32 = 0; d < desiredCount; d++) {
    if (fate(d) == NOTHING) store<u32>(additionsAt + 4 * additionCount++, d);
    else if (fate(d) >= FIRST) store<u32>(replacementsAt + 4 * replacementCount++, d);
  }
  sort(desiredAt, additionsAt, additionCount);
  sort(desiredAt, replacementsAt, replacementCount);
  sort(observedAt, deletionsAt, deletionCount);
}

/** Puts all desired rows into buckets. */
function index(): void {
  memory.fill(bucketsAt, 0, 4 * (bucketMask + 1));
  memory.fill(fatesAt, 0, 4 * desiredCount);
  for (let d: u32 = 0; d < desiredCount; d++) {
    const key = row(desiredAt, d);
    let bucket = hash(key) & bucketMask;
    let other = ordered(bucketsAt, bucket);
    while (other != 0 && !areSame(key, row(desiredAt, other - 1), keyWords)) {
      bucket = (bucket + 1) & bucketMask;
      other = ordered(bucketsAt, bucket);
    }
    if (other == 0) store<u32>(bucketsAt + 4 * bucket, d + 1);
    else setFate(d, IS_LATER);
  }
}

/** Index + 1 of the first desired row that has the key at `key`; 0 for none. */
function find(key: usize): u32 {
  let bucket = hash(key) & bucketMask;
  let d = ordered(bucketsAt, bucket);
  while (d != 0 && !areSame(key, row(desiredAt, d - 1), keyWords)) {
    bucket = (bucket + 1) & bucketMask;
    d = ordered(bucketsAt, bucket);
  }
  return d;
}

@inline
function hash(key: usize): u32 {
  let state = hashSeed;
  for (let word: u32 = 0; word < keyWords; word++) {
    state = (state ^ load<u32>(key + 4 * word)) * 0x9e3779b97f4a7c15;
    state ^= state >> 32;
  }
  return <u32> state;
}

@inline
function row(table: usize, index: u32): usize {
  return table + <usize> index * rowWords * 4;
}

@inline
function ordered(order: usize, position: u32): u32 {
  return load<u32>(order + 4 * position);
}

@inline
function drop(index: u32): void {
  store<u32>(deletionsAt + 4 * deletionCount++, index);
}

@inline
function fate(d: u32): u32 {
  return load<u32>(fatesAt + 4 * d);
}

@inline
function setFate(d: u32, value: u32): void {
  store<u32>(fatesAt + 4 * d, value);
}

/** Whether the first `words` of two rows are the same. */
@inline
function areSame(a: usize, b: usize, words: u32): bool {
  for (let word: u32 = 0; word < words; word++) {
    if (load<u32>(a + 4 * word) != load<u32>(b + 4 * word)) return false;
  }
  return true;
}

/** Compares the keys of two rows: negative, zero or positive. */
function compare(a: usize, b: usize): i32 {
  for (let word: u32 = 0; word < keyWords; word++) {
    const x = load<u32>(a + 4 * word);
    const y = load<u32>(b + 4 * word);
    if (x != y) return x < y ? -1 : 1;
  }
  return 0;
}

/** Stable bottom-up merge sort of row indices by key; if they are sorted already one comparison a row. */
function sort(table: usize, order: usize, count: u32): void {
  let isSorted = true;
  for (let position: u32 = 1; isSorted && position < count; position++) {
    isSorted = compare(row(table, ordered(order, position - 1)), row(table, ordered(order, position))) <= 0;
  }
  if (isSorted) return;
  let from = order;
  let to = scratchAt;
  for (let width: u32 = 1; width < count; width *= 2) {
    for (let start: u32 = 0; start < count; start += 2 * width) merge(table, from, to, start, width, count);
    const swapped = from;
    from = to;
    to = swapped;
  }
  if (from != order) memory.copy(order, from, 4 * count);
}

/** Merges two neighbouring runs of `width` indices at `start`, the second perhaps shorter or empty. */
function merge(table: usize, from: usize, to: usize, start: u32, width: u32, count: u32): void {
  const middle = min(start + width, count);
  const end = min(start + 2 * width, count);
  let left = start;
  let right = middle;
  for (let out = start; out < end; out++) {
    const takesLeft = left < middle && (right >= end ||
      compare(row(table, ordered(from, left)), row(table, ordered(from, right))) <= 0);
    store<u32>(to + 4 * out, ordered(from, takesLeft ? left++ : right++));
  }
}
