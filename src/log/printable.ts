/** What a line may not hold: it breaks it, is not seen, turns what is around it, or is no text at all. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]/gu;
/** A longer line is cut. */
const MAX_LENGTH = 2000;

/**
 * Others' words, fit for one line of a log, a page or a terminal: letters of all scripts as they are, line breaks and tabs
 * as spaces, and what is not seen as its number, `\u202e`. The same again if it is fit already.
 */
export function printable(text: string, maxLength: number = MAX_LENGTH): string {
  const line = escaped(text.replaceAll(/[\t\n\v\f\r\u0085\u2028\u2029]+/g, " "));
  return line.length > maxLength ? `${cut(line, maxLength)}…` : line;
}

/** The same, however long it is. */
export function wholeLine(text: string): string {
  return printable(text, Infinity);
}

/** A text whose lines stay as they are, and whose other signs that are not seen are written as their numbers. */
export function escaped(text: string): string {
  return text.replaceAll(UNPRINTABLE, (sign) => {
    if (sign === "\n" || sign === "\t") return sign;
    const number = sign.codePointAt(0)!.toString(16);
    return sign.length === 1 ? `\\u${number.padStart(4, "0")}` : `\\u{${number}}`;
  });
}

/** The first signs of a text; none is cut in two. */
function cut(text: string, length: number): string {
  const head = text.slice(0, length);
  return head.isWellFormed() ? head : head.slice(0, -1);
}

/** What is told to others, of any depth, with all of its texts escaped. */
export function escapedIn(value: unknown): unknown {
  return eachText(value, escaped);
}

/** What a person may read a value at a time, of any depth, with each of its texts made one line that is fit. */
export function printableIn(value: unknown): unknown {
  return eachText(value, wholeLine);
}

function eachText(value: unknown, fit: (text: string) => string): unknown {
  if (typeof value === "string") return fit(value);
  if (Array.isArray(value)) return value.map((one) => eachText(one, fit));
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) {
    return value;
  }
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [fit(name), eachText(one, fit)]));
}
