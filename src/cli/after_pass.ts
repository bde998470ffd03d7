import type { Log } from "../log/log.ts";
import type { PassReport } from "../reconcile/report.ts";

/** Peers left out that the log names at a time, and characters that it takes of each. */
const NAMED_FAULTS = 20;
const MAX_WORDS_LENGTH = 300;
/** Changes in one pass that leave much garbage. */
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

/**
 * Has the memory of a large pass collected once the host has settled: by itself the runtime would keep it for many
 * seconds. It is there only in the binary, which is compiled with V8's `--expose-gc`.
 */
export function restAfterWork(): (report: PassReport) => void {
  const { gc } = globalThis as { gc?: (options: { type: "major"; flavor: "last-resort" }) => void };
  let hasWorked = true;
  return ({ planned, failureCount }) => {
    if (planned + failureCount > 0) hasWorked ||= planned >= LARGE_PASS;
    else if (hasWorked) {
      hasWorked = false;
      gc?.({ type: "major", flavor: "last-resort" });
    }
  };
}
