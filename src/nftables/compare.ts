import { attributesIn } from "./raw_rule.ts";
import { type Loaded, maskText, statesText, u32be, valueText } from "./rule_words.ts";
import { fromHostOrder } from "./value.ts";

// How rules compare what registers hold.

/** Whether it is so; `undefined` where that is not known. */
export type Tri = boolean | undefined;

const COMPARE = ["==", "!=", "<", "<=", ">", ">="] as const;

/** `bitwise`: what a register holds behind a mask. */
export function masked(loaded: Loaded | undefined, attributes: ReadonlyMap<number, Uint8Array>): Loaded {
  const [mask, xor] = [valueOf(attributes.get(4)), valueOf(attributes.get(5))];
  const what = loaded?.what ?? "a register";
  const isPlain = mask !== undefined && (u32be(attributes.get(6)) === 0);
  if (!isPlain || loaded?.bytes === undefined || loaded.bytes.length < mask.length) {
    return { ...kept(loaded), bytes: undefined, what, ...mask !== undefined && { mask } };
  }
  const known = loaded.known && mask.map((byte, at) => loaded.known![at]! | ~byte & 0xff);
  const bytes = mask.map((byte, at) =>
    (loaded.bytes![at]! & byte ^ (xor?.[at] ?? 0)) & (known?.[at] ?? 0xff)
  );
  return { ...kept(loaded), bytes, what, mask, ...known && { known } };
}

function kept(loaded: Loaded | undefined): Pick<Loaded, "isOfParts" | "isSwapped"> {
  return { ...loaded?.isOfParts && { isOfParts: true }, ...loaded?.isSwapped && { isSwapped: true } };
}

/** Numbers of `size` bytes the other way round. */
export function swapped(bytes: Uint8Array | undefined, size: number): Uint8Array | undefined {
  if (bytes === undefined || size === 0 || bytes.length % size !== 0) return undefined;
  return bytes.map((_, at) => bytes[at - at % size + size - 1 - at % size]!);
}

/** `cmp`. */
export function compare(
  loaded: Loaded | undefined,
  word: (type: number) => number,
  attributes: ReadonlyMap<number, Uint8Array>,
): { readonly is: Tri; readonly text: string } {
  const value = valueOf(attributes.get(3)) ?? new Uint8Array();
  const operation = word(2);
  const shown = [
    `${loaded?.what ?? "?"}${maskText(loaded)}`,
    ...operation === 0 ? [] : [COMPARE[operation] ?? "?"],
  ].join(" ");
  const isBits = loaded?.what === "ct state" && operation === 1 && loaded.mask?.length === 4 &&
    value.every((byte) => byte === 0);
  // So nft(8) asks for one of several bits.
  const sentence = isBits
    ? `ct state ${statesText(fromHostOrder(loaded.mask!))}`
    : `${shown} ${valueText(loaded, value)}`;
  const bytes = loaded?.bytes;
  if (bytes === undefined || bytes.length < value.length || operation > 5) {
    return { is: undefined, text: sentence };
  }
  const answer = (order: number) =>
    [order === 0, order !== 0, order < 0, order <= 0, order > 0, order >= 0][operation];
  const [least, most] = rangeOf(loaded!, value.length).map((end) => orderOf(end, value));
  if (operation <= 1) {
    const isOther = value.some((byte, at) => ((byte ^ bytes[at]!) & (loaded!.known?.[at] ?? 0xff)) !== 0);
    if (isOther) return { is: operation === 1, text: sentence };
    return { is: least === most ? answer(0) : undefined, text: sentence };
  }
  // It is so for all that it may be, if it is for the least and the most.
  return { is: answer(least!) === answer(most!) ? answer(least!) : undefined, text: sentence };
}

/** `range`. */
export function isWithin(
  loaded: Loaded | undefined,
  word: (type: number) => number,
  attributes: ReadonlyMap<number, Uint8Array>,
): { readonly is: Tri; readonly text: string } {
  const [from, to] = [valueOf(attributes.get(3)), valueOf(attributes.get(4))];
  const bytes = loaded?.bytes;
  const sentence = `${loaded?.what ?? "?"}${maskText(loaded)} ${word(2) === 1 ? "!= " : ""}${
    from ? valueText(loaded, from) : "?"
  }-${to ? valueText(loaded, to) : "?"}`;
  if (bytes === undefined || from === undefined || to === undefined) return { is: undefined, text: sentence };
  const [least, most] = rangeOf(loaded!, bytes.length);
  const isInside = orderOf(least!, from) >= 0 && orderOf(most!, to) <= 0;
  const isOutside = orderOf(most!, from) < 0 || orderOf(least!, to) > 0;
  if (!isInside && !isOutside) return { is: undefined, text: sentence };
  return { is: word(2) === 1 ? !isInside : isInside, text: sentence };
}

/** The least and the most that the first bytes of a register may be. */
export function rangeOf({ bytes, known }: Pick<Loaded, "bytes" | "known">, length: number): Uint8Array[] {
  const least = bytes!.subarray(0, length);
  return [least, known === undefined ? least : least.map((byte, at) => byte | ~known[at]! & 0xff)];
}

/** As the kernel compares: byte by byte, the first that differs. */
function orderOf(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at < 0 ? 0 : a[at]! - (b[at] ?? 0);
}

/** The bytes of a value in an attribute that holds one. */
export function valueOf(data: Uint8Array | undefined): Uint8Array | undefined {
  return data && valueIn(data);
}

/** The bytes of a value. */
export function valueIn(data: Uint8Array): Uint8Array | undefined {
  return attributesIn(data).get(1);
}
