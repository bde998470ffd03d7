import type { Address, Family } from "../model/address.ts";
import { readAddress } from "../model/rows.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";

// What the registers of nf_tables hold: addresses and masks in network order, marks in the host's.

/** The prefix length that a mask stands for; `undefined` where its ones are not all in front. */
export function prefixLength(mask: Uint8Array): number | undefined {
  const bits = [...mask].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const length = bits.indexOf("0");
  if (length < 0) return bits.length;
  return bits.includes("1", length) ? undefined : length;
}

/** A mask of `bytes` bytes whose first `length` bits are ones. */
export function maskBytes(length: number, bytes: number): Uint8Array {
  return Uint8Array.from(
    { length: bytes },
    (_, at) => 0xff00 >> Math.min(Math.max(length - 8 * at, 0), 8) & 0xff,
  );
}

/** The address of `family` that begins with `bytes`, and has zeros behind them. */
export function addressOf(bytes: Uint8Array, family: Family): Address {
  const whole = new Uint8Array(16);
  whole.set(bytes);
  const view = new DataView(whole.buffer);
  const words = Uint32Array.from({ length: 4 }, (_, at) => view.getUint32(4 * at));
  return readAddress(words, 0, family);
}

/** A mark, as a register holds it. */
export function hostOrder(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, LITTLE_ENDIAN);
  return bytes;
}

/** The mark that a register holds; 0 where it is none. */
export function fromHostOrder(bytes: Uint8Array): number {
  return bytes.length === 4 ? new DataView(bytes.slice().buffer).getUint32(0, LITTLE_ENDIAN) : 0;
}

/** In the user data of a rule: a comment. */
const UDATA_COMMENT = 0;
/** A comment, with the zero at its end, is at most this long for nft(8). */
const MAX_COMMENT_BYTES = 128;

/** The user data of a rule with a comment: type, length, text and a zero, as libnftnl keeps it. */
export function encodeComment(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text).subarray(0, MAX_COMMENT_BYTES - 1);
  return Uint8Array.of(UDATA_COMMENT, bytes.length + 1, ...bytes, 0);
}

/** The comment in the user data of a rule; `undefined` where there is none. */
export function decodeComment(data: Uint8Array): string | undefined {
  for (let at = 0; at + 2 <= data.length; at += 2 + data[at + 1]!) {
    if (data[at] !== UDATA_COMMENT) continue;
    return new TextDecoder().decode(data.subarray(at + 2, at + 2 + data[at + 1]!)).replace(/\0.*$/s, "");
  }
  return undefined;
}
