import { ByteBuffer } from "./byte_buffer.ts";

/**
 * What a sieve lets through of a JSON value: `true` all of it, an object the members that it names, an array of one
 * its elements, each handed over by itself.
 */
export type Kept = true | { readonly [key: string]: Kept } | readonly [Kept];

/** Where what was kept goes: whole documents, and elements of arrays before the document around them. */
export interface SieveSink {
  readonly document: (value: unknown) => void;
  readonly element?: (value: unknown) => void;
}

/** A kept value that is longer is replaced by its length in bytes, a number: hosts write into these texts. */
export const MAX_KEPT_BYTES = 16 * 1024;
/** What is kept of one document, or of one element, at most. */
const MAX_DOCUMENT_BYTES = 512 * 1024;
const MAX_KEY_BYTES = 256;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const SPACE = 0x20;

/** One object or array that is open, and kept in part. */
interface Frame {
  readonly kept: { readonly [key: string]: Kept } | readonly [Kept];
  /** Where its text begins in the output. */
  readonly startsAt: number;
  isEmpty: boolean;
}

const enum Mode {
  /** Before a value: of a member, an element, or a document. */
  Value,
  /** Inside an object, before a key or the end. */
  Key,
  InKey,
  Colon,
  /** Inside a value that is dropped, or kept as it is. */
  InScalar,
  InString,
  InNested,
  /** Behind a value. */
  After,
}

/**
 * Reads JSON documents, one behind the other, as they stream in, and keeps a few members of each: what is not kept is
 * never stored, however long it is. A chunk may end anywhere, also inside a character.
 *
 * Only what is kept is checked to be JSON.
 *
 * @throws {SyntaxError} From `write()`, if what is kept is no JSON or too long.
 */
export class JsonSieve {
  readonly #kept: Kept;
  readonly #sink: SieveSink;
  readonly #decoder = new TextDecoder();
  readonly #frames: Frame[] = [];
  #mode = Mode.Value;
  /** What the value under way is: kept as it is, or dropped. */
  #isCopied = false;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  /** Length in bytes of the value or the key under way. */
  #length = 0;
  #valueStartsAt = 0;
  readonly #key = new Uint8Array(MAX_KEY_BYTES);
  /** The key of the member under way; `undefined` if it is too long for anybody to ask for. */
  #keyText: string | undefined;
  readonly #output = new ByteBuffer(MAX_DOCUMENT_BYTES);

  constructor(kept: Kept, sink: SieveSink) {
    this.#kept = kept;
    this.#sink = sink;
  }

  /** Whether everything that was written was whole documents. */
  get isAtRest(): boolean {
    return this.#frames.length === 0 && this.#mode === Mode.Value;
  }

  write(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      switch (this.#mode) {
        case Mode.InNested:
          at = this.#passNested(chunk, at);
          break;
        case Mode.InString:
          at = this.#passString(chunk, at);
          break;
        case Mode.InScalar:
          at = this.#passScalar(chunk, at);
          break;
        case Mode.InKey:
          at = this.#passKey(chunk, at);
          break;
        default:
          if (chunk[at]! > SPACE) this.#structural(chunk[at]!);
          // A scalar has no mark of its own where it begins: its first byte is read again, as part of it.
          if (chunk[at]! <= SPACE || !this.#isScalarNext()) at++;
      }
    }
  }

