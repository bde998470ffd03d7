import { formatPrefix } from "../model/address.ts";
import type { DesiredLink } from "../model/state.ts";
import { nameRow } from "./apply.ts";
import { linkNameOf, type LinkStep, type TableStep } from "./plan.ts";

/** Rows that a line names, and that it is looked for who has changed them. */
const SHOWN_ROWS = 3;
const LOOKED_ROWS = 32;

/** Says who has changed a thing since the last pass, as far as that is known. */
export type Blame = (thing: string) => string | undefined;

/** What the log says of a step on a link, beside what was done. */
export function linkFacts(step: LinkStep, blame: Blame | undefined): Readonly<Record<string, unknown>> {
  const name = linkNameOf(step);
  const thing = "prefix" in step ? `address ${formatPrefix(step.prefix)} of ${name}` : `link ${name}`;
  return { ..."why" in step && { found: step.why }, ...blamed([thing], blame) };
}

/** What the log says of a step on a table, beside how many rows it had. */
export function rowFacts(
  { table, rows, indices }: TableStep,
  links: readonly DesiredLink[],
  blame: Blame | undefined,
): Readonly<Record<string, unknown>> {
  const { words, layout } = rows;
  const names = Array.from(
    indices.subarray(0, LOOKED_ROWS),
    (row) => nameRow(table, words, row * layout.words, links),
  );
  return { which: names.slice(0, SHOWN_ROWS), ...blamed(names, blame) };
}

/** Who has made the change necessary, if that is known of one of the things. */
function blamed(things: readonly string[], blame: Blame | undefined): { readonly by?: string } {
  if (blame === undefined) return {};
  for (const thing of things) {
    const by = blame(thing);
    if (by !== undefined) return { by };
  }
  return {};
}
