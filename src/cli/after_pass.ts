import type { Log } from "../log/log.ts";
import type { Finding } from "../model/finding.ts";
import type { Totals } from "../status/metrics.ts";
import type { PassReport } from "../reconcile/report.ts";

/** Peers left out that the log names at a time, and characters that it takes of each. */
const NAMED_FAULTS = 20;
const MAX_WORDS_LENGTH = 300;
/** Changes in one pass, or leases, that leave much garbage. */
const LARGE_PASS = 1000;

/** Says of each peer once that it is left out, and why; `/status` has them all. */
export function tellOfNewFaults(log: Log): (report: PassReport) => void {
  let known = new Set<string>();
  let last: PassReport["faults"] | undefined;
  return ({ faults }) => {
    if (faults === last) return;
    last = faults;
    const told = new Set<string>();
    for (const { host, reason } of faults.slice(0, NAMED_FAULTS)) {
      const text = `${host} ${reason}`;
      told.add(text);
      // Both may be another host's words.
      const cut = (words: string) => words.slice(0, MAX_WORDS_LENGTH);
      if (!known.has(text)) log.write("warn", "peer left out", { host: cut(host), reason: cut(reason) });
    }
    known = told;
  };
}

/** Says once that something was found, and once that it is no more. */
export function tellOfNewFindings(log: Log, subject: string): (findings: readonly Finding[]) => void {
  let known: readonly string[] = [];
  return (findings) => {
    const sentences = findings.map(({ sentence }) => sentence);
    for (const reason of sentences) if (!known.includes(reason)) log.write("warn", subject, { reason });
    if (sentences.length === 0 && known.length > 0) log.write("info", `${subject} no more`);
    known = sentences;
  };
}

/** The hosts that claim what this host claims. */
export function rivalsIn({ faults }: PassReport): readonly string[] {
  return faults.filter(({ isContest }) => isContest).map(({ host }) => host);
}

/**
 * Says when it is other peers that are left out, and whether there are rivals among them: whoever came later gives
 * way, where that can be, as a clone takes another MAC.
 */
export function followRivals(
  deps: { readonly changed: () => void; readonly met: () => void },
): (report: PassReport) => void {
  let last: PassReport["faults"] | undefined;
  return (report) => {
    if (report.faults === last) return;
    last = report.faults;
    deps.changed();
    if (rivalsIn(report).length > 0) deps.met();
  };
}

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

/** Counts what passes do, for `/metrics`. */
export class PassTotals implements Totals {
  passes = 0;
  planned = 0;
  failed = 0;

  count({ planned, failureCount }: PassReport): void {
    this.passes++;
    this.planned += planned;
    this.failed += failureCount;
  }
}