  #isScalarNext(): boolean {
    return this.#mode === Mode.InScalar;
  }

  #structural(byte: number): void {
    const frame = this.#frames.at(-1);
    switch (this.#mode) {
      case Mode.Key:
        if (byte === CLOSE_OBJECT) return this.#close(byte);
        if (byte === COMMA) return;
        if (byte !== QUOTE) throw unexpected(byte, "a key");
        this.#length = 0;
        this.#mode = Mode.InKey;
        return;
      case Mode.Colon:
        if (byte !== COLON) throw unexpected(byte, "a colon");
        this.#mode = Mode.Value;
        return;
      case Mode.After:
        if (byte === COMMA) {
          this.#mode = Array.isArray(frame!.kept) ? Mode.Value : Mode.Key;
          return;
        }
        return this.#close(byte);
      default:
        if (byte === CLOSE_ARRAY && frame !== undefined && Array.isArray(frame.kept)) {
          return this.#close(byte);
        }
        return this.#open(byte, this.#wanted(frame));
    }
  }

  /** What is kept of the value that begins now. */
  #wanted(frame: Frame | undefined): Kept | undefined {
    if (frame === undefined) return this.#kept;
    if (Array.isArray(frame.kept)) return frame.kept[0];
    const members = frame.kept as { readonly [key: string]: Kept };
    const key = this.#keyText;
    return key !== undefined && Object.hasOwn(members, key) ? members[key] : undefined;
  }

  /** Begins a value with its first byte. */
  #open(byte: number, kept: Kept | undefined): void {
    const frame = this.#frames.at(-1);
    if (frame !== undefined && kept !== undefined && !Array.isArray(frame.kept)) {
      if (!frame.isEmpty) this.#output.put(COMMA);
      frame.isEmpty = false;
      this.#output.putText(JSON.stringify(this.#keyText));
      this.#output.put(COLON);
    }
    if (kept !== undefined && kept !== true && byte === (Array.isArray(kept) ? OPEN_ARRAY : OPEN_OBJECT)) {
      this.#frames.push({ kept, startsAt: this.#output.length, isEmpty: true });
      this.#output.put(byte);
      this.#mode = byte === OPEN_ARRAY ? Mode.Value : Mode.Key;
      return;
    }
    // Something else than was expected is kept as it is, for whoever checks it.
    this.#isCopied = kept !== undefined;
    this.#valueStartsAt = this.#output.length;
    this.#length = 0;
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      this.#depth = 1;
      this.#isInString = false;
      this.#mode = Mode.InNested;
    } else if (byte === QUOTE) {
      this.#mode = Mode.InString;
    } else {
      this.#mode = Mode.InScalar;
      return;
    }
    this.#isEscaped = false;
    this.#length = 1;
    if (this.#isCopied) this.#output.put(byte);
  }

  /** Ends the innermost open object or array. */
  #close(byte: number): void {
    const frame = this.#frames.pop();
    if (frame === undefined || byte !== (Array.isArray(frame.kept) ? CLOSE_ARRAY : CLOSE_OBJECT)) {
      throw unexpected(byte, "a comma or the end");
    }
    this.#output.put(byte);
    this.#valueEnded(frame.startsAt);
  }

  /** A value is whole; it is handed over if it is an element or a document. */
  #valueEnded(startsAt: number): void {
    const frame = this.#frames.at(-1);
    this.#mode = frame === undefined ? Mode.Value : Mode.After;
    if (frame !== undefined && !Array.isArray(frame.kept)) return;
    const value: unknown = JSON.parse(this.#decoder.decode(this.#output.from(startsAt)));
    this.#output.length = startsAt;
    if (frame === undefined) this.#sink.document(value);
    else this.#sink.element?.(value);
  }

  #passNested(chunk: Uint8Array, from: number): number {
    let at = from;
    let depth = this.#depth;
    let isInString = this.#isInString;
    let isEscaped = this.#isEscaped;
    while (at < chunk.length && depth > 0) {
      const byte = chunk[at++]!;
      if (isInString) {
        if (isEscaped) isEscaped = false;
        else if (byte === QUOTE) isInString = false;
        else if (byte === BACKSLASH) isEscaped = true;
      } else if (byte === QUOTE) isInString = true;
      // `[` and `{`, `]` and `}` differ in one bit.
      else if ((byte | 0x20) === OPEN_OBJECT) depth++;
      else if ((byte | 0x20) === CLOSE_OBJECT) depth--;
    }
    this.#depth = depth;
    this.#isInString = isInString;
    this.#isEscaped = isEscaped;
    this.#passed(chunk, from, at);
    if (depth === 0) this.#scalarEnded();
    return at;
  }

  #passString(chunk: Uint8Array, from: number): number {
    let at = from;
    let isEscaped = this.#isEscaped;
    let isOpen = true;
    while (at < chunk.length && isOpen) {
      const byte = chunk[at++]!;
      if (isEscaped) isEscaped = false;
      else if (byte === QUOTE) isOpen = false;
      else if (byte === BACKSLASH) isEscaped = true;
    }
    this.#isEscaped = isEscaped;
    this.#passed(chunk, from, at);
    if (!isOpen) this.#scalarEnded();
    return at;
  }

  #passScalar(chunk: Uint8Array, from: number): number {
    let at = from;
    while (at < chunk.length && !isDelimiter(chunk[at]!)) at++;
    this.#passed(chunk, from, at);
    if (at < chunk.length) {
      if (this.#length === 0) throw unexpected(chunk[at]!, "a value");
      this.#scalarEnded();
    }
    return at;
  }

  #passKey(chunk: Uint8Array, from: number): number {
    let at = from;
    let isEscaped = this.#isEscaped;
    while (at < chunk.length) {
      const byte = chunk[at++]!;
      if (!isEscaped && byte === QUOTE) {
        this.#isEscaped = false;
        this.#keyText = this.#readKey();
        this.#mode = Mode.Colon;
        return at;
      }
      isEscaped = !isEscaped && byte === BACKSLASH;
      if (this.#length < MAX_KEY_BYTES) this.#key[this.#length] = byte;
      this.#length++;
    }
    this.#isEscaped = isEscaped;
    return at;
  }

  #readKey(): string | undefined {
    if (this.#length > MAX_KEY_BYTES) return undefined;
    const text = this.#decoder.decode(this.#key.subarray(0, this.#length));
    return text.includes("\\") ? JSON.parse(`"${text}"`) : text;
  }

  /** A piece of the value under way; it is kept up to the limit, and its length counted. */
  #passed(chunk: Uint8Array, from: number, to: number): void {
    const before = this.#length;
    this.#length += to - from;
    if (!this.#isCopied || before > MAX_KEPT_BYTES) return;
    if (this.#length <= MAX_KEPT_BYTES) this.#output.putBytes(chunk.subarray(from, to));
  }

  #scalarEnded(): void {
    if (this.#isCopied && this.#length > MAX_KEPT_BYTES) {
      this.#output.length = this.#valueStartsAt;
      this.#output.putText(String(this.#length));
    }
    this.#valueEnded(this.#valueStartsAt);
  }
}

function isDelimiter(byte: number): boolean {
  return byte <= SPACE || byte === COMMA || byte === CLOSE_ARRAY || byte === CLOSE_OBJECT;
}

function unexpected(byte: number, wanted: string): SyntaxError {
  return new SyntaxError(
    `Cannot read JSON: ${JSON.stringify(String.fromCharCode(byte))} in place of ${wanted}`,
  );
}
