import { Histogram, type HistogramFigures } from "../model/tally.ts";
import type { PassReport } from "./report.ts";

/** In seconds: a repair takes some milliseconds, and a refusal of the kernel until its cause has gone. */
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300];

/** Measures repairs, from the first notification that a pass has not answered yet until all is as it must be. */
export class RepairTimes {
  readonly #elapsedMs: () => number;
  readonly #seconds = new Histogram(BOUNDS);
  #heardMs: number | undefined;
  #isDue = false;

  /** @param elapsedMs A clock that nobody sets. */
  constructor(elapsedMs: () => number) {
    this.#elapsedMs = elapsedMs;
  }

  get seconds(): HistogramFigures {
    return this.#seconds;
  }

  /** The kernel has told of a change that another program has made. */
  heard(): void {
    this.#heardMs ??= this.#elapsedMs();
  }

  /** A pass has ended. One that had nothing to do, and none before it that failed, was no repair. */
  passed({ planned, failureCount }: Pick<PassReport, "planned" | "failureCount">): void {
    if (this.#heardMs === undefined) return;
    this.#isDue ||= planned > 0;
    if (failureCount > 0) return;
    if (this.#isDue) this.#seconds.add((this.#elapsedMs() - this.#heardMs) / 1000);
    this.#heardMs = undefined;
    this.#isDue = false;
  }
}
