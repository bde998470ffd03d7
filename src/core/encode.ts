import type { Table } from "../model/table.ts";
import { KINDS, openWindow, type RowKind, viewBytes, viewWords } from "./window.ts";
import * as wasm from "../../wasm/build/core.wasm";

const OPERATIONS = { add: 0, replace: 1, delete: 2 } as const;

/** Requests that are sent at once. */
export interface EncodedRequests {
  /** One message for each; valid until the core is asked for anything else. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly count: number;
}

/**
 * Hands rows to the core, which writes the requests about them; nothing else may be asked of it until all are written.
 *
 * @param indices The rows that are asked for.
 * @returns Writes requests from position `first` of `indices` on, numbered from `sequence`, as many as one send takes, the
 * last with an ack; `undefined` where the core has no room.
 */
export function openRowEncoder(
  kind: RowKind,
  operation: keyof typeof OPERATIONS,
  { table, indices, linkIndexes }: {
    readonly table: Table;
    readonly indices: Uint32Array;
    readonly linkIndexes: readonly number[];
  },
): ((first: number, sequence: number) => EncodedRequests) | undefined {
  if (!openWindow({ linkIndexes, networks: [] })) return undefined;
  if (wasm.reserveRequests(table.count, table.layout.words, indices.length) !== 0) return undefined;
  const { words } = table;
  viewWords(wasm.tablePtr(), words.length).set(words);
  viewWords(wasm.indicesPtr(), indices.length).set(indices);
  return (first, sequence) => {
    const count = wasm.encode(KINDS[kind], OPERATIONS[operation], first, sequence) >>> 0;
    return { bytes: viewBytes(wasm.requestsPtr(), wasm.requestBytes()), count };
  };
}
