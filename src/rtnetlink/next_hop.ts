import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { NetlinkError } from "../linux/errno.ts";
import { type MessageReader, type MessageWriter, NLM_F_DUMP } from "../netlink/message.ts";

// Early builds gave each IPv4 route a next-hop object. What is left of these is only read and deleted.

const RTM_NEWNEXTHOP = 104;
const RTM_DELNEXTHOP = 105;
const RTM_GETNEXTHOP = 106;

/** `sizeof(struct nhmsg)`. */
const NEXT_HOP_HEADER_BYTES = 8;
const NHA_ID = 1;

/** A next-hop object. */
export interface NextHop {
  readonly id: number;
  /** Who made it, `RTPROT_*`. */
  readonly protocol: number;
}

/**
 * Writes the request for all next hops.
 *
 * Source: `struct nhmsg`, linux/nexthop.h; ip-nexthop(8). Linux 5.3 and later.
 */
export function encodeNextHopDump(writer: MessageWriter, sequence: number): void {
  writer.begin(RTM_GETNEXTHOP, NLM_F_DUMP, sequence);
  encodeHeader(writer);
  writer.end();
}

/** Writes the request that deletes a next hop, and with it the routes that use it. */
export function encodeNextHopDeletion(writer: MessageWriter, sequence: number, id: number): void {
  writer.begin(RTM_DELNEXTHOP, 0, sequence);
  encodeHeader(writer);
  writer.attributeU32(NHA_ID, id);
  writer.end();
}

/**
 * | offset | bytes | C field       | here |
 * | -----: | ----: | ------------- | ---- |
 * |      0 |     1 | `nh_family`   | 0    |
 * |      1 |     1 | `nh_scope`    | 0    |
 * |      2 |     1 | `nh_protocol` | 0    |
 * |      3 |     1 | `resvd`       | 0    |
 * |      4 |     4 | `nh_flags`    | 0    |
 */
function encodeHeader(writer: MessageWriter): void {
  writer.u32(0);
  writer.u32(0);
}

/**
 * Decodes one message of a dump; `undefined` if it is another message.
 *
 * @throws {SyntaxError} If the message is malformed.
 */
export function decodeNextHop(message: MessageReader): NextHop | undefined {
  if (message.type !== RTM_NEWNEXTHOP) return undefined;
  message.requireHeader(NEXT_HOP_HEADER_BYTES);
  const { view, start, end } = message;
  const protocol = view.getUint8(start + 2);
  const attributes = new AttributeReader(view, start + NEXT_HOP_HEADER_BYTES, end);
  while (attributes.next()) if (attributes.type === NHA_ID) return { id: attributes.u32(), protocol };
  return undefined;
}

/** The ids of the next hops of a protocol; none before Linux 5.3. */
export function dumpNextHops(client: NetlinkClient, protocol: number): number[] {
  const ids: number[] = [];
  try {
    client.dump("read next hops", encodeNextHopDump, () => ids.length = 0, (message) => {
      const nextHop = decodeNextHop(message);
      if (nextHop?.protocol === protocol) ids.push(nextHop.id);
    });
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return [];
  }
  return ids;
}
