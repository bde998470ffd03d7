/** How much may happen: so much a second on average, and so much at once. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** Counts what may still happen, at a rate. */
export class Bucket {
  readonly #rate: Rate;
  #level: number;
  #atMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#level = rate.burst;
    this.#atMs = nowMs;
  }

  /** Takes `count` out, if there is so much. */
  take(nowMs: number, count = 1): boolean {
    const { perSecond, burst } = this.#rate;
    this.#level = Math.min(this.#level + Math.max(nowMs - this.#atMs, 0) * perSecond / 1000, burst);
    this.#atMs = nowMs;
    if (this.#level < count) return false;
    this.#level -= count;
    return true;
  }
}
