/** How the rows of one kind of table are laid out: 32-bit words, the key first. */
export interface RowLayout {
  /** Words in a row. */
  readonly words: number;
  /** Leading words that identify a row; two rows with the same key are the same kernel object. */
  readonly keyWords: number;
}

/** A growing table of fixed-size rows, so that thousands of kernel objects cost no JavaScript object each. */
export class Table {
  #words: Uint32Array<ArrayBuffer>;
  #count = 0;

  constructor(readonly layout: RowLayout, capacity = 16) {
    this.#words = new Uint32Array(capacity * layout.words);
  }

  /** Rows in the table. */
  get count(): number {
    return this.#count;
  }

  /** The rows, one after another. Valid until the next `push()`. */
  get words(): Uint32Array<ArrayBuffer> {
    return this.#words.subarray(0, this.#count * this.layout.words);
  }

  /** Appends a row of zeros and returns the index of its first word in `storage`. */
  push(): number {
    const { words } = this.layout;
    const at = this.#count * words;
    this.#reserve(at + words);
    this.#count++;
    return at;
  }

  /** Appends whole rows. */
  append(rows: Uint32Array): void {
    const { words } = this.layout;
    const at = this.#count * words;
    this.#reserve(at + rows.length);
    this.#words.set(rows, at);
    this.#count += rows.length / words;
  }

  #reserve(length: number): void {
    if (length <= this.#words.length) return;
    const grown = new Uint32Array(Math.max(16 * this.layout.words, this.#words.length * 2, length));
    grown.set(this.#words);
    this.#words = grown;
  }

  /** The words behind the table, spare capacity included. Taken anew after each `push()`. */
  get storage(): Uint32Array<ArrayBuffer> {
    return this.#words;
  }

  /** Drops the last row, if there is one. */
  pop(): void {
    this.truncate(Math.max(this.#count - 1, 0));
  }

  /** Drops all rows behind the first `count`; nothing if there are no more. */
  truncate(count: number): void {
    if (count >= this.#count) return;
    const { words } = this.layout;
    this.#words.fill(0, count * words, this.#count * words);
    this.#count = count;
  }

  /** Empties the table and keeps its memory. */
  clear(): void {
    this.truncate(0);
  }
}
