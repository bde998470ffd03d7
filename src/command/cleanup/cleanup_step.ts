/** One thing that a cleanup changes. */
export interface CleanupStep {
  readonly verb: "delete" | "remove" | "turn" | "write";
  /** What: `link flannel.1`. */
  readonly object: string;
  /** @throws {Error} If it can't be: why. */
  readonly run: () => void | Promise<void>;
  /** Why it can't be, where that is known before it is tried: a clause. */
  readonly obstacle?: string | undefined;
}

/** What is to be changed, and what is not, as a phrase each with the reason. */
export interface CleanupPlan {
  readonly steps: readonly CleanupStep[];
  readonly kept: readonly string[];
}

const PAST: Readonly<Record<CleanupStep["verb"], string>> = {
  delete: "deleted",
  remove: "removed",
  turn: "turned",
  write: "wrote",
};

/** What happens to a step, as a line: `would delete link flannel.1`, `deleted link flannel.1`. */
export function stepLine({ verb, object }: Pick<CleanupStep, "verb" | "object">, isDryRun: boolean): string {
  return isDryRun ? `would ${verb} ${object}` : `${PAST[verb]} ${object}`;
}
