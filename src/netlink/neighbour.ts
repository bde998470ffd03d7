import { AF_INET, type Family } from "../model/address.ts";
import { FDB, FDB_FOREIGN_TRAIT, NEIGHBOUR, NO_SLOT } from "../model/rows.ts";
import type { Table } from "../model/table.ts";
import type { LinkSlots } from "./link_slots.ts";
import type { AttributeReader } from "./attribute.ts";
import {
  LITTLE_ENDIAN,
  type MessageReader,
  type MessageWriter,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_REPLACE,
} from "./message.ts";

export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;

/** `sizeof(struct ndmsg)`. */
const NEIGHBOUR_HEADER_BYTES = 12;

/** `AF_BRIDGE`: the family of FDB entries. */
const AF_BRIDGE = 7;
/** `AF_INET6`. */
const AF_INET6 = 10;

const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_CACHEINFO = 3;
const NDA_PROBES = 4;
const NDA_PORT = 6;
const NDA_VNI = 7;
const NDA_IFINDEX = 8;
const NDA_MASTER = 9;
const NDA_NH_ID = 13;

const NTF_SELF = 0x02;

/** Set by hand and never forgotten. */
export const NUD_PERMANENT = 0x80;
/** What the kernel makes of a permanent FDB entry of a VTEP. */
const NUD_NOARP = 0x40;

/**
 * | offset | bytes | C field       | here                                |
 * | -----: | ----: | ------------- | ----------------------------------- |
 * |      0 |     1 | `ndm_family`  | `AF_BRIDGE` for an FDB entry        |
 * |      4 |     4 | `ndm_ifindex` | the link index of `slot`            |
 * |      8 |     2 | `ndm_state`   | `state`                             |
 * |     10 |     1 | `ndm_flags`   | `NTF_SELF` for an FDB entry of ours |
 * |     11 |     1 | `ndm_type`    | 0; the kernel decides               |
 *
 * Source: `struct ndmsg`, rtnetlink(7); Documentation/netlink/specs/rt-neigh.yaml.
 */
function encodeHeader(
  writer: MessageWriter,
  family: number,
  linkIndex: number,
  state: number,
  flags: number,
): void {
  writer.u32(family);
  writer.u32(linkIndex);
  writer.u16(state);
  writer.u8(flags);
  writer.u8(0);
}

/** Writes the request for the neighbours of `family` on one link. */
export function encodeNeighbourDump(
  writer: MessageWriter,
  sequence: number,
  family: Family,
  linkIndex: number,
): void {
  writer.begin(RTM_GETNEIGH, NLM_F_DUMP, sequence);
  encodeHeader(writer, family, 0, 0, 0);
  writer.attributeU32(NDA_IFINDEX, linkIndex);
  writer.end();
}

/** Writes the request for the FDB entries of one VTEP. */
export function encodeFdbDump(writer: MessageWriter, sequence: number, linkIndex: number): void {
  writer.begin(RTM_GETNEIGH, NLM_F_DUMP, sequence);
  encodeHeader(writer, AF_BRIDGE, linkIndex, 0, 0);
  writer.end();
}

/** Writes the request that adds the neighbour in the row at `at`, or replaces the one with its address. */
export function encodeNeighbour(
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndexes: readonly number[],
): void {
  const family = words[at + NEIGHBOUR.family]!;
  const linkIndex = linkIndexes[words[at]!]!;
  writer.begin(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sequence);
  encodeHeader(writer, family, linkIndex, words[at + NEIGHBOUR.state]!, 0);
  writer.attributeAddress(NDA_DST, words, at + NEIGHBOUR.address, family === AF_INET ? 4 : 16);
  writer.attributeMac(NDA_LLADDR, words, at + NEIGHBOUR.mac);
  writer.end();
}

/** Writes the request that deletes the neighbour in the row at `at`. */
export function encodeNeighbourDeletion(
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndexes: readonly number[],
): void {
  const family = words[at + NEIGHBOUR.family]!;
  writer.begin(RTM_DELNEIGH, 0, sequence);
  encodeHeader(writer, family, linkIndexes[words[at]!]!, 0, 0);
  writer.attributeAddress(NDA_DST, words, at + NEIGHBOUR.address, family === AF_INET ? 4 : 16);
  writer.end();
}

/** Writes the request that adds the FDB entry in the row at `at`, or points its MAC to another host. */
export function encodeFdbEntry(
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndexes: readonly number[],
): void {
  writer.begin(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sequence);
  encodeHeader(writer, AF_BRIDGE, linkIndexes[words[at]!]!, words[at + FDB.state]!, NTF_SELF);
  encodeFdbKey(writer, words, at);
  writer.end();
}

