import { ByteBuffer } from "./byte_buffer.ts";
import {
  CLOSE_ARRAY,
  CLOSE_OBJECT,
  COMMA,
  endsBare,
  JsonValueEnd,
  OPEN_ARRAY,
  OPEN_OBJECT,
  QUOTE,
  SPACE,
} from "./json_value_end.ts";

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

/** A text that was longer than what is kept of one: its length in bytes, quotes included, and how it begins. */
export interface CutText {
  readonly length: number;
  readonly head: string;
}

/** How much of a value is kept. */
export interface SieveOptions {
  readonly maxKeptBytes?: number;
  /** Whether the head of a longer text is kept, as `CutText`. The cut may fall anywhere but into a character. */
  readonly cuts?: boolean;
}

/** A kept value that is longer is replaced by its length in bytes, a number: hosts write into these texts. */
export const MAX_KEPT_BYTES = 16 * 1024;
/** What is kept of one document, or of one element, at most. */
const MAX_DOCUMENT_BYTES = 512 * 1024;
const MAX_KEY_BYTES = 256;

const COLON = 0x3a;
/** As much of a text, as JSON writes it, as is no piece of an escape. */
const WHOLE_TEXT = /^(?:[^\\]|\\u[0-9a-f]{4}|\\[^u])*/i;

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
  InValue,
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
  readonly #maxKeptBytes: number;
  readonly #cuts: boolean;
  readonly #decoder = new TextDecoder();
  readonly #frames: Frame[] = [];
  #mode = Mode.Value;
  /** What the value under way is: kept as it is, or dropped. */
  #isCopied = false;
  /** Where the value or the key under way ends. */
  readonly #end = new JsonValueEnd();
  /** Length in bytes of the value or the key under way. */
  #length = 0;
  #valueStartsAt = 0;
  readonly #key = new Uint8Array(MAX_KEY_BYTES);
  /** The key of the member under way; `undefined` if it is longer than any that is kept. */
  #keyText: string | undefined;
  readonly #output = new ByteBuffer(MAX_DOCUMENT_BYTES);

  constructor(
    kept: Kept,
    sink: SieveSink,
    { maxKeptBytes = MAX_KEPT_BYTES, cuts = false }: SieveOptions = {},
  ) {
    this.#kept = kept;
    this.#sink = sink;
    this.#maxKeptBytes = maxKeptBytes;
    this.#cuts = cuts;
  }

  /** Whether everything that was written was whole documents. */
  get isAtRest(): boolean {
    return this.#frames.length === 0 && this.#mode === Mode.Value;
  }

  write(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#mode === Mode.InValue) at = this.#passValue(chunk, at);
      else if (this.#mode === Mode.InKey) at = this.#passKey(chunk, at);
      else {
        const byte = chunk[at++]!;
        if (byte > SPACE) this.#structural(byte);
      }
    }
  }

  #structural(byte: number): void {
    const frame = this.#frames.at(-1);
    switch (this.#mode) {
      case Mode.Key:
        if (byte === CLOSE_OBJECT) return this.#close(byte);
        if (byte === COMMA) return;
        if (byte !== QUOTE) throw unexpected(byte, "a key");
        this.#length = 0;
        this.#end.begin(byte);
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
    if (endsBare(byte)) throw unexpected(byte, "a value");
    // What is of another kind than expected is kept as it is: the caller checks it.
    this.#isCopied = kept !== undefined;
    this.#valueStartsAt = this.#output.length;
    this.#length = 1;
    if (this.#isCopied) this.#output.put(byte);
    this.#end.begin(byte);
    this.#mode = Mode.InValue;
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

  #passValue(chunk: Uint8Array, from: number): number {
    const to = this.#end.pass(chunk, from);
    this.#passed(chunk, from, to);
    if (!this.#end.isFound) return to;
    if (this.#isCopied && this.#length > this.#maxKeptBytes) this.#shorten();
    this.#valueEnded(this.#valueStartsAt);
    return to;
  }

  /** A piece of the value under way; it is kept up to the limit, and its length counted. */
  #passed(chunk: Uint8Array, from: number, to: number): void {
    const room = this.#isCopied ? this.#maxKeptBytes - this.#length : 0;
    this.#length += to - from;
    if (room > 0) this.#output.putBytes(chunk.subarray(from, Math.min(to, from + room)));
  }

  /** Puts in place of a value that is too long what is said of it. */
  #shorten(): void {
    const text = this.#decoder.decode(this.#output.from(this.#valueStartsAt));
    this.#output.length = this.#valueStartsAt;
    if (!this.#cuts || !text.startsWith('"')) return this.#output.putText(String(this.#length));
    // A character or an escape that the cut has hurt is left out.
    const head = WHOLE_TEXT.exec(text.slice(1))![0].replace(/\ufffd$/, "");
    this.#output.putText(`{"length":${this.#length},"head":"${head}"}`);
  }

  #passKey(chunk: Uint8Array, from: number): number {
    const to = this.#end.pass(chunk, from);
    const { isFound } = this.#end;
    const part = chunk.subarray(from, isFound ? to - 1 : to);
    if (this.#length + part.length <= MAX_KEY_BYTES) this.#key.set(part, this.#length);
    this.#length += part.length;
    if (!isFound) return to;
    this.#keyText = this.#readKey();
    this.#mode = Mode.Colon;
    return to;
  }

  #readKey(): string | undefined {
    if (this.#length > MAX_KEY_BYTES) return undefined;
    const text = this.#decoder.decode(this.#key.subarray(0, this.#length));
    return text.includes("\\") ? JSON.parse(`"${text}"`) : text;
  }
}

function unexpected(byte: number, wanted: string): SyntaxError {
  return new SyntaxError(
    `Cannot read JSON: ${JSON.stringify(String.fromCharCode(byte))} in place of ${wanted}`,
  );
}
