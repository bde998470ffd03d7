import type { MessageWriter } from "../netlink/message.ts";

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;

/** `sizeof(struct rtmsg)`. */
export const ROUTE_HEADER_BYTES = 12;

export const RTA_DST = 1;
export const RTA_SRC = 2;
export const RTA_IIF = 3;
export const RTA_OIF = 4;
export const RTA_GATEWAY = 5;
export const RTA_PRIORITY = 6;
export const RTA_PREFSRC = 7;
export const RTA_METRICS = 8;
export const RTA_MULTIPATH = 9;
export const RTA_CACHEINFO = 12;
export const RTA_TABLE = 15;
/** A gateway of the other family. */
export const RTA_VIA = 18;
export const RTA_PREF = 20;
export const RTA_IP_PROTO = 27;
export const RTA_SPORT = 28;
export const RTA_DPORT = 29;
export const RTA_NH_ID = 30;
/** In `RTA_METRICS`: the route's own MTU. */
export const RTAX_MTU = 2;

/** `rtm_flags`: the next hop is on the link, though no route says so. */
export const RTNH_F_ONLINK = 4;
/** `rtm_flags`: the link has no carrier; in IPv4 alone. */
export const RTNH_F_LINKDOWN = 16;
/** `rtm_flags`: a cached copy of a route. */
export const RTM_F_CLONED = 0x200;
/** In a question: the answer tells the table; in IPv6 it always does. */
export const RTM_F_LOOKUP_TABLE = 0x1000;
/** In a question: the answer is the route that was found, not what it makes of the packet. */
export const RTM_F_FIB_MATCH = 0x2000;

/** In a deletion of IPv4: any scope. */
export const RT_SCOPE_NOWHERE = 255;

export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;

/** `RTN_UNICAST` of rtnetlink(7): a route over a link. */
export const RTN_UNICAST = 1;
/** `RTN_LOCAL`: to this host itself. */
export const RTN_LOCAL = 2;
/** `RTN_MULTICAST`: this one and all behind it but `RTN_BLACKHOLE` are no unicast either. */
export const RTN_MULTICAST = 5;
/** `RTN_BLACKHOLE`: drops what it matches, without a word. */
export const RTN_BLACKHOLE = 6;
/** `RTN_THROW`: ends the look into this table; the next rule is asked. */
export const RTN_THROW = 9;

/** `RTPROT_KERNEL`: routes that the kernel makes for addresses; never ours to change. */
export const RTPROT_KERNEL = 2;
/** `RTPROT_BOOT`: what flannel's routes say. */
export const RTPROT_BOOT = 3;
/** What Loden's routes say; free in `/etc/iproute2/rt_protos` and `linux/rtnetlink.h`. */
export const RTPROT_LODEN = 76;

/**
 * | offset | bytes | C field        | here            |
 * | -----: | ----: | -------------- | --------------- |
 * |      0 |     1 | `rtm_family`   | `family`        |
 * |      1 |     1 | `rtm_dst_len`  | `length`        |
 * |      2 |     1 | `rtm_src_len`  | `sourceLength`  |
 * |      3 |     1 | `rtm_tos`      | 0               |
 * |      4 |     1 | `rtm_table`    | `table`         |
 * |      5 |     1 | `rtm_protocol` | `traits`        |
 * |      6 |     1 | `rtm_scope`    | `scope`         |
 * |      7 |     1 | `rtm_type`     | `traits` >> 16  |
 * |      8 |     4 | `rtm_flags`    | `flags`         |
 *
 * Source: `struct rtmsg`, rtnetlink(7); Documentation/netlink/specs/rt-route.yaml.
 *
 * @param traits As in a row of `ROUTE`.
 */
export function encodeRouteHeader(
  writer: MessageWriter,
  family: number,
  length: number,
  table = 0,
  traits = 0,
  scope = 0,
  flags = 0,
  sourceLength = 0,
): void {
  writer.u8(family);
  writer.u8(length);
  writer.u8(sourceLength);
  writer.u8(0);
  writer.u8(table);
  writer.u8(traits & 0xff);
  writer.u8(scope);
  writer.u8(traits >>> 16 & 0xff);
  writer.u32(flags);
}