/** Writes the request that deletes exactly the FDB entry in the row at `at`. */
export function encodeFdbDeletion(
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndexes: readonly number[],
): void {
  writer.begin(RTM_DELNEIGH, 0, sequence);
  encodeHeader(writer, AF_BRIDGE, linkIndexes[words[at]!]!, 0, NTF_SELF);
  encodeFdbKey(writer, words, at);
  writer.end();
}

function encodeFdbKey(writer: MessageWriter, words: Uint32Array, at: number): void {
  writer.attributeMac(NDA_LLADDR, words, at + FDB.mac);
  const family = words[at + FDB.family]!;
  if (family === 0) return;
  writer.attributeAddress(NDA_DST, words, at + FDB.underlayAddress, family === AF_INET ? 4 : 16);
}

/**
 * Appends the neighbour of one dump message as a row, unless it is not permanent or not on one of `slots`.
 *
 * @param attributes A reader over the message's buffer, to be reused between messages.
 * @throws {SyntaxError} If the message is malformed.
 */
export function decodeNeighbour(
  message: MessageReader,
  attributes: AttributeReader,
  slots: LinkSlots,
  table: Table,
): void {
  if (message.type !== RTM_NEWNEIGH) return;
  message.requireHeader(NEIGHBOUR_HEADER_BYTES);
  const { view, start, end } = message;
  const family = view.getUint8(start);
  const slot = slots.slotOf(view.getInt32(start + 4, LITTLE_ENDIAN));
  const state = view.getUint16(start + 8, LITTLE_ENDIAN);
  if (slot === NO_SLOT || !(state & NUD_PERMANENT) || (family !== AF_INET && family !== AF_INET6)) return;
  const at = table.push();
  const words = table.storage;
  words[at] = slot;
  words[at + NEIGHBOUR.family] = family;
  words[at + NEIGHBOUR.state] = state;
  attributes.reset(start + NEIGHBOUR_HEADER_BYTES, end);
  while (attributes.next()) {
    if (attributes.type === NDA_DST) attributes.addressWords(words, at + NEIGHBOUR.address);
    else if (attributes.type === NDA_LLADDR && attributes.length === 6) {
      attributes.macWords(words, at + NEIGHBOUR.mac);
    }
  }
}

/**
 * Appends the FDB entry of one dump message as a row, unless it was learned from traffic or is not on one of
 * `slots`.
 *
 * @param attributes A reader over the message's buffer, to be reused between messages.
 * @throws {SyntaxError} If the message is malformed.
 */
export function decodeFdbEntry(
  message: MessageReader,
  attributes: AttributeReader,
  slots: LinkSlots,
  table: Table,
): void {
  if (message.type !== RTM_NEWNEIGH) return;
  message.requireHeader(NEIGHBOUR_HEADER_BYTES);
  const { view, start, end } = message;
  const slot = slots.slotOf(view.getInt32(start + 4, LITTLE_ENDIAN));
  const state = view.getUint16(start + 8, LITTLE_ENDIAN);
  const isOurs = view.getUint8(start) === AF_BRIDGE && (view.getUint8(start + 10) & NTF_SELF) !== 0;
  if (slot === NO_SLOT || !isOurs || !(state & (NUD_PERMANENT | NUD_NOARP))) return;
  const at = table.push();
  const words = table.storage;
  let isForeign = false;
  words[at] = slot;
  attributes.reset(start + NEIGHBOUR_HEADER_BYTES, end);
  while (attributes.next()) {
    switch (attributes.type) {
      case NDA_DST:
        words[at + FDB.family] = attributes.length === 4 ? AF_INET : AF_INET6;
        attributes.addressWords(words, at + FDB.underlayAddress);
        break;
      case NDA_LLADDR:
        attributes.macWords(words, at + FDB.mac);
        break;
      case NDA_PORT:
      case NDA_VNI:
      case NDA_IFINDEX:
      case NDA_NH_ID:
        isForeign = true;
        break;
      case NDA_CACHEINFO:
      case NDA_PROBES:
      case NDA_MASTER:
        break;
    }
  }
  // `bridge fdb` and flannel say permanent in different bits; to the VTEP both mean the same.
  words[at + FDB.state] = NUD_PERMANENT | (isForeign ? FDB_FOREIGN_TRAIT : 0);
}
