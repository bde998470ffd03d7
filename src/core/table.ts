import type { Table } from "../model/table.ts";
import { viewWords as words } from "./window.ts";
import * as wasm from "../../wasm/build/core.wasm";

/** What brings an observed table to a desired one. */
export interface TableDiff {
  /** Rows of the desired table whose keys are missing, in the order of their keys. */
  readonly additions: Uint32Array;
  /** Rows of the desired table whose keys are there with another value, likewise. */
  readonly replacements: Uint32Array;
  /** Rows of the observed table that are too many, likewise. */
  readonly deletions: Uint32Array;
}

// Nobody who chooses keys, as other hosts do, knows which of them share a place in the core.
wasm.seed(crypto.getRandomValues(new BigUint64Array(1))[0]!);

/**
 * Compares two tables of one layout, sorted or not. Where the observed table has several rows with one key, those
 * that equal the desired row stay, as the kernel has it once and a dump amid changes may tell it twice; or else the
 * first is replaced. The others are deletions. Keys of the desired table should be unique: of several rows with one key
 * the first counts, the others do nothing.
 *
 * @throws {RangeError} If the tables do not fit in the memory of the core.
 */
export function diffTables(desired: Table, observed: Table): TableDiff {
  const { layout } = desired;
  if (wasm.reserve(desired.count, observed.count, layout.words, layout.keyWords) !== 0) {
    throw new RangeError(`Cannot compare tables of ${desired.count} and ${observed.count} rows: too many`);
  }
  words(wasm.desiredPtr(), desired.words.length).set(desired.words);
  words(wasm.observedPtr(), observed.words.length).set(observed.words);
  wasm.diff();
  return {
    additions: words(wasm.additionsPtr(), wasm.additions() >>> 0).slice(),
    replacements: words(wasm.replacementsPtr(), wasm.replacements() >>> 0).slice(),
    deletions: words(wasm.deletionsPtr(), wasm.deletions() >>> 0).slice(),
  };
}
