/** So many signs in a row of a secret give it away; what is shorter does not. */
const PART = 8;
/** What is shorter is a word, and no secret. */
const SHORTEST = 4;
/** So many are kept, the last ones: tokens are renewed. */
const MAX_SECRETS = 8;
/** No more of a text is looked at, or shown. */
const MAX_TEXT = 64 * 1024;
const PLACEHOLDER = "[secret]";

/** A sign of a text that counts: a letter or a digit, in lower case, and where it stands there. */
interface Sign {
  readonly sign: string;
  readonly start: number;
  readonly end: number;
}

/** What a secret looks like in others' words. */
interface Forms {
  /** As they are. */
  readonly literal: readonly string[];
  /** Letters and digits of the whole, if it is short. */
  readonly short: string | undefined;
  /** Each part of it, and of what base64 and hexadecimal make of it. */
  readonly parts: ReadonlySet<string>;
}

/** What may be repeated to nobody: others' words may hold it, as servers that are asked with it echo it. */
export class Secrets {
  readonly #forms = new Map<string, Forms>();

  /** Keeps one more; the oldest is forgotten if there are too many. */
  keep(secret: string | undefined): void {
    if (secret === undefined || secret.length < SHORTEST) return;
    const forms = this.#forms.get(secret) ?? formsOf(secret);
    this.#forms.delete(secret);
    this.#forms.set(secret, forms);
    const [oldest] = this.#forms.keys();
    if (this.#forms.size > MAX_SECRETS) this.#forms.delete(oldest!);
  }

  /**
   * A text without them: whole or in parts, folded, cut, escaped as in JSON, URLs and HTML, in base64 and in hexadecimal.
   */
  hide(text: string): string {
    let rest = text.length > MAX_TEXT ? text.slice(0, MAX_TEXT) : text;
    if (this.#forms.size === 0 || rest === "") return rest;
    const all = [...this.#forms.values()];
    for (const literal of all.flatMap(({ literal }) => literal)) rest = rest.replaceAll(literal, PLACEHOLDER);
    if (!mayHold(rest, all)) return rest;
    const signs = signsOf(rest);
    const hidden = new Uint8Array(signs.length);
    for (const forms of all) mark(signs, forms, hidden);
    return hidden.includes(1) ? without(rest, signs, hidden) : rest;
  }
}

function formsOf(secret: string): Forms {
  const flat = flatOf(secret);
  const bytes = new TextEncoder().encode(secret);
  // What stands before it decides how its bytes fall into base64's groups of three.
  const base64 = [0, 1, 2].map((before) => {
    const whole = new Uint8Array([...new Uint8Array(before), ...bytes]);
    return whole.slice(0, whole.length - whole.length % 3).toBase64().slice(before === 0 ? 0 : before + 1);
  });
  const long = [flat, ...base64.map(flatOf), bytes.toHex()].filter(({ length }) => length >= PART);
  const literals = [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret.toWellFormed())];
  return {
    // A short one may be a part of a word.
    literal: secret.length >= PART || flat.length < SHORTEST ? [...new Set(literals)] : [],
    short: flat.length >= SHORTEST && flat.length < PART ? flat : undefined,
    parts: new Set(
      long.flatMap((form) =>
        Array.from({ length: form.length - PART + 1 }, (_, at) => form.slice(at, at + PART))
      ),
    ),
  };
}

/** What writes letters and digits in another way, or has some that count for nothing. */
const ESCAPE = /\\[bfnrtux]|%[0-9a-f]{2}|&#|&[a-z]{2,6};/i;

/** Whether a text may hold a part of one, told many times faster than where: most texts hold none. */
function mayHold(text: string, all: readonly Forms[]): boolean {
  if (ESCAPE.test(text)) return true;
  const flat = text.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, "");
  if (all.some(({ short }) => short !== undefined && flat.includes(short))) return true;
  for (let at = 0; at + PART <= flat.length; at++) {
    const part = flat.slice(at, at + PART);
    if (all.some(({ parts }) => parts.has(part))) return true;
  }
  return false;
}

/** Marks the signs of a text that are a secret's. */
function mark(signs: readonly Sign[], { short, parts }: Forms, hidden: Uint8Array): void {
  const flat = signs.map(({ sign }) => sign).join("");
  for (let at = 0; at + PART <= flat.length; at++) {
    if (parts.has(flat.slice(at, at + PART))) hidden.fill(1, at, at + PART);
  }
  if (short === undefined) return;
  for (let at = flat.indexOf(short); at >= 0; at = flat.indexOf(short, at + 1)) {
    const end = at + short.length;
    // Not within a word.
    if (signs[at - 1]?.end === signs[at]!.start || signs[end]?.start === signs[end - 1]!.end) continue;
    hidden.fill(1, at, end);
  }
}

/** A text with one word in the place of each run of signs that are marked, and of what is between them. */
function without(text: string, signs: readonly Sign[], hidden: Uint8Array): string {
  let [shown, from] = ["", 0];
  for (let at = hidden.indexOf(1); at >= 0; at = hidden.indexOf(1, at)) {
    shown += text.slice(from, signs[at]!.start) + PLACEHOLDER;
    while (hidden[at] === 1) at++;
    from = signs[at - 1]!.end;
  }
  return shown + text.slice(from);
}

/** Ways to write signs: of JSON and of JavaScript, of URLs, of HTML. */
const ESCAPES =
  /\\{1,16}u\{?([0-9a-f]{1,6})\}?|\\{1,16}x([0-9a-f]{2})|\\{1,16}["'/bfnrt]|((?:%[0-9a-f]{2})+)|&#x([0-9a-f]{1,6});|&#(\d{1,7});|&[a-z]{2,6};|[\p{L}\p{N}]/giu;

/** The letters and digits of a text, however they are written. */
function signsOf(text: string): Sign[] {
  const signs: Sign[] = [];
  for (const found of text.matchAll(ESCAPES)) {
    const [written, json, hex, percent, html, decimal] = found;
    const [start, end] = [found.index, found.index + written.length];
    for (const sign of meantBy(written, { digits: json ?? hex ?? html, decimal, percent })) {
      // One that is longer in lower case still counts once.
      if (/^[\p{L}\p{N}]$/u.test(sign)) signs.push({ sign: sign.toLowerCase()[0]!, start, end });
    }
  }
  return signs;
}

/** What is written in one of these ways. */
function meantBy(
  written: string,
  { digits, decimal, percent }: {
    readonly digits: string | undefined;
    readonly decimal: string | undefined;
    readonly percent: string | undefined;
  },
): string {
  if (percent !== undefined) return new TextDecoder().decode(Uint8Array.fromHex(percent.replaceAll("%", "")));
  if (digits === undefined && decimal === undefined) return written;
  const code = digits !== undefined ? parseInt(digits, 16) : Number(decimal);
  return code <= 0x10ffff ? String.fromCodePoint(code) : "";
}

function flatOf(text: string): string {
  return signsOf(text).map(({ sign }) => sign).join("");
}
