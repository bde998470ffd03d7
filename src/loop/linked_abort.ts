import { LONGEST_TIMER_MS } from "./pause.ts";

/**
 * An abort of one's own that also comes when `signal` aborts, or after a time, until it is disposed of. It stands in for
 * `AbortSignal.any()`, whose signals Deno 2.7 holds weakly: one that only `fetch` knows may be collected.
 */
export class LinkedAbort implements Disposable {
  readonly #controller = new AbortController();
  readonly #source: AbortSignal;
  readonly #follow = () => this.abort(this.#source.reason);
  #timer: number | undefined;
  #dueMs = Infinity;
  #lateReason: unknown;

  constructor(signal: AbortSignal) {
    this.#source = signal;
    if (signal.aborted) this.#follow();
    else signal.addEventListener("abort", this.#follow, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason?: unknown): void {
    clearTimeout(this.#timer);
    this.#controller.abort(reason);
  }

  /**
   * Aborts with `reason` when `ms` from now are over, whatever was said before; never, if they are infinite. Cheap enough
   * for each piece of a stream: a timer that comes too early is set anew, not each time that more is allowed.
   */
  limit(ms: number, reason?: unknown): void {
    const earlierMs = this.#dueMs;
    this.#dueMs = performance.now() + ms;
    this.#lateReason = reason;
    if (this.#timer !== undefined && earlierMs <= this.#dueMs) return;
    this.#wait();
  }

  /** Aborts, and lets go of the source. */
  [Symbol.dispose](): void {
    this.#source.removeEventListener("abort", this.#follow);
    this.abort();
  }

  #wait(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const leftMs = this.#dueMs - performance.now();
    if (this.signal.aborted || leftMs === Infinity) return;
    const look = () => {
      if (performance.now() < this.#dueMs) this.#wait();
      else this.abort(this.#lateReason);
    };
    this.#timer = setTimeout(look, Math.min(Math.max(leftMs, 0), LONGEST_TIMER_MS));
  }
}
