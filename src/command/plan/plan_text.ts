import { changeText, type HostPlan, type PlannedStage } from "../../model/host_plan.ts";

/** Says a plan, by the stages in the order in which they are done; nothing where there is nothing to do or to know. */
export function* planText({ stages, notes }: HostPlan): Generator<string> {
  for (const stage of stages) yield* stageText(stage);
  if (notes.length === 0) return;
  yield "notes";
  for (const note of notes) yield `  ${note}`;
}

function* stageText({ stage, changes, total, unseen, notes }: PlannedStage): Generator<string> {
  yield stage;
  for (const change of changes) yield `  ${changeText(change)}`;
  const more = total - changes.length;
  if (more > 0) yield `  and ${more.toLocaleString("en-US")} more; --all lists them`;
  for (const note of notes) yield `  note: ${note}`;
  if (unseen !== undefined) yield `  not looked at: ${unseen}`;
}
