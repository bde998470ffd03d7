/** What JSON text can hold. An object has no prototype, and its keys are in the order of their last use. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** Text is not JSON. Says where, which `JSON.parse()` does only in words. */
export class JsonSyntaxError extends SyntaxError {
  override readonly name = "JsonSyntaxError";

  /** @param reason What was expected and what is there, without the place. */
  constructor(readonly reason: string, readonly line: number, readonly column: number) {
    super(`Cannot parse JSON: line ${line} column ${column}: ${reason}`);
  }
}

/** Deeper text is refused: nothing Loden reads needs it, and recursion must end. */
const MAX_DEPTH = 64;
const BLANKS = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\]|\\.)*"/sy;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;

/**
 * Parses JSON (RFC 8259), as Go's `encoding/json` reads it: the last of several equal keys wins, also in order.
 *
 * @throws {JsonSyntaxError} If `text` is not one JSON value.
 */
export function parseJson(text: string): JsonValue {
  const reader = new JsonReader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

/**
 * Parses text that is one JSON object to its members, in the order of the text, with those whose keys are equal. A
 * number that is too large is infinite: it may stand where nobody looks.
 *
 * @returns `undefined` if the text is another JSON value.
 * @throws {JsonSyntaxError} If `text` is not one JSON value.
 */
export function parseMembers(text: string): [key: string, value: JsonValue][] | undefined {
  const reader = new JsonReader(text, true);
  const members = reader.members();
  if (members === undefined) reader.value(0);
  reader.end();
  return members;
}

class JsonReader {
  #at = 0;

  /** @param isAnySize Whether a number that is too large is infinite, and not refused. */
  constructor(readonly text: string, readonly isAnySize = false) {}

  value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) throw this.#fault(`nested deeper than ${MAX_DEPTH} levels`);
    this.#take(BLANKS);
    switch (this.text[this.#at]) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
    }
    const scalar = this.#take(NUMBER) ?? this.#take(WORD);
    if (scalar === undefined) throw this.#expected("a value");
    const read: JsonValue = JSON.parse(scalar);
    // No number holds it, and written again it would be null.
    if ((read === Infinity || read === -Infinity) && !this.isAnySize) {
      throw this.#fault("a number that is too large");
    }
    return read;
  }

  end(): void {
    if (!this.#isNext("")) throw this.#expected("the end");
  }

  /** The members of the object that is next; `undefined` if something else is. */
  members(): [string, JsonValue][] | undefined {
    return this.#isNext("{") ? [...this.#pairs(0)] : undefined;
  }

  #object(depth: number): JsonValue {
    const members: Record<string, JsonValue> = Object.create(null);
    for (const [key, value] of this.#pairs(depth)) {
      delete members[key];
      members[key] = value;
    }
    return members;
  }

  *#pairs(depth: number): Generator<[string, JsonValue]> {
    this.#at++;
    if (this.#skip("}")) return;
    do {
      if (!this.#isNext('"')) throw this.#expected("a key in double quotes");
      const key = this.#string();
      if (!this.#skip(":")) throw this.#expected('":"');
      yield [key, this.value(depth + 1)];
    } while (this.#skip(","));
    if (!this.#skip("}")) throw this.#expected('"," or "}"');
  }

  #array(depth: number): JsonValue {
    const elements: JsonValue[] = [];
    this.#at++;
    if (this.#skip("]")) return elements;
    do elements.push(this.value(depth + 1)); while (this.#skip(","));
    if (!this.#skip("]")) throw this.#expected('"," or "]"');
    return elements;
  }

  #string(): string {
    const start = this.#at;
    const token = this.#take(STRING);
    if (token === undefined) throw this.#fault("a string without an end");
    try {
      return JSON.parse(token);
    } catch {
      this.#at = start;
      throw this.#fault("a string with a bad escape or a control character");
    }
  }

  /** Takes what `pattern` (sticky) matches here, if it does. */
  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const token = pattern.exec(this.text)?.[0];
    this.#at += token?.length ?? 0;
    return token;
  }

  /** Reports whether `mark` is next after blanks; an empty one stands for the end. */
  #isNext(mark: string): boolean {
    this.#take(BLANKS);
    return mark === "" ? this.#at === this.text.length : this.text[this.#at] === mark;
  }

  #skip(mark: string): boolean {
    if (!this.#isNext(mark)) return false;
    this.#at++;
    return true;
  }

  #expected(what: string): JsonSyntaxError {
    const found = this.text.codePointAt(this.#at);
    const there = found === undefined
      ? "the text ends"
      : `there is ${JSON.stringify(String.fromCodePoint(found))}`;
    return this.#fault(`expected ${what}, but ${there}`);
  }

  #fault(reason: string): JsonSyntaxError {
    const before = this.text.slice(0, this.#at);
    const line = before.split("\n").length;
    return new JsonSyntaxError(reason, line, this.#at - before.lastIndexOf("\n"));
  }
}
