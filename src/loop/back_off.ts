import { pause, type PauseEnd } from "./pause.ts";

/** The limit of the first pause, and of the longest, unless told. */
const FIRST_MS = 100;
const LAST_MS = 5000;

/** Pauses between attempts that grow, each a random share, so that a thousand hosts don't come back as one. */
export class BackOff {
  readonly #firstMs: number;
  readonly #lastMs: number;
  readonly #random: () => number;
  readonly #leastShare: number;
  #nextMs: number;

  /**
   * @param options.random A number from 0 to less than 1.
   * @param options.leastShare How much of its limit a pause is at least: half, unless told; 0 spreads most.
   */
  constructor(
    { firstMs = FIRST_MS, lastMs = LAST_MS, random = Math.random, leastShare = 1 / 2 }: {
      readonly firstMs?: number;
      readonly lastMs?: number;
      readonly random?: () => number;
      readonly leastShare?: number;
    } = {},
  ) {
    this.#firstMs = this.#nextMs = firstMs;
    this.#lastMs = lastMs;
    this.#random = random;
    this.#leastShare = leastShare;
  }

  /** Begins anew: the last attempt succeeded. */
  reset(): void {
    this.#nextMs = this.#firstMs;
  }

  /**
   * Waits before the next attempt, as `pause()` does: a share of the limit, which doubles.
   *
   * @param end.leastMs How long the other side asked to be left alone, if it did. Those whom it asked alike come back
   * spread all the same.
   */
  async pause({ leastMs = 0, ...end }: PauseEnd & { readonly leastMs?: number | undefined }): Promise<void> {
    const limitMs = this.#nextMs;
    this.#nextMs = Math.min(limitMs * 2, this.#lastMs);
    const random = this.#random();
    const ownMs = limitMs * (this.#leastShare + random * (1 - this.#leastShare));
    await pause(leastMs > 0 ? Math.max(ownMs, leastMs + random * limitMs) : ownMs, end);
  }
}
