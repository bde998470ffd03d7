import type { Severity } from "./reason.ts";
import { REASONS } from "./reasons.ts";

/** What names a kind of condition, in `/status`, the log, metrics and the documentation; never renamed. */
export type ConditionCode = keyof typeof REASONS;

/** A fact about this host that an operator may have to know. */
export interface Condition {
  readonly code: ConditionCode;
  /** What is, why, and what to do here: one sentence. */
  readonly sentence: string;
}

/** How bad a condition is. */
export function severityOf({ code }: Condition): Severity {
  return REASONS[code].severity;
}

/** Whether pods can be started on a host: nothing is in the way. */
export function isReady(conditions: readonly Condition[]): boolean {
  return !conditions.some((one) => severityOf(one) === "blocking");
}

/** The sentences of the conditions of one severity, in their order. */
export function sentencesOf(severity: Severity, conditions: readonly Condition[]): readonly string[] {
  return conditions.filter((one) => severityOf(one) === severity).map(({ sentence }) => sentence);
}
