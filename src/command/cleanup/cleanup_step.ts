/** One thing that a cleanup removes. */
export interface CleanupStep {
  readonly verb: "delete" | "remove";
  /** What: `link flannel.1`. */
  readonly object: string;
  /** @throws {Error} If it can't be: why. */
  readonly run: () => void | Promise<void>;
}

/** What is to be removed, and what is not, as a phrase each with the reason. */
export interface CleanupPlan {
  readonly steps: readonly CleanupStep[];
  readonly kept: readonly string[];
}

/** What happens to a step, as a line: `would delete link flannel.1`, `deleted link flannel.1`. */
export function stepLine({ verb, object }: CleanupStep, isDryRun: boolean): string {
  return isDryRun ? `would ${verb} ${object}` : `${verb}d ${object}`;
}
