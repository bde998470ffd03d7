/** Peers that are asked in a period at least, if there are so many: small clusters are seen whole each time. */
const LEAST_ASKED = 9;

/**
 * How many peers a host asks in a period: all of few, `2 · log₂ n` of many, and no more than the budget allows.
 *
 * @param members Hosts that take part, this one included.
 * @param budget Probes that may be sent in a period.
 */
export function sampleSize(members: number, budget: number): number {
  const wanted = Math.max(LEAST_ASKED, Math.ceil(2 * Math.log2(Math.max(members, 1))));
  return Math.max(Math.min(members - 1, wanted, Math.floor(budget)), 0);
}

/**
 * The hosts that take part, in an order that all of them agree on: by a hash of their names, so that hosts that joined
 * one after the other, as those of one rack, are spread.
 */
export function ringOf(hosts: Iterable<string>): readonly string[] {
  const hashed = Array.from(new Set(hosts), (host): [string, number] => [host, hashOf(host)]);
  return hashed.sort(byHash).map(([host]) => host);
}

/** Where a host stands in a ring, or would. */
export function ringPlace(ring: readonly string[], host: string): number {
  const sought: [string, number] = [host, hashOf(host)];
  let [low, high] = [0, ring.length];
  while (low < high) {
    const middle = low + high >> 1;
    const other = ring[middle]!;
    if (byHash([other, hashOf(other)], sought) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function byHash([a, x]: readonly [string, number], [b, y]: readonly [string, number]): number {
  return x - y || (a < b ? -1 : a > b ? 1 : 0);
}

/**
 * Whom a host asks in a period. All hosts stand on a ring, and in one period each asks those that are so many places on:
 * the same distances for all, so that each is asked by as many others as it asks. The distances of all periods of a round
 * are each of 1 to n − 1 once, in an order that the round's number decides: in a round each pair of hosts is seen, from
 * both ends.
 *
 * Hosts whose clocks or rings differ ask the right ones too: only that each is asked by equally many does not hold then.
 *
 * @param ring As `ringOf()` has it.
 * @param own This host's name, in the ring.
 * @param period The number of the period, the same to all hosts.
 * @param size As `sampleSize()` has it.
 */
export function sample(
  ring: readonly string[],
  own: string,
  { period, size }: { readonly period: number; readonly size: number },
): readonly string[] {
  const at = ring.indexOf(own);
  const others = ring.length - 1;
  if (at < 0 || others < 1 || size < 1) return [];
  const periods = roundPeriods(ring.length, size);
  const round = Math.floor(period / periods);
  const first = (period - round * periods) * size;
  const distances = shuffledUpTo(others, mix(round ^ 0x10de));
  // The last period of a round goes on with the first distances, so that none asks fewer.
  return Array.from({ length: Math.min(size, others) }, (_, step) => {
    const distance = distances[(first + step) % others]!;
    return ring[(at + distance) % ring.length]!;
  });
}

/** Periods until each pair was seen. */
export function roundPeriods(members: number, size: number): number {
  return size < 1 ? 1 : Math.max(Math.ceil((members - 1) / size), 1);
}

/** Each number from 1 to `limit` once, in an order that the seed decides (Fisher and Yates). */
function shuffledUpTo(limit: number, seed: number): Uint32Array {
  const numbers = Uint32Array.from({ length: limit }, (_, at) => at + 1);
  let state = seed;
  for (let at = limit - 1; at > 0; at--) {
    state = mix(state + 0x9e37_79b9 | 0);
    const other = (state >>> 0) % (at + 1);
    [numbers[at], numbers[other]] = [numbers[other]!, numbers[at]!];
  }
  return numbers;
}

/** FNV-1a of the name's code units, mixed: names that differ in their last digit are far from each other. */
function hashOf(text: string): number {
  let hash = 0x811c_9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x0100_0193);
  return mix(hash) >>> 0;
}

/** Turns a number into another of 32 bits, of which each depends on all (the end of MurmurHash3). */
function mix(value: number): number {
  let mixed = value;
  mixed = Math.imul(mixed ^ mixed >>> 16, 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ mixed >>> 13, 0xc2b2_ae35);
  return mixed ^ mixed >>> 16;
}
