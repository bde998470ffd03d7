import { errorText } from "../log/error_text.ts";
import type { Condition } from "../model/condition.ts";
import type { PassReport } from "../reconcile/report.ts";

/** When a stage is run: in each pass; once links and tables were compared; or if packets can be forwarded. */
export type StageNeed = "nothing" | "report" | "forwarding";

/** One step of a pass. */
export interface Stage {
  readonly name: string;
  readonly needs: StageNeed;
  /** Answers with the report if the stage makes it. */
  readonly run: (report: PassReport | undefined) => PassReport | void;
}

/** Told how long each stage took. */
export interface StageMeasure {
  /** A clock that nobody sets. */
  readonly elapsedMs: () => number;
  readonly staged: (name: string, tookMs: number, isFailed: boolean) => void;
}

/**
 * Runs the stages of a pass in their order. One that fails keeps no other from being run: what follows of it is seen by
 * each stage itself, and the next pass tries again.
 */
export class Pass {
  readonly #stages: readonly Stage[];
  readonly #measure: StageMeasure | undefined;
  #failures: readonly Condition[] = [];
  #last: PassReport | undefined;

  constructor(stages: readonly Stage[], measure?: StageMeasure) {
    this.#stages = stages;
    this.#measure = measure;
  }

  /** The report of the last pass; `undefined` before the first. */
  get last(): PassReport | undefined {
    return this.#last;
  }

  /** The stages of the last pass that failed. */
  get conditions(): readonly Condition[] {
    return this.#failures;
  }

  /** Runs all stages once. Answers whether nothing is left to be done. */
  run(): boolean {
    const failures: Condition[] = [];
    let report: PassReport | undefined;
    for (const { name, needs, run } of this.#stages) {
      if (!isMet(needs, report)) continue;
      const startedMs = this.#measure?.elapsedMs() ?? 0;
      let isFailed = false;
      try {
        const made = run(report);
        if (made !== undefined) this.#last = report = made;
      } catch (error) {
        isFailed = true;
        failures.push({
          code: "stage-failed",
          sentence: `the stage "${name}" of the last pass failed: ${errorText(error)}`,
        });
      }
      this.#measure?.staged(name, this.#measure.elapsedMs() - startedMs, isFailed);
    }
    this.#failures = failures;
    return failures.length === 0 && (report === undefined || report.failureCount === 0);
  }
}

function isMet(needs: StageNeed, report: PassReport | undefined): boolean {
  if (needs === "nothing") return true;
  return report !== undefined && (needs === "report" || report.isForwarding);
}
