import { AF_INET, AF_INET6 } from "../model/address.ts";
import { FDB, FDB_FOREIGN_TRAIT, NO_SLOT } from "../model/rows.ts";
import { type MessageWriter, NLM_F_DUMP } from "../netlink/message.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import {
  encodeNeighbourHeader,
  NDA_DST,
  NDA_IFINDEX,
  NDA_LLADDR,
  NEIGHBOUR_HEADER_BYTES,
  neighbourRequests,
  NUD_PERMANENT,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
} from "./neighbour.ts";
import type { RowCodec } from "./row_codec.ts";

/** `AF_BRIDGE`: the family of FDB entries. */
export const AF_BRIDGE = 7;

const NDA_CACHEINFO = 3;
const NDA_PROBES = 4;
const NDA_PORT = 6;
const NDA_VNI = 7;
const NDA_MASTER = 9;
const NDA_NH_ID = 13;

const NTF_SELF = 0x02;
/** What the kernel makes of a permanent FDB entry of a VTEP. */
const NUD_NOARP = 0x40;

const encode = neighbourRequests((writer, words, at, linkIndex, isDeletion) => {
  const state = isDeletion ? 0 : words[at + FDB.state]!;
  encodeNeighbourHeader(writer, AF_BRIDGE, linkIndex, state, NTF_SELF);
  writer.attributeMac(NDA_LLADDR, words, at + FDB.mac);
  const family = words[at + FDB.family]!;
  if (family === 0) return;
  writer.attributeAddress(NDA_DST, words, at + FDB.underlayAddress, family === AF_INET ? 4 : 16);
});

/** Writes the question for one FDB entry, by the key of its row; the kernel answers with its first remote, or `ENOENT`. */
export function encodeFdbQuery(
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndex: number,
): void {
  writer.begin(RTM_GETNEIGH, 0, sequence);
  encodeNeighbourHeader(writer, AF_BRIDGE, linkIndex, 0, NTF_SELF);
  writer.attributeMac(NDA_LLADDR, words, at + FDB.mac);
  writer.end();
}

/** FDB entries of VTEPs: those that were learned from traffic, or are on none of the links, are of no interest. */
export const fdbCodec = {
  layout: FDB,
  noun: "FDB",
  encode,
  encodeDump(writer, sequence, _family, linkIndex) {
    writer.begin(RTM_GETNEIGH, NLM_F_DUMP, sequence);
    encodeNeighbourHeader(writer, AF_BRIDGE, linkIndex, 0, 0);
    writer.end();
  },
  decode(message, attributes, slots, table) {
    if (message.type !== RTM_NEWNEIGH) return 0;
    message.requireHeader(NEIGHBOUR_HEADER_BYTES);
    const { view, start, end } = message;
    const slot = slots.slotOf(view.getInt32(start + 4, LITTLE_ENDIAN));
    const state = view.getUint16(start + 8, LITTLE_ENDIAN);
    const isOurs = view.getUint8(start) === AF_BRIDGE && (view.getUint8(start + 10) & NTF_SELF) !== 0;
    if (slot === NO_SLOT || !isOurs || !(state & (NUD_PERMANENT | NUD_NOARP))) return 0;
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
    return 1;
  },
} as const satisfies RowCodec;
