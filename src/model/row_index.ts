import type { Table } from "./table.ts";

/** Places in the index for each row: a search that fails ends soon. */
const PLACES_A_ROW = 3;

/**
 * Finds the rows of a table by their keys, and changes it row by row: in the time that one row takes, however many there
 * are. Rows keep no order. Nobody else may add rows or take some away meanwhile.
 *
 * Open addressing with linear probing; 0 is a free place, any other number a row and one.
 */
export class RowIndex {
  #places = new Int32Array(0);

  private constructor(readonly table: Table) {}

  /** An index of a table; `undefined` if two rows have one key. */
  static of(table: Table): RowIndex | undefined {
    const index = new RowIndex(table);
    return index.#build() ? index : undefined;
  }

  /** The row with the key that begins at `at`; -1 if there is none. */
  find(words: Uint32Array, at: number): number {
    return this.#places[this.#placeOf(words, at)]! - 1;
  }

  /** Puts a row in: in the place of that with its key, if there is one. */
  put(words: Uint32Array, at: number): void {
    const { layout } = this.table;
    const place = this.#placeOf(words, at);
    let row = this.#places[place]! - 1;
    if (row < 0) {
      row = this.table.push() / layout.words;
      this.#places[place] = row + 1;
    }
    const { storage } = this.table;
    for (let word = 0; word < layout.words; word++) storage[row * layout.words + word] = words[at + word]!;
    if (this.table.count * 2 > this.#places.length) this.#build();
  }

  /** Takes the row with a key out, whose place the last one takes; reports whether there was one. */
  remove(words: Uint32Array, at: number): boolean {
    const { table } = this;
    const place = this.#placeOf(words, at);
    const row = this.#places[place]! - 1;
    if (row < 0) return false;
    const last = table.count - 1;
    const rowWords = table.layout.words;
    if (row !== last) {
      this.#places[this.#placeOf(table.storage, last * rowWords)] = row + 1;
      table.storage.copyWithin(row * rowWords, last * rowWords, (last + 1) * rowWords);
    }
    table.pop();
    this.#free(place);
    return true;
  }

  /** Reports whether all keys are different. */
  #build(): boolean {
    const { storage, count, layout } = this.table;
    let places = 16;
    while (places < count * PLACES_A_ROW) places *= 2;
    this.#places = new Int32Array(places);
    for (let row = 0; row < count; row++) {
      const place = this.#placeOf(storage, row * layout.words);
      if (this.#places[place] !== 0) return false;
      this.#places[place] = row + 1;
    }
    return true;
  }

  /** Where a key is, or would be. */
  #placeOf(words: Uint32Array, at: number): number {
    const { storage, layout: { words: rowWords, keyWords } } = this.table;
    const mask = this.#places.length - 1;
    let place = hashOf(words, at, keyWords) & mask;
    for (;; place = place + 1 & mask) {
      const row = this.#places[place]! - 1;
      if (row < 0) return place;
      let word = 0;
      while (word < keyWords && storage[row * rowWords + word] === words[at + word]) word++;
      if (word === keyWords) return place;
    }
  }

  /** Frees a place, and moves up those behind it that would not be found any more. */
  #free(freed: number): void {
    const { storage, layout } = this.table;
    const mask = this.#places.length - 1;
    let hole = freed;
    for (let place = hole + 1 & mask; this.#places[place] !== 0; place = place + 1 & mask) {
      const row = this.#places[place]! - 1;
      const home = hashOf(storage, row * layout.words, layout.keyWords) & mask;
      // It stays where its way from home does not lead over the hole.
      if ((place - home & mask) < (place - hole & mask)) continue;
      this.#places[hole] = row + 1;
      hole = place;
    }
    this.#places[hole] = 0;
  }
}

/** Mixes the words of a key: subnets differ in few bits, as do addresses and MACs. */
function hashOf(words: Uint32Array, at: number, keyWords: number): number {
  let hash = 0x9e3779b9;
  for (let word = 0; word < keyWords; word++) {
    hash = Math.imul(hash ^ words[at + word]!, 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ hash >>> 16) >>> 0;
}
