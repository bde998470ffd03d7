import type { Log } from "../log/log.ts";
import { QuietLines } from "../loop/quiet_lines.ts";
import type { PassReport } from "../reconcile/report.ts";

/** Peers left out that the log names at a time, and characters that it takes of each. */
const NAMED_FAULTS = 20;
const MAX_WORDS_LENGTH = 300;

/** Says of each peer once that it is left out, and why; `/status` has them all. */
export function logPeersLeftOut(log: Log, elapsedMs: () => number): (report: PassReport) => void {
  const lines = new QuietLines(elapsedMs);
  let known = new Set<string>();
  let last: PassReport["faults"] | undefined;
  return ({ faults }) => {
    if (faults === last) return;
    const told = new Set<string>();
    const named = faults.slice(0, NAMED_FAULTS);
    for (const { host, reason } of named) {
      const text = `${host} ${reason}`;
      if (known.has(text)) told.add(text);
      else if (lines.isDue(text)) {
        told.add(text);
        // Both may be another host's words.
        const cut = (words: string) => words.slice(0, MAX_WORDS_LENGTH);
        log.write("warn", "peer left out", { host: cut(host), reason: cut(reason) });
      }
    }
    known = told;
    last = named.every(({ host, reason }) => told.has(`${host} ${reason}`)) ? faults : undefined;
  };
}
