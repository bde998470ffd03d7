import type { Log } from "../log/log.ts";
import type { Family } from "../model/address.ts";
import type { DesiredState } from "../model/state.ts";
import { ofReadFamilies, onlyCovering, onPresentLinks } from "./due_rows.ts";
import type { TableStep } from "./plan.ts";
import { type Blame, rowFacts } from "./repair_lines.ts";
import type { Failures } from "./report.ts";
import type { StateFights, StepScene } from "./state_fights.ts";
import type { Wanted } from "./wanted.ts";

/** What a step changes. */
export type StepKind = "link" | "address" | "neighbour" | "FDB entry" | "route";

const TABLE_KINDS = { neighbours: "neighbour", fdb: "FDB entry", routes: "route" } as const;

/** Who is told of steps. */
export interface StepDeps {
  /** Knows what other programs change again and again; all is put back at once if absent. */
  readonly fights?: StateFights;
  /** Told of steps that were carried out or refused, by the kind of what they change. */
  readonly stepped?: (kind: StepKind, result: "done" | "failed", count: number) => void;
  /** Says who has changed a thing since the last pass, as far as that is known; nobody is named if absent. */
  readonly blame?: Blame;
  readonly log: Log;
}

/** Carries out a step on a table. */
export type ApplyTable = (
  step: TableStep,
  links: DesiredState["links"],
  linkIndexes: readonly number[],
  failures: Failures,
) => void;

/** What steps on tables are carried out by. */
export interface StepContext {
  readonly desire: Wanted;
  readonly linkIndexes: readonly number[];
  /** Families that could not be read. */
  readonly unread: ReadonlySet<Family>;
  readonly scene: StepScene;
  readonly failures: Failures;
}

/** Carries out the steps on the tables, as far as they are due now; counts the rows. */
export function applySteps(
  deps: StepDeps,
  apply: ApplyTable,
  steps: readonly TableStep[],
  { desire, linkIndexes, unread, scene, failures }: StepContext,
): { readonly planned: number; readonly applied: number } {
  const { state, isRemembered } = desire;
  const { fights } = deps;
  let planned = 0;
  let applied = 0;
  for (const whole of steps) {
    // The kernel may know better: an earlier process may have ended before it noted what it did last.
    const due = isRemembered && whole.operation !== "add" ? onlyCovering(whole, desire) : whole;
    if (due.indices.length === 0) continue;
    const possible = ofReadFamilies(onPresentLinks(due, linkIndexes), state, unread);
    const step = fights?.due(possible, scene) ?? possible;
    if (step.indices.length === 0) continue;
    planned += step.indices.length;
    const failedBefore = failures.count;
    apply(step, state.links, linkIndexes, failures);
    const { table, operation, indices } = step;
    const refused = failures.count - failedBefore;
    if (refused > 0) fights?.tableFailed(table);
    const rows = indices.length - refused;
    applied += rows;
    deps.stepped?.(TABLE_KINDS[table], "done", rows);
    deps.stepped?.(TABLE_KINDS[table], "failed", refused);
    if (rows > 0) {
      deps.log.write("info", "table changed", {
        table,
        operation,
        rows,
        ...rowFacts(step, state.links, deps.blame),
      });
    }
  }
  return { planned, applied };
}
