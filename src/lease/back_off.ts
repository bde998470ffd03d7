/** Pauses between attempts that grow, each a random share, so that a thousand hosts don't come back as one. */
export class BackOff {
  readonly #firstMs: number;
  readonly #lastMs: number;
  readonly #random: () => number;
  #nextMs: number;

  /** @param options.random A number from 0 to less than 1. */
  constructor(options: { readonly firstMs: number; readonly lastMs: number; readonly random: () => number }) {
    this.#firstMs = options.firstMs;
    this.#lastMs = options.lastMs;
    this.#random = options.random;
    this.#nextMs = options.firstMs;
  }

  /** Begins anew: the last attempt succeeded. */
  reset(): void {
    this.#nextMs = this.#firstMs;
  }

  /** The pause before the next attempt in milliseconds: half of the limit, and up to half more; the limit doubles. */
  next(): number {
    const limitMs = this.#nextMs;
    this.#nextMs = Math.min(limitMs * 2, this.#lastMs);
    return limitMs / 2 + this.#random() * limitMs / 2;
  }
}
