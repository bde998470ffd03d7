import { errorText } from "../log/error_text.ts";
import type { Condition } from "../model/condition.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { StateTables } from "../model/state.ts";

/** When a stage is run: in each pass; once links and tables were compared; or if packets can be forwarded. */
export type StageNeed = "nothing" | "report" | "forwarding";

/** One step of a pass. */
export interface Stage {
  readonly name: string;
  readonly needs: StageNeed;
  /** Answers with the report if the stage makes it. */
  readonly run: (report: PassReport | undefined) => PassReport | void;
  /** Does the same for some rows; answers with nothing if all is to be looked at. In a partial pass it is the first. */
  readonly runPart?: (rows: StateTables) => PassReport | undefined;
  /** What it does in a partial pass; nothing if absent. */
  readonly afterPart?: (report: PassReport) => void;
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
    for (const stage of this.#stages) {
      if (!isMet(stage.needs, report)) continue;
      this.#measured(stage.name, failures, () => {
        const made = stage.run(report);
        if (made !== undefined) this.#last = report = made;
      });
    }
    this.#failures = failures;
    return isWell(failures, report);
  }

  /**
   * Runs the stages that look at some rows, or follow from what they do. Answers whether nothing is left to be done;
   * `undefined` if all stages are to be run.
   */
  runPart(rows: StateTables): boolean | undefined {
    // A stage that has failed is to be tried again.
    if (this.#failures.length > 0) return undefined;
    const failures: Condition[] = [];
    let report: PassReport | undefined;
    const maker = this.#stages.find(({ runPart }) => runPart !== undefined);
    if (maker !== undefined) this.#measured(maker.name, failures, () => report = maker.runPart!(rows));
    if (report === undefined) return undefined;
    const made: PassReport = this.#last = report;
    for (const { name, needs, afterPart } of this.#stages) {
      if (afterPart !== undefined && isMet(needs, made)) {
        this.#measured(name, failures, () => afterPart(made));
      }
    }
    this.#failures = failures;
    return isWell(failures, report);
  }

  /** Runs one stage, and says how long it took; what it throws is a failure. */
  #measured(name: string, failures: Condition[], run: () => void): void {
    const startedMs = this.#measure?.elapsedMs() ?? 0;
    let isFailed = false;
    try {
      run();
    } catch (error) {
      isFailed = true;
      failures.push({
        code: "stage-failed",
        sentence: `the stage "${name}" of the last pass failed: ${errorText(error)}`,
      });
    }
    this.#measure?.staged(name, this.#measure.elapsedMs() - startedMs, isFailed);
  }
}

function isWell(failures: readonly Condition[], report: PassReport | undefined): boolean {
  return failures.length === 0 && (report === undefined || report.failureCount === 0);
}

function isMet(needs: StageNeed, report: PassReport | undefined): boolean {
  if (needs === "nothing") return true;
  return report !== undefined && (needs === "report" || report.isForwarding);
}
