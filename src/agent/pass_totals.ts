import type { LineLoss } from "../log/line_queue.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { Totals } from "../status/facts.ts";

/** Counts what passes do, and what the log has lost, for `/metrics`. */
export class PassTotals implements Totals {
  passes = 0;
  planned = 0;
  failed = 0;
  readonly #loss: Pick<LineLoss, "lostLines"> | undefined;

  /** @param loss Counts lines of the log that were lost. */
  constructor(loss?: Pick<LineLoss, "lostLines">) {
    this.#loss = loss;
  }

  get lostLogLines(): number {
    return this.#loss?.lostLines ?? 0;
  }

  count({ planned, failureCount }: PassReport): void {
    this.passes++;
    this.planned += planned;
    this.failed += failureCount;
  }
}
