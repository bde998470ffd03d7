import { pause } from "./pause.ts";

/** Collects nudges. A nudge carries no data: it says "look again". */
export class Trigger {
  #isNudged = false;
  #wake: (() => void) | undefined;

  /** Asks for a pass. Any number of nudges before the pass starts are one. */
  nudge(): void {
    this.#isNudged = true;
    this.#wake?.();
  }

  /** Forgets nudges: the pass that begins now answers them. */
  clear(): void {
    this.#isNudged = false;
  }

  /**
   * Waits for a nudge, at most `maxWaitMs`.
   *
   * @throws The signal's reason, once `signal` aborts.
   */
  async next(maxWaitMs: number, options: { signal: AbortSignal }): Promise<void> {
    const { signal } = options;
    signal.throwIfAborted();
    if (!this.#isNudged) {
      const woken = Promise.withResolvers<void>();
      this.#wake = woken.resolve;
      await pause(maxWaitMs, { signal, woken: woken.promise });
      this.#wake = undefined;
      signal.throwIfAborted();
    }
    this.#isNudged = false;
  }
}
