import type { JsonValue } from "../config/json.ts";
import { isObject } from "../config/fold_keys.ts";

/** `s` and `k` as they stand for the letters that Unicode folds to them. */
const FOLDED: Readonly<Record<string, string>> = { "\u017f": "s", "\u212a": "k" };

/** What a key of one of Go's structs takes; null is taken by all, and means that nothing is given. */
export type Kind = "text" | "number" | "object" | "list" | "any";

/** The keys of a struct, each in its own spelling. */
export type Shape<Name extends string> = Readonly<Record<Name, Kind>>;

/**
 * What Go's `encoding/json` reads into a struct of this shape. A key that is spelled as the struct's is that one, else any
 * that folds to it; `ſ` and the sign of Kelvin fold to letters; others are dropped. The last of several counts, but null
 * leaves text and numbers as they are, and objects are put together. A value of the wrong kind is an error in Go, whatever
 * follows: it stays, for the caller to find.
 *
 * Source: `encoding/json`, `Unmarshal` and `foldName`.
 */
export function structOf<Name extends string>(
  members: Iterable<readonly [key: string, value: JsonValue]>,
  shape: Shape<Name>,
): { readonly [key in Name]?: JsonValue } {
  const names = Object.keys(shape) as Name[];
  const struct: { [key in Name]?: JsonValue } = {};
  for (const [key, value] of members) {
    const name = names.find((name) => name === key) ?? names.find((name) => fold(name) === fold(key));
    if (name === undefined) continue;
    const [before, kind] = [struct[name], shape[name]];
    if (before !== undefined && !isOfKind(before, kind)) continue;
    if (isObject(before) && isObject(value)) struct[name] = { ...before, ...value };
    else if (value !== null || typeof before !== "string" && typeof before !== "number") struct[name] = value;
  }
  return struct;
}

function isOfKind(value: JsonValue, kind: Kind): boolean {
  if (value === null || kind === "any") return true;
  if (kind === "list") return Array.isArray(value);
  if (kind === "object") return isObject(value);
  return kind === "text" ? typeof value === "string" : typeof value === "number";
}

/** A key as it is compared: only letters of ASCII, and what folds to them, matter for the keys that are known. */
function fold(key: string): string {
  return key.replaceAll(/[A-Z\u017f\u212a]/g, (letter) => FOLDED[letter] ?? letter.toLowerCase());
}

/**
 * A value as Go's `json.Marshal` writes it: keys of maps in the order of their bytes, and `<`, `>`, `&` and two line ends
 * escaped.
 *
 * @param structs Objects whose keys stay in the order that they have.
 */
export function goJson(value: JsonValue, structs: readonly JsonValue[] = []): string {
  if (Array.isArray(value)) return `[${value.map((item: JsonValue) => goJson(item, structs)).join(",")}]`;
  if (isObject(value)) {
    const members = structs.includes(value) ? Object.entries(value) : sortedEntries(value);
    return `{${members.map(([key, item]) => `${goText(key)}:${goJson(item, structs)}`).join(",")}}`;
  }
  if (typeof value === "string") return goText(value);
  return Object.is(value, -0) ? "-0" : JSON.stringify(value);
}

function goText(text: string): string {
  const escape = (mark: string) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text.toWellFormed()).replaceAll(/[<>&\u2028\u2029]/g, escape);
}

/** The members of an object in the order in which Go writes those of a map. */
export function sortedEntries(
  object: Readonly<Record<string, JsonValue>>,
): [key: string, value: JsonValue][] {
  return Object.entries(object).sort(([a], [b]) => byCodePoints(a, b));
}

/** The order of the bytes of UTF-8, which is that of code points and not that of UTF-16. */
function byCodePoints(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => Array.from(text.toWellFormed(), (mark) => mark.codePointAt(0)!));
  const at = left!.findIndex((point, index) => point !== right![index]);
  return at === -1 ? left!.length - right!.length : left![at]! - (right![at] ?? -1);
}

/** Reports whether a number in `value` is larger than Go's `float64` can be. */
export function hasHugeNumber(value: JsonValue): boolean {
  if (typeof value === "number") return !Number.isFinite(value);
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some(hasHugeNumber);
}
