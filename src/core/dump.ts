import type { Table } from "../model/table.ts";
import { KINDS, openWindow, type RowFacts, type RowKind, viewBytes, viewWords } from "./window.ts";
import * as wasm from "../../wasm/build/core.wasm";

const DATAGRAM_BYTES = 64 * 1024;

/** Makes rows of the plain messages of a dump, in the memory of the core and without an object a message. */
export interface RowTaker {
  /** Where datagrams are received; valid for one dump. */
  readonly buffer: Uint8Array<ArrayBuffer>;
  /**
   * Appends to the table what the messages from byte `from` on tell; those for other requests, and what is of no
   * interest, are passed by.
   *
   * @param limit Bytes of the datagram.
   * @returns Where the first message begins that is not plain, and so is left to who asks; `limit` or more for none.
   */
  take(from: number, limit: number, sequence: number): number;
  /** The flags of all messages that the last `take()` passed by, one or the other. */
  readonly flags: number;
}

/**
 * Opens the core's window for one dump of the rows of `table`. Another one that is opened meanwhile takes its place.
 *
 * @returns `undefined` where the core has no room for the facts: then every message is left to who asks.
 */
export function openRowTaker(kind: RowKind, table: Table, facts: RowFacts): RowTaker | undefined {
  if (!openWindow(facts)) return undefined;
  return {
    buffer: viewBytes(wasm.datagramPtr(), DATAGRAM_BYTES),
    take(from, limit, sequence) {
      const next = wasm.take(KINDS[kind], from, limit, sequence) >>> 0;
      table.append(viewWords(wasm.rowsPtr(), wasm.rows() * table.layout.words));
      return next;
    },
    get flags() {
      return wasm.flags() >>> 0;
    },
  };
}
