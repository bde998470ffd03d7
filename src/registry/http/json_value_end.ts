export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const OPEN_ARRAY = 0x5b;
export const CLOSE_ARRAY = 0x5d;
export const OPEN_OBJECT = 0x7b;
export const CLOSE_OBJECT = 0x7d;
/** It, and what is less, stands between values. */
export const SPACE = 0x20;
const BACKSLASH = 0x5c;

/** Finds where a JSON value ends that comes in pieces. What it says is not looked at. */
export class JsonValueEnd {
  /** Whether it is a number or a word, which only what is behind it ends. */
  #isBare = false;
  /** Objects and arrays that are open. */
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  #isFound = false;

  /** A value begins with this byte. */
  begin(byte: number): void {
    this.#isInString = byte === QUOTE;
    this.#depth = byte === OPEN_OBJECT || byte === OPEN_ARRAY ? 1 : 0;
    this.#isBare = !this.#isInString && this.#depth === 0;
    this.#isEscaped = false;
    this.#isFound = false;
  }

  /** Whether all of the value was passed. */
  get isFound(): boolean {
    return this.#isFound;
  }

  /** Answers where the value ends in this piece, or that is the piece's end. */
  pass(chunk: Uint8Array, from: number): number {
    if (this.#isBare) {
      const at = bareEnd(chunk, from);
      this.#isFound = at < chunk.length;
      return at;
    }
    let at = from;
    let depth = this.#depth;
    let isInString = this.#isInString;
    let isEscaped = this.#isEscaped;
    let isOpen = true;
    while (isOpen && at < chunk.length) {
      const byte = chunk[at++]!;
      if (isInString) {
        if (isEscaped) isEscaped = false;
        else if (byte === BACKSLASH) isEscaped = true;
        else if (byte === QUOTE) {
          isInString = false;
          isOpen = depth > 0;
        }
      } else if (byte === QUOTE) isInString = true;
      // `[` and `{`, `]` and `}` differ in one bit.
      else if ((byte | 0x20) === OPEN_OBJECT) depth++;
      else if ((byte | 0x20) === CLOSE_OBJECT) isOpen = --depth > 0;
    }
    this.#depth = depth;
    this.#isInString = isInString;
    this.#isEscaped = isEscaped;
    this.#isFound = !isOpen;
    return at;
  }
}

function bareEnd(chunk: Uint8Array, from: number): number {
  let at = from;
  while (at < chunk.length && !endsBare(chunk[at]!)) at++;
  return at;
}

/** Whether a byte is behind a number or a word, and no part of it. */
export function endsBare(byte: number): boolean {
  return byte <= SPACE || byte === COMMA || byte === CLOSE_ARRAY || byte === CLOSE_OBJECT;
}
