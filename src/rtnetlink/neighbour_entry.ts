import { type Address, AF_INET, AF_INET6, type Family, formatMac } from "../model/address.ts";
import { readAddress, readMac } from "../model/rows.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { type MessageReader, NLM_F_DUMP } from "../netlink/message.ts";
import {
  encodeNeighbourHeader,
  NDA_DST,
  NDA_IFINDEX,
  NDA_LLADDR,
  NEIGHBOUR_HEADER_BYTES,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
} from "./neighbour.ts";

/** `AF_BRIDGE`: the family of FDB entries. */
const AF_BRIDGE = 7;

/** `NUD_*`, as ip-neighbour(8) names them. */
const STATES: readonly (readonly [bit: number, name: NeighbourState])[] = [
  [0x01, "incomplete"],
  [0x02, "reachable"],
  [0x04, "stale"],
  [0x08, "delay"],
  [0x10, "probe"],
  [0x20, "failed"],
  [0x40, "noarp"],
  [0x80, "permanent"],
];

export type NeighbourState =
  | "none"
  | "incomplete"
  | "reachable"
  | "stale"
  | "delay"
  | "probe"
  | "failed"
  | "noarp"
  | "permanent";

/** A neighbour or an FDB entry, whoever made it. */
export interface NeighbourEntry {
  readonly linkIndex: number;
  /** The neighbour's address; of an FDB entry the underlay address that frames are sent to. */
  readonly address: Address | undefined;
  /** `0e:2a:00:00:00:01`; absent while it is not known. */
  readonly mac: string | undefined;
  readonly state: NeighbourState;
}

/**
 * Decodes one message about a neighbour or an FDB entry; `undefined` for any other.
 *
 * @throws {SyntaxError} If it is malformed.
 */
export function decodeNeighbourEntry(message: MessageReader): NeighbourEntry | undefined {
  if (message.type !== RTM_NEWNEIGH) return undefined;
  message.requireHeader(NEIGHBOUR_HEADER_BYTES);
  const { view, start, end } = message;
  const bits = view.getUint16(start + 8, LITTLE_ENDIAN);
  const words = new Uint32Array(4);
  let address: Address | undefined;
  let mac: string | undefined;
  const attributes = new AttributeReader(view, start + NEIGHBOUR_HEADER_BYTES, end);
  while (attributes.next()) {
    if (attributes.type === NDA_DST) {
      attributes.addressWords(words.fill(0), 0);
      address = readAddress(words, 0, attributes.length === 4 ? AF_INET : AF_INET6);
    } else if (attributes.type === NDA_LLADDR && attributes.length === 6) {
      attributes.macWords(words.fill(0), 0);
      mac = formatMac(readMac(words, 0));
    }
  }
  // The last that counts: a permanent entry of a VTEP has no ARP too.
  const state = STATES.findLast(([bit]) => bits & bit)?.[1] ?? "none";
  return { linkIndex: view.getInt32(start + 4, LITTLE_ENDIAN), address, mac, state };
}

/** The neighbours on a link. */
export function dumpNeighbourEntries(
  client: NetlinkClient,
  family: Family,
  linkIndex: number,
): NeighbourEntry[] {
  return dumpEntries(client, linkIndex, (writer, sequence) => {
    writer.begin(RTM_GETNEIGH, NLM_F_DUMP, sequence);
    encodeNeighbourHeader(writer, family, 0, 0, 0);
    writer.attributeU32(NDA_IFINDEX, linkIndex);
    writer.end();
  });
}

/** The FDB entries for a MAC of the ports of all bridges, and of bridges themselves. */
export function dumpFdbEntriesOf(client: NetlinkClient, mac: string): NeighbourEntry[] {
  const entries: NeighbourEntry[] = [];
  client.dump(
    "read FDB entries",
    (writer, sequence) => {
      writer.begin(RTM_GETNEIGH, NLM_F_DUMP, sequence);
      encodeNeighbourHeader(writer, AF_BRIDGE, 0, 0, 0);
      writer.end();
    },
    () => entries.length = 0,
    (message) => {
      const entry = decodeNeighbourEntry(message);
      if (entry?.mac === mac) entries.push(entry);
    },
  );
  return entries;
}

/** The FDB entries of a VTEP or a bridge port. */
export function dumpFdbEntries(client: NetlinkClient, linkIndex: number): NeighbourEntry[] {
  return dumpEntries(client, linkIndex, (writer, sequence) => {
    writer.begin(RTM_GETNEIGH, NLM_F_DUMP, sequence);
    encodeNeighbourHeader(writer, AF_BRIDGE, linkIndex, 0, 0);
    writer.end();
  });
}

function dumpEntries(
  client: NetlinkClient,
  linkIndex: number,
  write: Parameters<NetlinkClient["dump"]>[1],
): NeighbourEntry[] {
  const entries: NeighbourEntry[] = [];
  client.dump("read neighbours", write, () => entries.length = 0, (message) => {
    const entry = decodeNeighbourEntry(message);
    if (entry?.linkIndex === linkIndex) entries.push(entry);
  });
  return entries;
}
