import type { Family } from "../model/address.ts";
import type { RowLayout, Table } from "../model/table.ts";
import type { AttributeReader } from "../netlink/attribute.ts";
import type { MessageReader, MessageWriter } from "../netlink/message.ts";
import type { LinkSlots } from "./link_slots.ts";

/** What can be asked for a row. */
export type RowOperation = "add" | "replace" | "delete";

/**
 * Writes the request about the row at `at`.
 *
 * @param linkIndexes The kernel's link index of each slot.
 */
export type EncodeRow = (
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndexes: readonly number[],
) => void;

/** How the rows of one kind of table are said to the kernel, and read from it. */
export interface RowCodec {
  readonly layout: RowLayout;
  /** What the table holds, as iproute2 calls it. */
  readonly noun: string;
  /**
   * The request of each operation. Where there is an object with the row's key `replace` takes its place, `delete`
   * deletes exactly the row's, and `add` is each codec's own.
   */
  readonly encode: Readonly<Record<RowOperation, EncodeRow>>;
  /** Writes the request for the objects on one link that are of `family`, where they have one. */
  encodeDump(writer: MessageWriter, sequence: number, family: Family, linkIndex: number): void;
  /**
   * Appends what one dump message tells to a table, unless it is of no interest.
   *
   * @param attributes A reader over the message's buffer, to be reused between messages.
   * @param slots Which slot stands for a link.
   * @returns How many rows were appended.
   * @throws {SyntaxError} If the message is malformed.
   */
  decode(
    message: MessageReader,
    attributes: AttributeReader,
    slots: Pick<LinkSlots, "slotOf">,
    table: Table,
  ): number;
}
