import { AF_INET } from "../model/address.ts";
import { NEXT_HOP, ROUTE_FOREIGN_TRAIT, ROUTE_ONLINK } from "../model/rows.ts";
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

export const RTM_NEWNEXTHOP = 104;
export const RTM_DELNEXTHOP = 105;
const RTM_GETNEXTHOP = 106;

/** `sizeof(struct nhmsg)`. */
const NEXT_HOP_HEADER_BYTES = 8;

const NHA_ID = 1;
const NHA_OIF = 5;
const NHA_GATEWAY = 6;
const RTNH_F_ONLINK = 4;
/** State that the kernel adds to `nh_flags`: `RTNH_F_DEAD`, `RTNH_F_OFFLOAD`, `RTNH_F_LINKDOWN`, `RTNH_F_TRAP`. */
const RTNH_COMPARE_MASK = ~(1 | 8 | 16 | 64);

/**
 * Writes the request for the next hops that leave by one link, or for all where `linkIndex` is 0.
 *
 * Source: `struct nhmsg`, linux/nexthop.h; ip-nexthop(8). Linux 5.3 and later.
 */
export function encodeNextHopDump(writer: MessageWriter, sequence: number, linkIndex: number): void {
  writer.begin(RTM_GETNEXTHOP, NLM_F_DUMP, sequence);
  encodeHeader(writer, 0, 0, 0);
  if (linkIndex !== 0) writer.attributeU32(NHA_OIF, linkIndex);
  writer.end();
}

/**
 * | offset | bytes | C field       | here            |
 * | -----: | ----: | ------------- | --------------- |
 * |      0 |     1 | `nh_family`   | `family`        |
 * |      1 |     1 | `nh_scope`    | 0, read-only    |
 * |      2 |     1 | `nh_protocol` | `traits`        |
 * |      3 |     1 | `resvd`       | 0               |
 * |      4 |     4 | `nh_flags`    | `RTNH_F_ONLINK` |
 */
function encodeHeader(writer: MessageWriter, family: number, protocol: number, flags: number): void {
  writer.u8(family);
  writer.u8(0);
  writer.u8(protocol);
  writer.u8(0);
  writer.u32(flags);
}

/** Writes the request that adds the next hop in the row at `at`, or replaces the one with its id. */
export function encodeNextHop(
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndexes: readonly number[],
): void {
  const family = words[at + NEXT_HOP.family]!;
  const traits = words[at + NEXT_HOP.traits]!;
  writer.begin(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, sequence);
  encodeHeader(writer, family, traits & 0xff, traits & ROUTE_ONLINK ? RTNH_F_ONLINK : 0);
  writer.attributeU32(NHA_ID, words[at]!);
  writer.attributeU32(NHA_OIF, linkIndexes[words[at + NEXT_HOP.slot]!]!);
  writer.attributeAddress(NHA_GATEWAY, words, at + NEXT_HOP.gateway, family === AF_INET ? 4 : 16);
  writer.end();
}

/** Writes the request that deletes the next hop in the row at `at`, and with it the routes that use it. */
export function encodeNextHopDeletion(
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
): void {
  writer.begin(RTM_DELNEXTHOP, 0, sequence);
  encodeHeader(writer, 0, 0, 0);
  writer.attributeU32(NHA_ID, words[at]!);
  writer.end();
}

/**
 * Appends the next hop of one dump message as a row, unless it leaves by no link: groups and black holes.
 *
 * @param attributes A reader over the message's buffer, to be reused between messages.
 * @throws {SyntaxError} If the message is malformed.
 */
export function decodeNextHop(
  message: MessageReader,
  attributes: AttributeReader,
  slots: LinkSlots,
  table: Table,
): void {
  if (message.type !== RTM_NEWNEXTHOP) return;
  message.requireHeader(NEXT_HOP_HEADER_BYTES);
  const { view, start, end } = message;
  const at = table.push();
  const words = table.storage;
  const flags = view.getUint32(start + 4, LITTLE_ENDIAN);
  let slot: number | undefined;
  let isForeign = (flags & RTNH_COMPARE_MASK & ~RTNH_F_ONLINK) !== 0;
  words[at + NEXT_HOP.family] = view.getUint8(start);
  attributes.reset(start + NEXT_HOP_HEADER_BYTES, end);
  while (attributes.next()) {
    switch (attributes.type) {
      case NHA_ID:
        words[at] = attributes.u32();
        break;
      case NHA_OIF:
        slot = slots.slotOf(attributes.u32());
        break;
      case NHA_GATEWAY:
        attributes.addressWords(words, at + NEXT_HOP.gateway);
        break;
      default:
        isForeign = true;
    }
  }
  if (slot === undefined) {
    table.pop();
    return;
  }
  words[at + NEXT_HOP.slot] = slot;
  words[at + NEXT_HOP.traits] = view.getUint8(start + 2) | (flags & RTNH_F_ONLINK ? ROUTE_ONLINK : 0) |
    (isForeign ? ROUTE_FOREIGN_TRAIT : 0);
}
