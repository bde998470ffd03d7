import { AF_INET, type Family, familyOf } from "../model/address.ts";
import { FDB, NEIGHBOUR, ROUTE, routeDestination } from "../model/rows.ts";
import type { DesiredState } from "../model/state.ts";
import type { TableName, TableStep } from "./plan.ts";
import type { Wanted } from "./wanted.ts";

// Which rows of a step are to be changed now.

/** Where the rows of each table hold the slot of their link. */
export const SLOT_WORD: Readonly<Record<TableName, number>> = {
  neighbours: NEIGHBOUR.slot,
  fdb: FDB.slot,
  routes: ROUTE.slot,
};

const FAMILY_WORD = {
  neighbours: NEIGHBOUR.family,
  routes: ROUTE.family,
} as const;

/**
 * Of what there is too much of, only the routes that take what this host needs itself: by such a route it may be cut off
 * from the registry, so that it would never hear more than it remembers.
 */
export function onlyCovering(step: TableStep, { isCovering }: Wanted): TableStep {
  const { words, layout } = step.rows;
  const isDue = (at: number) => isCovering?.(routeDestination(words, at)) ?? false;
  const isDeletion = step.table === "routes" && step.operation === "delete";
  return { ...step, indices: step.indices.filter((row) => isDeletion && isDue(row * layout.words)) };
}

/** The step without the rows of links that are not there or down; why they are is a failure already. */
export function onPresentLinks(step: TableStep, linkIndexes: readonly number[]): TableStep {
  if (!linkIndexes.includes(0)) return step;
  const { words, layout } = step.rows;
  const slotWord = SLOT_WORD[step.table];
  return {
    ...step,
    indices: step.indices.filter((row) => linkIndexes[words[row * layout.words + slotWord]!] !== 0),
  };
}

/** The step without the rows of families that could not be read: nobody knows what is there of those. */
export function ofReadFamilies(
  step: TableStep,
  { links }: DesiredState,
  unread: ReadonlySet<Family>,
): TableStep {
  if (unread.size === 0) return step;
  const { words, layout } = step.rows;
  const familyAt = (at: number) => {
    if (step.table !== "fdb") return words[at + FAMILY_WORD[step.table]] as Family;
    const link = links[words[at + FDB.slot]!];
    return link?.kind === "vxlan" ? familyOf(link.local) : AF_INET;
  };
  return { ...step, indices: step.indices.filter((row) => !unread.has(familyAt(row * layout.words))) };
}
