import {
  type Address,
  AF_INET,
  bitsOf,
  type Family,
  familyOf,
  type Ipv4,
  type Ipv6,
  type Mac,
  type Prefix,
} from "./address.ts";
import type { RowLayout } from "./table.ts";

// The rows of the three hot tables. Words are numbered from the row's first; an address takes four words in
// network order, an IPv4 address the first of them and three zeros. `slot` is a position in the list of links
// of the desired state (`DesiredState.links`), never a kernel link index.

/** In `slot`: over a link that is not in the desired state, or over none. */
export const NO_SLOT = 0xffff_ffff;

/**
 * A route of the main table.
 *
 * | word | holds |
 * | ---: | ----- |
 * |    0 | `family` |
 * |    1 | `destination`, four words |
 * |    5 | `length`, prefix length in bits |
 * |    6 | `metric` |
 * |    7 | `slot` |
 * |    8 | `gateway`, four words, zero for none |
 * |   12 | `traits`: protocol, scope << 8, type << 16, and those named `ROUTE_*` below |
 * |   13 | `mtuBytes`, the route's own MTU, 0 for none |
 */
export const ROUTE = {
  words: 14,
  keyWords: 7,
  family: 0,
  destination: 1,
  length: 5,
  metric: 6,
  slot: 7,
  gateway: 8,
  traits: 12,
  mtuBytes: 13,
} as const satisfies RowLayout & Record<string, number>;

/** In `traits`: the next hop is taken to be on the link, unseen (`RTNH_F_ONLINK`). */
export const ROUTE_ONLINK = 1 << 24;
/** In `traits`: the kernel's route has an attribute that Loden never sets, so it differs from any of ours. */
export const ROUTE_FOREIGN_TRAIT = 1 << 25;
/**
 * In `traits`: the route leaves by a next-hop object, as those of Loden 0.1 do; the first word of `gateway` is its id.
 * Loden only deletes such routes.
 */
export const ROUTE_BY_OBJECT = 1 << 26;
/** In `traits`: the kernel's route is only for packets of one TOS, or from one source. */
export const ROUTE_SELECTIVE = 1 << 27;
/** In `traits`: the kernel's route has several next hops; the row holds one of them. */
export const ROUTE_SHARED = 1 << 28;

/**
 * A permanent neighbour.
 *
 * | word | holds |
 * | ---: | ----- |
 * |    0 | `slot` |
 * |    1 | `family` |
 * |    2 | `address`, four words |
 * |    6 | `mac`, two words: the high 16 bits, then the low 32 |
 * |    8 | `state`: `NUD_*` bits |
 */
export const NEIGHBOUR = {
  words: 9,
  keyWords: 6,
  slot: 0,
  family: 1,
  address: 2,
  mac: 6,
  state: 8,
} as const satisfies RowLayout & Record<string, number>;

/**
 * An FDB entry of a VTEP.
 *
 * | word | holds |
 * | ---: | ----- |
 * |    0 | `slot` |
 * |    1 | `mac`, two words: the high 16 bits, then the low 32 |
 * |    3 | `family` of the underlay address |
 * |    4 | `underlayAddress`, four words |
 * |    8 | `state`: `NUD_*` bits, `FDB_FOREIGN_TRAIT` |
 */
export const FDB = {
  words: 9,
  keyWords: 3,
  slot: 0,
  mac: 1,
  family: 3,
  underlayAddress: 4,
  state: 8,
} as const satisfies RowLayout & Record<string, number>;

/** In `state`: the entry has a port, VNI or link of its own, which Loden never sets. */
export const FDB_FOREIGN_TRAIT = 1 << 16;

/** Where the route in the row at `at` leads. */
export function routeDestination(words: Uint32Array, at: number): Prefix {
  const address = readAddress(words, at + ROUTE.destination, words[at + ROUTE.family] as Family);
  return { address, length: words[at + ROUTE.length]! };
}

/** Who made the route in the row at `at`, `RTPROT_*`. */
export function routeProtocol(words: Uint32Array, at: number): number {
  return words[at + ROUTE.traits]! & 0xff;
}

/** What the route in the row at `at` does with packets, `RTN_*`. */
export function routeType(words: Uint32Array, at: number): number {
  return words[at + ROUTE.traits]! >>> 16 & 0xff;
}

/** Whether the route in the row at `at` has a gateway, or leaves by a next-hop object. */
export function hasGateway(words: Uint32Array, at: number): boolean {
  const first = at + ROUTE.gateway;
  return (words[first]! | words[first + 1]! | words[first + 2]! | words[first + 3]!) !== 0;
}

/** Writes an address into four words at `at`. The words must be zero. */
export function writeAddress(words: Uint32Array, at: number, address: Address): void {
  if (typeof address === "number") {
    words[at] = address;
    return;
  }
  words[at] = Number(address >> 96n);
  words[at + 1] = Number(address >> 64n & 0xffff_ffffn);
  words[at + 2] = Number(address >> 32n & 0xffff_ffffn);
  words[at + 3] = Number(address & 0xffff_ffffn);
}

/** An address in network order: 4 bytes, or 16. */
export function addressBytes(address: Address): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(4);
  writeAddress(words, 0, address);
  const view = new DataView(new ArrayBuffer(16));
  for (const [at, word] of words.entries()) view.setUint32(4 * at, word);
  return new Uint8Array(view.buffer, 0, bitsOf(familyOf(address)) / 8);
}

/** Reads the address of `family` from four words at `at`. */
export function readAddress(words: Uint32Array, at: number, family: Family): Address {
  if (family === AF_INET) return words[at]! as Ipv4;
  return (BigInt(words[at]!) << 96n | BigInt(words[at + 1]!) << 64n | BigInt(words[at + 2]!) << 32n |
    BigInt(words[at + 3]!)) as Ipv6;
}

/** Writes a MAC into two words at `at`. */
export function writeMac(words: Uint32Array, at: number, mac: Mac): void {
  words[at] = Math.floor(mac / 2 ** 32);
  words[at + 1] = mac % 2 ** 32;
}

/** Reads the MAC in two words at `at`. */
export function readMac(words: Uint32Array, at: number): Mac {
  return (words[at]! * 2 ** 32 + words[at + 1]!) as Mac;
}

/** Writes an address with its family in the word before it. */
export function writeFamilyAddress(words: Uint32Array, at: number, address: Address): void {
  words[at] = familyOf(address);
  writeAddress(words, at + 1, address);
}
