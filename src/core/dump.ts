import type { Prefix } from "../model/address.ts";
import { writeFamilyAddress } from "../model/rows.ts";
import type { Table } from "../model/table.ts";
import * as wasm from "../../wasm/build/core.wasm";

/** What the core calls each hot table. */
const KINDS = { routes: 0, neighbours: 1, fdb: 2 } as const;
/** Words of one network: family, address, length. */
const NETWORK_WORDS = 6;
const DATAGRAM_BYTES = 64 * 1024;
/** The kernel's link indexes are positive; what is beyond stands for no link of the kernel's. */
const LAST_LINK_INDEX = 0x7fff_ffff;

/** What tells the rows that are of interest from others. */
export interface RowFacts {
  /** The kernel's link index of each slot; 0 where there is none. */
  readonly linkIndexes: readonly number[];
  /** The cluster networks. */
  readonly networks: readonly Prefix[];
}

/** Makes rows of the plain messages of a dump, in the memory of the core and without an object a message. */
export interface RowTaker {
  /** Where datagrams are received; valid for one dump. */
  readonly buffer: Uint8Array<ArrayBuffer>;
  /**
   * Appends to the table what the messages from byte `from` on tell, those that are for other requests and of no interest passed by.
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
 * @returns `undefined` where the core has no room for the facts, or for the window: then every message is left to who asks.
 */
export function openRowTaker(
  kind: keyof typeof KINDS,
  table: Table,
  { linkIndexes, networks }: RowFacts,
): RowTaker | undefined {
  if (linkIndexes.some((index) => index > LAST_LINK_INDEX)) return undefined;
  if (wasm.openWindow(networks.length, linkIndexes.length) !== 0) return undefined;
  const buffer = wasm.memory.buffer as ArrayBuffer;
  const words = new Uint32Array(buffer, wasm.networksPtr() >>> 0, networks.length * NETWORK_WORDS).fill(0);
  for (const [index, { address, length }] of networks.entries()) {
    writeFamilyAddress(words, index * NETWORK_WORDS, address);
    words[index * NETWORK_WORDS + NETWORK_WORDS - 1] = length;
  }
  new Uint32Array(buffer, wasm.linksPtr() >>> 0, linkIndexes.length).set(linkIndexes);
  const rowsAt = wasm.rowsPtr() >>> 0;
  return {
    buffer: new Uint8Array(buffer, wasm.datagramPtr() >>> 0, DATAGRAM_BYTES),
    take(from, limit, sequence) {
      const next = wasm.take(KINDS[kind], from, limit, sequence) >>> 0;
      table.append(new Uint32Array(buffer, rowsAt, wasm.rows() * table.layout.words));
      return next;
    },
    get flags() {
      return wasm.flags() >>> 0;
    },
  };
}
