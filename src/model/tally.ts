/** Counts by a word or number, as a label of a metric has it. What is counted comes from a short list of our own. */
export class Tally<Key extends string | number = string> {
  readonly #counts = new Map<Key, number>();

  add(key: Key, count = 1): void {
    this.#counts.set(key, this.of(key) + count);
  }

  of(key: Key): number {
    return this.#counts.get(key) ?? 0;
  }

  [Symbol.iterator](): IterableIterator<[Key, number]> {
    return this.#counts.entries();
  }
}

/** What was measured many times, told by how many were not above each of some bounds. */
export interface HistogramFigures {
  /** Ascending. */
  readonly bounds: readonly number[];
  /** How many were not above the bound at the same place, and above the one before it; the last are above all. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** Counts measurements between bounds. */
export class Histogram implements HistogramFigures {
  readonly counts: number[];
  sum = 0;

  /** @param bounds Ascending. */
  constructor(readonly bounds: readonly number[]) {
    this.counts = new Array(bounds.length + 1).fill(0);
  }

  add(value: number): void {
    const at = this.bounds.findIndex((bound) => value <= bound);
    this.counts[at === -1 ? this.bounds.length : at]!++;
    this.sum += value;
  }
}
