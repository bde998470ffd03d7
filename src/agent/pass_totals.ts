import type { PassReport } from "../reconcile/report.ts";
import type { Totals } from "../status/facts.ts";

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
