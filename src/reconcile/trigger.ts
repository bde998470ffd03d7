/** Collects nudges. A nudge carries no data: it says "look again". */
export class Trigger {
  #isNudged = false;
  #wake: (() => void) | undefined;

  /** Asks for a pass. Any number of nudges before the pass starts are one. */
  nudge(): void {
    this.#isNudged = true;
    this.#wake?.();
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
      await delay(maxWaitMs, { signal, woken: woken.promise });
      this.#wake = undefined;
      signal.throwIfAborted();
    }
    this.#isNudged = false;
  }
}

/** Waits for `ms`, or less if `woken` resolves or `signal` aborts. Never rejects. */
export async function delay(
  ms: number,
  options: { signal: AbortSignal; woken?: Promise<void> },
): Promise<void> {
  const { signal, woken } = options;
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = () => resolve();
  const timer = setTimeout(end, ms);
  signal.addEventListener("abort", end, { once: true });
  woken?.then(end);
  await promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", end);
}
