import { pause } from "../loop/pause.ts";
import { Trigger } from "../loop/trigger.ts";
import type { PassReport } from "../reconcile/report.ts";

/** Changes in one pass that leave much garbage. */
const LARGE_PASS = 1000;
/** Behind the pass that found the host at rest other workers load what they need, and do for the first time what they do. */
const SETTLED_MS = 10_000;
/** So often what the process holds is looked at. */
const LOOK_MS = 60_000;
/** As much more than after the last collection is worth one. */
const GROWN_BYTES = 8 * 2 ** 20;
/** A pass that changed something may be followed by another one that soon; the collection must not delay it. */
const QUIET_MS = 500;
/** The next look where it was not quiet: no fraction of a second, so that what happens each second is not met each time. */
const BUSY_LOOK_MS = 700;

type Flavor = "regular" | "last-resort";

/** What the keeper needs of the process. */
export interface MemoryDeps {
  /** Gives the pages that nothing uses back to the kernel, malloc_trim(3). */
  readonly trim: () => void;
  /** What of the process is in memory. */
  readonly residentBytes: () => number;
  /** A clock that nobody sets. */
  readonly elapsedMs: () => number;
}

/**
 * Has the memory given back that work left behind: of large work when the host has come to rest, of much small work now and
 * then, in a moment in which nothing else is done.
 */
export class MemoryKeeper {
  readonly #deps: MemoryDeps;
  readonly #rested = new Trigger();
  #hasWorked = true;
  #isRested = false;
  /** When a pass has changed something last. */
  #changedMs = -Infinity;
  /** What was left after the last collection; nothing is compared before the first. */
  #leastBytes = Infinity;

  constructor(deps: MemoryDeps) {
    this.#deps = deps;
  }

  /** A pass is over: one that was large is collected after once the next one had nothing to do. */
  passed({ planned, failureCount }: PassReport): void {
    if (planned + failureCount > 0) {
      this.#changedMs = this.#deps.elapsedMs();
      this.#hasWorked ||= planned >= LARGE_PASS;
    } else if (this.#hasWorked) {
      this.#hasWorked = false;
      this.#collect("last-resort");
      this.#isRested = true;
      this.#rested.nudge();
    }
  }

  /** Collects once more a while after each time that the host came to rest, and where much has grown, until `signal` aborts. */
  async run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    for (let waitMs = LOOK_MS; !signal.aborted;) {
      await this.#rested.next(waitMs, { signal });
      if (this.#isRested) {
        await pause(SETTLED_MS, { signal });
        if (signal.aborted) return;
        this.#isRested = false;
        this.#collect("last-resort");
      }
      waitMs = this.#look() ? LOOK_MS : BUSY_LOOK_MS;
    }
  }

  /** Collects where that is worth it; `false` if it is, and something else has just been done. */
  #look(): boolean {
    const { residentBytes, elapsedMs } = this.#deps;
    if (residentBytes() - this.#leastBytes < GROWN_BYTES) return true;
    if (elapsedMs() - this.#changedMs < QUIET_MS) return false;
    this.#collect("regular");
    return true;
  }

  /**
   * By itself the runtime would keep what is garbage for many seconds, and the C library what `fetch` has streamed
   * through for good. The first is there only in the binary, which is compiled with V8's `--expose-gc`.
   *
   * @param flavor All that can be found in several rounds, or what one round finds, in a third of the time.
   */
  #collect(flavor: Flavor): void {
    const { gc } = globalThis as { gc?: (options: { type: "major"; flavor: Flavor }) => void };
    gc?.({ type: "major", flavor });
    this.#deps.trim();
    this.#leastBytes = this.#deps.residentBytes();
  }
}
