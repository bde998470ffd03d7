import type { Prefix } from "../model/address.ts";
import { writeFamilyAddress } from "../model/rows.ts";
import * as wasm from "../../wasm/build/core.wasm";

/** What the core calls each hot table. */
export const KINDS = { routes: 0, neighbours: 1, fdb: 2 } as const;

/** A hot table that the core decodes and encodes. */
export type RowKind = keyof typeof KINDS;

/** Words of one network: family, address, length. */
const NETWORK_WORDS = 6;
/** The kernel's link indexes are positive; what is beyond stands for no link of the kernel's. */
const LAST_LINK_INDEX = 0x7fff_ffff;

/** What the core must know of the world around the rows. */
export interface RowFacts {
  /** The kernel's link index of each slot; 0 where there is none. */
  readonly linkIndexes: readonly number[];
  /** The cluster networks. */
  readonly networks: readonly Prefix[];
}

/**
 * Writes the facts into the window of the core, in the place of others.
 *
 * @returns Whether it has room for them.
 */
export function openWindow({ linkIndexes, networks }: RowFacts): boolean {
  if (linkIndexes.some((index) => index > LAST_LINK_INDEX)) return false;
  if (wasm.openWindow(networks.length, linkIndexes.length) !== 0) return false;
  const words = viewWords(wasm.networksPtr(), networks.length * NETWORK_WORDS).fill(0);
  for (const [index, { address, length }] of networks.entries()) {
    writeFamilyAddress(words, index * NETWORK_WORDS, address);
    words[index * NETWORK_WORDS + NETWORK_WORDS - 1] = length;
  }
  viewWords(wasm.linksPtr(), linkIndexes.length).set(linkIndexes);
  return true;
}

/** A view of `length` words at `pointer`. Taken anew for each use: growing memory detaches every earlier view. */
export function viewWords(pointer: number, length: number): Uint32Array<ArrayBuffer> {
  return new Uint32Array(wasm.memory.buffer as ArrayBuffer, pointer >>> 0, length);
}

/** A view of `length` bytes at `pointer`, likewise. */
export function viewBytes(pointer: number, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(wasm.memory.buffer as ArrayBuffer, pointer >>> 0, length);
}
