import { errorText } from "../../log/error_text.ts";
import { type CleanupStep, stepLine } from "../cleanup/cleanup_step.ts";

/** What the command does, as its sentences begin. */
export const VERB = "hand back";

/** What can't be done, or looked for, and why. */
export interface Failure {
  readonly verb: CleanupStep["verb"] | "look for" | typeof VERB;
  readonly object: string;
  readonly reason: string;
}

/** What was done, or would be. */
export interface HandBackReport {
  readonly dryRun: boolean;
  readonly done: readonly Pick<CleanupStep, "verb" | "object">[];
  readonly failed: readonly Failure[];
  /** What stays, and why: a clause each. */
  readonly kept: readonly string[];
}

/** What would become of steps, as far as it is known before they are tried. */
export function foreseen(steps: readonly CleanupStep[]): Pick<HandBackReport, "done" | "failed"> {
  const done = steps.filter(({ obstacle }) => obstacle === undefined);
  const failed = steps.flatMap(({ verb, object, obstacle: reason }) =>
    reason === undefined ? [] : [{ verb, object, reason }]
  );
  return { done: done.map(({ verb, object }) => ({ verb, object })), failed };
}

/** What is told where nothing was done. */
export function refusal(error: unknown, dryRun: boolean): HandBackReport {
  const [object, begin] = ["this host", `Cannot ${VERB} this host: `];
  const text = errorText(error);
  const reason = text.startsWith(begin) ? text.slice(begin.length) : text;
  return { dryRun, done: [], failed: [{ verb: VERB, object, reason }], kept: [] };
}

/** What is said of it, a step a line. */
export function reportLines({ dryRun, done, failed, kept }: HandBackReport): string[] {
  const nothing = done.length + failed.length === 0 ? ["nothing of ours is here"] : [];
  return [
    ...nothing,
    ...done.map((step) => stepLine(step, dryRun)),
    ...failed.map(({ verb, object, reason }) => `Cannot ${verb} ${object}: ${reason}`),
    ...kept.map((one) => `left alone: ${one}`),
    ...failed.length === 0 ? [] : ["Not handed back: mend what stands above and run this again"],
  ];
}
