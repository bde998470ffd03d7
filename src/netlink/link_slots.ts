import { NEXT_HOP, NO_SLOT } from "../model/rows.ts";
import type { Table } from "../model/table.ts";

/** Which kernel link index stands for which slot of the desired state. */
export class LinkSlots {
  readonly #nextHops: Table | undefined;
  #ofNextHops: ReadonlyMap<number, number> | undefined;

  /**
   * @param linkIndexes The kernel's link index of each slot; 0 where the link does not exist.
   * @param nextHops All next hops that routes may use, as rows.
   */
  constructor(readonly linkIndexes: readonly number[], nextHops?: Table) {
    this.#nextHops = nextHops;
  }

  /** The slot of a link, or `NO_SLOT` for a link that is not in the desired state. */
  slotOf(linkIndex: number): number {
    return linkIndex === 0 ? NO_SLOT : this.linkIndexes.indexOf(linkIndex) >>> 0;
  }

  /** The slot of the link that a next hop leaves by. */
  slotOfNextHop(id: number): number {
    this.#ofNextHops ??= slotsById(this.#nextHops);
    return this.#ofNextHops.get(id) ?? NO_SLOT;
  }
}

function slotsById(nextHops: Table | undefined): ReadonlyMap<number, number> {
  const { words, layout } = nextHops ?? { words: [], layout: NEXT_HOP };
  const slots = new Map<number, number>();
  for (let at = 0; at < words.length; at += layout.words) slots.set(words[at]!, words[at + NEXT_HOP.slot]!);
  return slots;
}
