// Sort and difference of tables of fixed-size rows.
//
// A row is `rowWords` 32-bit words; the first `keyWords` of them are its key, compared as unsigned numbers.
// Linear memory, from `__heap_base` rounded up to 16; d and o are the row counts given to `reserve()`:
//
//   desired        d rows             the host writes them
//   observed       o rows             the host writes them
//   desiredOrder   d u32 row indices  sorted by key, equal keys in their order
//   observedOrder  o u32 row indices  likewise
//   scratch        max(d, o) u32      the other half of the merge sort
//   additions      d u32 indices into desired: keys that observed lacks; of several rows with one key the first
//   replacements   d u32 indices into desired: keys that observed has with another value
//   deletions      o u32 indices into observed: keys that desired lacks, and rows of one key that are otherwise
//
// There is no allocator: `reserve()` draws this map anew and grows the memory where it must.

const PAGE_BYTES: usize = 65536;

/** What `reserve()` answers when the memory cannot grow so far. Not exported: the host would see an object. */
const OUT_OF_MEMORY: i32 = -1;

let rowWords: u32 = 0;
let keyWords: u32 = 0;
let desiredCount: u32 = 0;
let observedCount: u32 = 0;
let additionCount: u32 = 0;
let replacementCount: u32 = 0;
let deletionCount: u32 = 0;

let desiredAt: usize = 0;
let observedAt: usize = 0;
let desiredOrderAt: usize = 0;
let observedOrderAt: usize = 0;
let scratchAt: usize = 0;
let additionsAt: usize = 0;
let replacementsAt: usize = 0;
let deletionsAt: usize = 0;

export function desiredPtr(): usize { return desiredAt; }
export function observedPtr(): usize { return observedAt; }
export function additionsPtr(): usize { return additionsAt; }
export function replacementsPtr(): usize { return replacementsAt; }
export function deletionsPtr(): usize { return deletionsAt; }
export function additions(): u32 { return additionCount; }
export function replacements(): u32 { return replacementCount; }
export function deletions(): u32 { return deletionCount; }

/** Draws the memory for two tables of one layout; 0, or `OUT_OF_MEMORY`. */
export function reserve(desired: u32, observed: u32, words: u32, key: u32): i32 {
  rowWords = words;
  keyWords = key;
  desiredCount = desired;
  observedCount = observed;
  const rowBytes = <u64> words * 4;
  const larger = desired > observed ? desired : observed;
  const start = <u64> ((__heap_base + 15) & ~15);
  const end = start + (<u64> desired + observed) * rowBytes +
    4 * (3 * <u64> desired + 2 * <u64> observed + larger);
  if (end > 0xffff0000) return OUT_OF_MEMORY;
  const pages = <i32> ((end + PAGE_BYTES - 1) / PAGE_BYTES);
  if (pages > memory.size() && memory.grow(pages - memory.size()) < 0) return OUT_OF_MEMORY;
  desiredAt = <usize> start;
  observedAt = desiredAt + <usize> (desired * rowBytes);
  desiredOrderAt = observedAt + <usize> (observed * rowBytes);
  observedOrderAt = desiredOrderAt + 4 * desired;
  scratchAt = observedOrderAt + 4 * observed;
  additionsAt = scratchAt + 4 * larger;
  replacementsAt = additionsAt + 4 * desired;
  deletionsAt = replacementsAt + 4 * desired;
  return 0;
}

/**
 * Compares both tables and fills `additions`, `replacements` and `deletions`. Of several desired rows with one key
 * the first counts.
 */
export function diff(): void {
  sort(desiredAt, desiredOrderAt, desiredCount);
  sort(observedAt, observedOrderAt, observedCount);
  additionCount = 0;
  replacementCount = 0;
  deletionCount = 0;
  let d: u32 = 0;
  let o: u32 = 0;
  while (d < desiredCount && o < observedCount) {
    const wanted = ordered(desiredOrderAt, d);
    const order = compare(row(desiredAt, wanted), row(observedAt, ordered(observedOrderAt, o)), keyWords);
    if (order < 0) {
      add(wanted);
      d = nextDesired(d);
    } else if (order > 0) {
      drop(ordered(observedOrderAt, o++));
    } else {
      o = match(wanted, o);
      d = nextDesired(d);
    }
  }
  while (d < desiredCount) {
    add(ordered(desiredOrderAt, d));
    d = nextDesired(d);
  }
  while (o < observedCount) drop(ordered(observedOrderAt, o++));
}

/** The position of the first desired row behind `position` that has another key. */
function nextDesired(position: u32): u32 {
  const rowAt = row(desiredAt, ordered(desiredOrderAt, position));
  let next = position + 1;
  while (next < desiredCount && compare(rowAt, row(desiredAt, ordered(desiredOrderAt, next)), keyWords) == 0) next++;
  return next;
}

/** Settles the observed rows that have the key of one desired row, from position `first`; returns the next one. */
function match(wanted: u32, first: u32): u32 {
  const rowAt = row(desiredAt, wanted);
  let next = first;
  let kept: u32 = u32.MAX_VALUE;
  while (next < observedCount) {
    const otherAt = row(observedAt, ordered(observedOrderAt, next));
    if (compare(rowAt, otherAt, keyWords) != 0) break;
    if (kept == u32.MAX_VALUE && compare(rowAt, otherAt, rowWords) == 0) kept = next;
    next++;
  }
  const isThere = kept != u32.MAX_VALUE;
  if (!isThere) {
    store<u32>(replacementsAt + 4 * replacementCount++, wanted);
    kept = first;
  }
  for (let o = first; o < next; o++) {
    const at = ordered(observedOrderAt, o);
    // No kernel table has a row twice, but a dump that was made amid changes may: to delete one were to delete both.
    if (o != kept && !(isThere && compare(rowAt, row(observedAt, at), rowWords) == 0)) drop(at);
  }
  return next;
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
function add(index: u32): void {
  store<u32>(additionsAt + 4 * additionCount++, index);
}

@inline
function drop(index: u32): void {
  store<u32>(deletionsAt + 4 * deletionCount++, index);
}

/** Compares the first `words` of two rows: negative, zero or positive. */
function compare(a: usize, b: usize, words: u32): i32 {
  for (let word: u32 = 0; word < words; word++) {
    const x = load<u32>(a + 4 * word);
    const y = load<u32>(b + 4 * word);
    if (x != y) return x < y ? -1 : 1;
  }
  return 0;
}

/** Stable bottom-up merge sort of row indices; a table that is sorted already costs one comparison a row. */
function sort(table: usize, order: usize, count: u32): void {
  let isSorted = true;
  for (let index: u32 = 0; index < count; index++) {
    store<u32>(order + 4 * index, index);
    if (isSorted && index > 0 && compare(row(table, index - 1), row(table, index), keyWords) > 0) isSorted = false;
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
      compare(row(table, ordered(from, left)), row(table, ordered(from, right)), keyWords) <= 0);
    store<u32>(to + 4 * out, ordered(from, takesLeft ? left++ : right++));
  }
}
