import type { JsonValue } from "../config/json.ts";
import { isObject } from "../config/fold_keys.ts";

/** `s` and `k` as they stand for the letters that Unicode folds to them. */
const FOLDED: Readonly<Record<string, string>> = { "\u017f": "s", "\u212a": "k" };

/**
 * The members that Go's `encoding/json` puts into a struct with these keys, in order: a key that is spelled as the struct's
 * is that one, else any that folds to it; `ſ` and the sign of Kelvin fold to letters. Others are dropped.
 *
 * Source: `encoding/json`, `Unmarshal` and `foldName`.
 */
function structMembers<Name extends string>(
  members: Iterable<readonly [key: string, value: JsonValue]>,
  names: readonly Name[],
): [name: Name, value: JsonValue][] {
  const found: [Name, JsonValue][] = [];
  for (const [key, value] of members) {
    const name = names.find((name) => name === key) ?? names.find((name) => fold(name) === fold(key));
    if (name !== undefined) found.push([name, value]);
  }
  return found;
}

/**
 * What such a struct holds then: the last of several counts, but null leaves text as it is, and objects are put together.
 * A value is not looked at otherwise.
 */
export function structOf<Name extends string>(
  members: Iterable<readonly [key: string, value: JsonValue]>,
  names: readonly Name[],
): { readonly [key in Name]?: JsonValue } {
  const struct: { [key in Name]?: JsonValue } = {};
  for (const [name, value] of structMembers(members, names)) {
    const before = struct[name];
    if (isObject(before) && isObject(value)) struct[name] = { ...before, ...value };
    else if (value !== null || typeof before !== "string") struct[name] = value;
  }
  return struct;
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
