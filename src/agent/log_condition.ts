import type { LineLoss } from "../log/line_queue.ts";
import type { Condition } from "../model/condition.ts";

/** That lines of the log are lost, and where they should have gone. */
export function logConditions(
  loss: LineLoss | undefined,
  { logFilePath }: { readonly logFilePath?: string },
): readonly Condition[] {
  if (loss?.fault === undefined) return [];
  const where = logFilePath === undefined ? "standard error" : `the log file ${logFilePath}`;
  return [{ code: "log-lost", sentence: `lines of the log to ${where} are lost: ${loss.fault}` }];
}
