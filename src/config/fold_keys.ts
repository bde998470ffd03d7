import type { JsonValue } from "./json.ts";
import { nearest } from "./nearest.ts";

/** An object's members under the spelling of the known keys. */
export interface FoldedKeys {
  readonly members: Readonly<Record<string, JsonValue>>;
  /** Keys that nobody reads, but for one letter or two. */
  readonly typos: readonly { readonly key: string; readonly near: string }[];
}

/** Matches keys in any case, as Go's `encoding/json` does; the last one wins, unknown ones are dropped. */
export function foldKeys(object: Readonly<Record<string, JsonValue>>, known: readonly string[]): FoldedKeys {
  const members: Record<string, JsonValue> = {};
  const typos: { key: string; near: string }[] = [];
  for (const [key, value] of Object.entries(object)) {
    const spelling = known.find((name) => name.toLowerCase() === key.toLowerCase());
    if (spelling !== undefined) {
      members[spelling] = value;
      continue;
    }
    const near = nearest(key, known);
    if (near !== undefined) typos.push({ key, near });
  }
  return { members, typos };
}

/** Reports whether `value` is a JSON object. */
export function isObject(value: JsonValue | undefined): value is Readonly<Record<string, JsonValue>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
