import { AF_INET, type Prefix } from "../../src/model/address.ts";
import { writeAddress } from "../../src/model/rows.ts";
import type { MessageWriter } from "../../src/netlink/message.ts";
import { RT_TABLE_MAIN, RTA_DST, RTM_DELROUTE } from "../../src/rtnetlink/route_header.ts";

/** `RT_SCOPE_NOWHERE`: of whatever scope. */
const ANY_SCOPE = 255;

/** Writes the request that deletes the IPv4 route to a prefix, whosever it is. */
export function encodeRouteDeletion(
  writer: MessageWriter,
  sequence: number,
  { address, length }: Prefix,
): void {
  const words = new Uint32Array(4);
  writeAddress(words, 0, address);
  writer.begin(RTM_DELROUTE, 0, sequence);
  // struct rtmsg: family, lengths, tos; table, protocol, scope, type; flags.
  for (const byte of [AF_INET, length, 0, 0, RT_TABLE_MAIN, 0, ANY_SCOPE, 0]) writer.u8(byte);
  writer.u32(0);
  writer.attributeAddress(RTA_DST, words, 0, 4);
  writer.end();
}
