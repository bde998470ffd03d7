/**
 * An abort of one's own that also comes when `signal` aborts, until it is disposed of. It stands in for
 * `AbortSignal.any()`, whose signals Deno 2.7 holds weakly: one that only `fetch` knows may be collected.
 */
export class LinkedAbort implements Disposable {
  readonly #controller = new AbortController();
  readonly #source: AbortSignal;
  readonly #follow = () => this.#controller.abort(this.#source.reason);

  constructor(signal: AbortSignal) {
    this.#source = signal;
    if (signal.aborted) this.#follow();
    else signal.addEventListener("abort", this.#follow, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason?: unknown): void {
    this.#controller.abort(reason);
  }

  /** Aborts, and lets go of the source. */
  [Symbol.dispose](): void {
    this.#source.removeEventListener("abort", this.#follow);
    this.#controller.abort();
  }
}
