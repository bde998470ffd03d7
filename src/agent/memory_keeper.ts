import { LONGEST_TIMER_MS, pause } from "../loop/pause.ts";
import { Trigger } from "../loop/trigger.ts";
import type { PassReport } from "../reconcile/report.ts";

/** Changes in one pass, or leases, that leave much garbage. */
const LARGE_PASS = 1000;
/** Behind the pass that found the host at rest other workers load what they need, and do for the first time what they do. */
const SETTLED_MS = 10_000;

/** Has the memory that large work left behind given back, when the host has come to rest. */
export class MemoryKeeper {
  readonly #trim: () => void;
  readonly #rested = new Trigger();
  #hasWorked = true;

  /** @param trim Gives the pages that nothing uses back to the kernel, malloc_trim(3). */
  constructor(trim: () => void) {
    this.#trim = trim;
  }

  /** A pass is over: one that was large is collected after once the next one had nothing to do. */
  passed({ planned, failureCount }: PassReport): void {
    if (planned + failureCount > 0) this.#hasWorked ||= planned >= LARGE_PASS;
    else if (this.#hasWorked) {
      this.#hasWorked = false;
      this.#collect();
      this.#rested.nudge();
    }
  }

  /** Collects once more a while after each time that the host came to rest, until `signal` aborts. */
  async run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    while (!signal.aborted) {
      await this.#rested.next(LONGEST_TIMER_MS, { signal });
      await pause(SETTLED_MS, { signal });
      if (!signal.aborted) this.#collect();
    }
  }

  /** The leases were written down. */
  wrote(leases: number): void {
    if (leases >= LARGE_PASS) this.#collect();
  }

  /**
   * By itself the runtime would keep what is garbage for many seconds, and the C library what `fetch` has streamed
   * through for good. The first is there only in the binary, which is compiled with V8's `--expose-gc`.
   */
  #collect(): void {
    const { gc } = globalThis as { gc?: (options: { type: "major"; flavor: "last-resort" }) => void };
    gc?.({ type: "major", flavor: "last-resort" });
    this.#trim();
  }
}
