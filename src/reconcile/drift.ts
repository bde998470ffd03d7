import { SILENT } from "../log/log.ts";
import type { DesiredLink, DesiredState, ObservedLink, ObservedTables } from "../model/state.ts";
import type { LinkStep, TableStep } from "./plan.ts";
import { type Applier, type ReconcilerDeps, runPass, usableIndexes } from "./reconciler.ts";
import type { PassReport } from "./report.ts";

/** What is there, and what must change: the drift of this moment. */
export interface Drift {
  readonly links: readonly LinkStep[];
  readonly tables: readonly TableStep[];
  /** The links of the desired state, which rows refer to. */
  readonly slots: readonly DesiredLink[];
  /** Each of them as it is there. */
  readonly found: readonly (ObservedLink | undefined)[];
  /** The tables as they are, until the observer looks again; absent where they were not looked at. */
  readonly observed: ObservedTables | undefined;
  /** Names of links that will be made. */
  readonly created: readonly string[];
  /** What the pass would report; `undefined` while it is not known what this host must hold. */
  readonly report: PassReport | undefined;
}

/** Stands for the index of a link that is there once a plan is carried out. */
const PLANNED_LINK = 0xffff_ffff;

/**
 * What a pass would do now: the very pass, but for the applier, which writes the steps down. What another program changes
 * again and again is in it, though a pass may leave that for a while.
 */
export function observeDrift(deps: ReconcilerDeps): Drift {
  const links: LinkStep[] = [];
  const tables: TableStep[] = [];
  let slots: readonly DesiredLink[] = [];
  let found: readonly (ObservedLink | undefined)[] = [];
  let tablesFound: ObservedTables | undefined;
  const applier: Applier = {
    link: (step) => {
      links.push(step);
      if (step.kind === "need link") throw new Error(`Cannot route over link ${step.name}: ${step.why}`);
    },
    table: (step) => void tables.push(step),
    linkIndexes: (state, observed) => {
      [slots, found] = [state.links, observed];
      return plannedIndexes(links, state, observed);
    },
    tablesSeen: (observed) => tablesFound = observed,
  };
  const { fights: _, stepped: __, blame: ___, ...rest } = deps;
  const report = runPass({ ...rest, log: SILENT }, applier);
  return { links, tables, slots, found, observed: tablesFound, created: createdLinks(links), report };
}

function createdLinks(steps: readonly LinkStep[]): string[] {
  return steps.flatMap((step) => step.kind === "create link" ? [step.link.name] : []);
}

/** The index that each link has once the steps are carried out. */
function plannedIndexes(
  steps: readonly LinkStep[],
  { links }: DesiredState,
  observed: readonly (ObservedLink | undefined)[],
): number[] {
  const made = createdLinks(steps);
  const isSetUp = (name: string) =>
    steps.some((step) => step.kind === "change link" && step.name === name && step.change.isUp === true);
  return usableIndexes(observed).map((index, slot) => {
    const { name } = links[slot]!;
    if (made.includes(name)) return PLANNED_LINK;
    return index === 0 && isSetUp(name) ? observed[slot]!.linkIndex : index;
  });
}
