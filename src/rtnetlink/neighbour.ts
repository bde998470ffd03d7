import { type Address, AF_INET, AF_INET6, FAMILIES } from "../model/address.ts";
import { NEIGHBOUR, NO_SLOT, readAddress } from "../model/rows.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import { type MessageWriter, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE } from "../netlink/message.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import type { EncodeRow, RowCodec } from "./row_codec.ts";

export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;

/** `sizeof(struct ndmsg)`. */
export const NEIGHBOUR_HEADER_BYTES = 12;

export const NDA_DST = 1;
export const NDA_LLADDR = 2;
export const NDA_IFINDEX = 8;

/** Set by hand and never forgotten. */
export const NUD_PERMANENT = 0x80;
/** Asked for, and nobody answered. */
const NUD_FAILED = 0x20;

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
export function encodeNeighbourHeader(
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

/**
 * The requests about the rows of one table that travels in `RTM_*NEIGH`: an entry is made, or takes the place of the one
 * with its key, or is deleted.
 *
 * @param encodeEntry Writes what is between the message's begin and end; of an entry to be deleted only its key.
 */
export function neighbourRequests(
  encodeEntry: (
    writer: MessageWriter,
    words: Uint32Array,
    at: number,
    linkIndex: number,
    isDeletion: boolean,
  ) => void,
): RowCodec["encode"] {
  const request = (type: number, flags: number): EncodeRow => (writer, sequence, words, at, linkIndexes) => {
    writer.begin(type, flags, sequence);
    encodeEntry(writer, words, at, linkIndexes[words[at]!]!, type === RTM_DELNEIGH);
    writer.end();
  };
  const put = request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  return { add: put, replace: put, delete: request(RTM_DELNEIGH, 0) };
}

const encode = neighbourRequests((writer, words, at, linkIndex, isDeletion) => {
  const family = words[at + NEIGHBOUR.family]!;
  encodeNeighbourHeader(writer, family, linkIndex, isDeletion ? 0 : words[at + NEIGHBOUR.state]!, 0);
  writer.attributeAddress(NDA_DST, words, at + NEIGHBOUR.address, family === AF_INET ? 4 : 16);
  if (!isDeletion) writer.attributeMac(NDA_LLADDR, words, at + NEIGHBOUR.mac);
});

/** Writes the question for one neighbour, by the key of its row; the kernel answers with it, or `ENOENT`. */
export function encodeNeighbourQuery(
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndex: number,
): void {
  const family = words[at + NEIGHBOUR.family]!;
  writer.begin(RTM_GETNEIGH, 0, sequence);
  encodeNeighbourHeader(writer, family, linkIndex, 0, 0);
  writer.attributeAddress(NDA_DST, words, at + NEIGHBOUR.address, family === AF_INET ? 4 : 16);
  writer.end();
}

/** Neighbours: only permanent ones that are on one of the links are of interest. */
export const neighbourCodec = {
  layout: NEIGHBOUR,
  noun: "neighbours",
  encode,
  encodeDump(writer, sequence, family, linkIndex) {
    writer.begin(RTM_GETNEIGH, NLM_F_DUMP, sequence);
    encodeNeighbourHeader(writer, family, 0, 0, 0);
    writer.attributeU32(NDA_IFINDEX, linkIndex);
    writer.end();
  },
  decode(message, attributes, slots, table) {
    if (message.type !== RTM_NEWNEIGH) return 0;
    message.requireHeader(NEIGHBOUR_HEADER_BYTES);
    const { view, start, end } = message;
    const family = view.getUint8(start);
    const slot = slots.slotOf(view.getInt32(start + 4, LITTLE_ENDIAN));
    const state = view.getUint16(start + 8, LITTLE_ENDIAN);
    if (slot === NO_SLOT || !(state & NUD_PERMANENT) || (family !== AF_INET && family !== AF_INET6)) return 0;
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
    return 1;
  },
} as const satisfies RowCodec;

/**
 * The addresses of all neighbours on all links, those that did not answer left out.
 *
 * @throws {NetlinkError} If the kernel refused.
 */
export function dumpNeighbourAddresses(client: NetlinkClient): Set<Address> {
  const addresses = new Set<Address>();
  for (const family of FAMILIES) {
    const found: Address[] = [];
    const words = new Uint32Array(4);
    client.dump(
      "read neighbours",
      (writer, sequence) => neighbourCodec.encodeDump(writer, sequence, family, 0),
      () => found.length = 0,
      (message) => {
        if (message.type !== RTM_NEWNEIGH) return;
        message.requireHeader(NEIGHBOUR_HEADER_BYTES);
        const { view, start, end } = message;
        if (view.getUint16(start + 8, LITTLE_ENDIAN) & NUD_FAILED) return;
        const attributes = new AttributeReader(view, start + NEIGHBOUR_HEADER_BYTES, end);
        while (attributes.next()) {
          if (attributes.type !== NDA_DST) continue;
          attributes.addressWords(words, 0);
          found.push(readAddress(words, 0, family));
        }
      },
    );
    for (const address of found) addresses.add(address);
  }
  return addresses;
}
