import { NO_SLOT } from "../model/rows.ts";

/** Which kernel link index stands for which slot of the desired state. */
export class LinkSlots {
  /** @param linkIndexes The kernel's link index of each slot; 0 where the link does not exist. */
  constructor(readonly linkIndexes: readonly number[]) {}

  /** The slot of a link, or `NO_SLOT` for a link that is not in the desired state. */
  slotOf(linkIndex: number): number {
    return linkIndex === 0 ? NO_SLOT : this.linkIndexes.indexOf(linkIndex) >>> 0;
  }
}
