import type { CountedLog } from "../log/counted_log.ts";
import type { LineLoss } from "../log/line_queue.ts";
import { Histogram, Tally } from "../model/tally.ts";
import type { StepKind } from "../reconcile/apply_steps.ts";
import { RepairTimes } from "../reconcile/repair_times.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { Figures, StageFigures, Totals } from "../status/facts.ts";

/** In seconds: a pass of 100 hosts takes a millisecond, one of 5,000 some tens. */
const PASS_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** Events of the log that are a change of something, by what is changed. */
const CHANGES = {
  "sysctl set": "setting",
  "checksum offload set": "setting",
  "rules changed": "rules",
  "bridge changed": "bridge address",
  "way out of pods changed": "way out",
  "cloud route changed": "cloud route",
} as const;

/** What passes change. A counter that begins at zero shows its first rise. */
const STEPS: readonly StepKind[] = ["link", "address", "neighbour", "FDB entry", "route"];

/** Counts what the agent does from its start on, and what the log has lost, for `/metrics`. */
export class PassTotals implements Totals, Figures {
  passes = 0;
  planned = 0;
  failed = 0;
  overruns = 0;
  readonly passSeconds = new Histogram(PASS_BOUNDS);
  readonly repairs = new RepairTimes(() => performance.now());
  /** By the number of the error. */
  readonly netlinkErrors = new Tally<number>();
  readonly #stages = new Map<string, { runs: number; failures: number; seconds: number }>();
  readonly #steps = new Map(STEPS.map((kind) => [kind as string, { done: 0, failed: 0 }]));
  readonly #loss: Pick<LineLoss, "lostLines"> | undefined;
  readonly #log: Pick<CountedLog, "levels" | "times"> | undefined;

  /**
   * @param loss Counts lines of the log that were lost.
   * @param log Counts those that were said.
   */
  constructor(loss?: Pick<LineLoss, "lostLines">, log?: Pick<CountedLog, "levels" | "times">) {
    this.#loss = loss;
    this.#log = log;
  }

  get lostLogLines(): number {
    return this.#loss?.lostLines ?? 0;
  }

  get logLines(): Figures["logLines"] {
    return this.#log?.levels ?? {};
  }

  get stages(): ReadonlyMap<string, StageFigures> {
    return this.#stages;
  }

  get steps(): Figures["steps"] {
    const steps = new Map(this.#steps);
    for (const [event, kind] of Object.entries(CHANGES)) {
      const done = (steps.get(kind)?.done ?? 0) + (this.#log?.times(event) ?? 0);
      steps.set(kind, { done, failed: 0 });
    }
    return steps;
  }

  get repairSeconds(): Figures["repairSeconds"] {
    return this.repairs.seconds;
  }

  get errors(): Figures["errors"] {
    const times = (event: string) => this.#log?.times(event) ?? 0;
    return {
      change: this.failed,
      stage: [...this.#stages.values()].reduce((sum, { failures }) => sum + failures, 0),
      loop: times("loop failed"),
      uncaught: times("fault not caught"),
    };
  }

  /** A pass has ended. */
  count(report: PassReport): void {
    this.passes++;
    this.planned += report.planned;
    this.failed += report.failureCount;
    this.passSeconds.add(report.durationMs / 1000);
    this.repairs.passed(report);
  }

  /** A stage of a pass has ended. */
  readonly staged = (name: string, tookMs: number, isFailed: boolean): void => {
    const stage = this.#stages.get(name) ?? { runs: 0, failures: 0, seconds: 0 };
    stage.runs++;
    if (isFailed) stage.failures++;
    stage.seconds += tookMs / 1000;
    this.#stages.set(name, stage);
  };

  /** Steps of a kind were carried out, or refused. */
  readonly stepped = (kind: StepKind, result: "done" | "failed", count: number): void => {
    this.#steps.get(kind)![result] += count;
  };
}
