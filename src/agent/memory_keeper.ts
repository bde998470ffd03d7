import type { PassReport } from "../reconcile/report.ts";

/** Changes in one pass, or leases, that leave much garbage. */
const LARGE_PASS = 1000;

/** Has the memory that large work left behind given back, when the host has come to rest. */
export class MemoryKeeper {
  readonly #trim: () => void;
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
