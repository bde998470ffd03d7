import { AF_INET, type Family } from "../model/address.ts";
import { hasGateway, ROUTE, ROUTE_BY_OBJECT, ROUTE_FOREIGN_TRAIT, ROUTE_ONLINK } from "../model/rows.ts";
import type { Table } from "../model/table.ts";
import type { LinkSlots } from "./link_slots.ts";
import { AttributeReader } from "./attribute.ts";
import {
  LITTLE_ENDIAN,
  type MessageReader,
  type MessageWriter,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from "./message.ts";

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

/** `sizeof(struct rtnexthop)`. */
const MULTIPATH_HEADER_BYTES = 8;
/** `sizeof(struct rtmsg)`. */
const ROUTE_HEADER_BYTES = 12;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_CACHEINFO = 12;
const RTA_TABLE = 15;
const RTA_PREF = 20;
const RTA_NH_ID = 30;
const RTAX_MTU = 2;

const RT_TABLE_MAIN = 254;
const RT_SCOPE_NOWHERE = 255;
const RTNH_F_ONLINK = 4;
const RTM_F_CLONED = 0x200;

/** `RTN_UNICAST` of rtnetlink(7): a route over a link. */
export const RTN_UNICAST = 1;
/** `RTN_BLACKHOLE`: drops what it matches, without a word. */
export const RTN_BLACKHOLE = 6;

/** `RTPROT_BOOT`: what flannel's routes say. */
export const RTPROT_BOOT = 3;
/** `RTPROT_KERNEL`: routes that the kernel makes for addresses; never ours to change. */
export const RTPROT_KERNEL = 2;
/** What Loden's routes say; free in `/etc/iproute2/rt_protos` and `linux/rtnetlink.h`. */
export const RTPROT_LODEN = 76;

/**
 * Writes the request for the routes of `family` in the main table that leave by one link, or by any and none where
 * `linkIndex` is 0, and of one protocol, or of any where that is 0. Before Linux 4.20 the kernel answers with all.
 *
 * Source: `struct rtmsg`, rtnetlink(7); Documentation/netlink/specs/rt-route.yaml.
 */
export function encodeRouteDump(
  writer: MessageWriter,
  sequence: number,
  family: Family,
  linkIndex: number,
  protocol = 0,
): void {
  writer.begin(RTM_GETROUTE, NLM_F_DUMP, sequence);
  writer.u32(family);
  writer.u32(protocol << 8);
  writer.u32(0);
  writer.attributeU32(RTA_TABLE, RT_TABLE_MAIN);
  if (linkIndex !== 0) writer.attributeU32(RTA_OIF, linkIndex);
  writer.end();
}

/**
 * | offset | bytes | C field        | here            |
 * | -----: | ----: | -------------- | --------------- |
 * |      0 |     1 | `rtm_family`   | `family`        |
 * |      1 |     1 | `rtm_dst_len`  | `length`        |
 * |      2 |     1 | `rtm_src_len`  | 0               |
 * |      3 |     1 | `rtm_tos`      | 0               |
 * |      4 |     1 | `rtm_table`    | main            |
 * |      5 |     1 | `rtm_protocol` | `traits`        |
 * |      6 |     1 | `rtm_scope`    | `traits` >> 8   |
 * |      7 |     1 | `rtm_type`     | `traits` >> 16  |
 * |      8 |     4 | `rtm_flags`    | `RTNH_F_ONLINK` |
 */
function encodeHeader(
  writer: MessageWriter,
  family: number,
  length: number,
  traits: number,
  scope: number,
  flags: number,
): void {
  writer.u8(family);
  writer.u8(length);
  writer.u16(0);
  writer.u8(RT_TABLE_MAIN);
  writer.u8(traits & 0xff);
  writer.u8(scope);
  writer.u8(traits >>> 16 & 0xff);
  writer.u32(flags);
}

/**
 * Writes the request that adds the route in the row at `at`. The kernel answers EEXIST where there is one to the same
 * destination with the same metric, whoever made it.
 *
 * @param linkIndexes The kernel's link index of each slot.
 */
export function encodeNewRoute(
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndexes: readonly number[],
): void {
  // Without NLM_F_EXCL the kernel would make one IPv6 route with two next hops of it and a foreign one.
  encodeWith(NLM_F_CREATE | NLM_F_EXCL, writer, sequence, words, at, linkIndexes);
}

/**
 * Writes the request that replaces the route to the same destination with the same metric by that in the row at `at`,
 * or adds it where there is none.
 *
 * @param linkIndexes The kernel's link index of each slot.
 */
export function encodeRoute(
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndexes: readonly number[],
): void {
  encodeWith(NLM_F_CREATE | NLM_F_REPLACE, writer, sequence, words, at, linkIndexes);
}

function encodeWith(
  messageFlags: number,
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndexes: readonly number[],
): void {
  const traits = words[at + ROUTE.traits]!;
  writer.begin(RTM_NEWROUTE, messageFlags, sequence);
  const flags = traits & ROUTE_ONLINK ? RTNH_F_ONLINK : 0;
  encodeHeader(writer, words[at]!, words[at + ROUTE.length]!, traits, traits >>> 8 & 0xff, flags);
  encodeSelectors(writer, words, at, linkIndexes);
  if (words[at + ROUTE.mtuBytes] !== 0) {
    writer.nested(RTA_METRICS, () => writer.attributeU32(RTAX_MTU, words[at + ROUTE.mtuBytes]!));
  }
  writer.end();
}

/** Writes the request that deletes exactly the route in the row at `at`. */
export function encodeRouteDeletion(
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndexes: readonly number[],
): void {
  writer.begin(RTM_DELROUTE, 0, sequence);
  encodeHeader(
    writer,
    words[at]!,
    words[at + ROUTE.length]!,
    words[at + ROUTE.traits]! & ~0xff00,
    words[at] === AF_INET ? RT_SCOPE_NOWHERE : 0,
    0,
  );
  encodeSelectors(writer, words, at, linkIndexes);
  writer.end();
}

function encodeSelectors(
  writer: MessageWriter,
  words: Uint32Array,
  at: number,
  linkIndexes: readonly number[],
): void {
  const addressBytes = words[at] === AF_INET ? 4 : 16;
  writer.attributeAddress(RTA_DST, words, at + ROUTE.destination, addressBytes);
  if (words[at + ROUTE.metric] !== 0) writer.attributeU32(RTA_PRIORITY, words[at + ROUTE.metric]!);
  if (words[at + ROUTE.traits]! & ROUTE_BY_OBJECT) {
    writer.attributeU32(RTA_NH_ID, words[at + ROUTE.gateway]!);
    return;
  }
  if (hasGateway(words, at)) {
    writer.attributeAddress(RTA_GATEWAY, words, at + ROUTE.gateway, addressBytes);
  }
  const linkIndex = linkIndexes[words[at + ROUTE.slot]!];
  if (linkIndex !== undefined) writer.attributeU32(RTA_OIF, linkIndex);
}

/**
 * Appends the route of one dump message as a row, unless it is of another table than the main one, or a cached copy.
 * One over several links counts as of the first. Routes for one TOS or source are left out: both identify a route, and
 * Loden never sets them. Any other attribute that Loden never sets is kept as `ROUTE_FOREIGN_TRAIT`.
 *
 * @param attributes A reader over the message's buffer, to be reused between messages.
 * @returns The kernel's index of its link, 0 for none; `undefined` if nothing was appended.
 * @throws {SyntaxError} If the message is malformed.
 */
export function decodeRoute(
  message: MessageReader,
  attributes: AttributeReader,
  slots: LinkSlots,
  table: Table,
): number | undefined {
  if (message.type !== RTM_NEWROUTE) return undefined;
  message.requireHeader(ROUTE_HEADER_BYTES);
  const { view, start, end } = message;
  const flags = view.getUint32(start + 8, LITTLE_ENDIAN);
  if (view.getUint8(start + 4) !== RT_TABLE_MAIN || flags & RTM_F_CLONED) return undefined;
  if (view.getUint16(start + 2) !== 0) return undefined;
  const at = table.push();
  const words = table.storage;
  let linkIndex = 0;
  let objectId = 0;
  let isForeign = false;
  words[at] = view.getUint8(start);
  words[at + ROUTE.length] = view.getUint8(start + 1);
  attributes.reset(start + ROUTE_HEADER_BYTES, end);
  while (attributes.next()) {
    switch (attributes.type) {
      case RTA_DST:
        attributes.addressWords(words, at + ROUTE.destination);
        break;
      case RTA_OIF:
        linkIndex = attributes.u32();
        break;
      case RTA_MULTIPATH:
        linkIndex = firstLink(attributes);
        isForeign = true;
        break;
      case RTA_GATEWAY:
        attributes.addressWords(words, at + ROUTE.gateway);
        break;
      case RTA_PRIORITY:
        words[at + ROUTE.metric] = attributes.u32();
        break;
      case RTA_METRICS:
        isForeign = decodeMetrics(attributes, words, at) || isForeign;
        break;
      case RTA_NH_ID:
        objectId = attributes.u32();
        break;
      case RTA_TABLE:
      case RTA_CACHEINFO:
      case RTA_PREF:
        break;
      default:
        isForeign = true;
    }
  }
  let traits = flags & RTNH_F_ONLINK ? ROUTE_ONLINK : 0;
  if (objectId !== 0) {
    // The kernel repeats what the object says, and finds the route by its id alone.
    words.fill(0, at + ROUTE.gateway, at + ROUTE.gateway + 4);
    words[at + ROUTE.gateway] = objectId;
    traits = ROUTE_BY_OBJECT;
  }
  words[at + ROUTE.slot] = slots.slotOf(linkIndex);
  words[at + ROUTE.traits] = view.getUint8(start + 5) | view.getUint8(start + 6) << 8 |
    view.getUint8(start + 7) << 16 | traits | (isForeign ? ROUTE_FOREIGN_TRAIT : 0);
  return linkIndex;
}

/**
 * The link of the first of several next hops, by which a deletion finds the route.
 *
 * | offset | bytes | C field        | here |
 * | -----: | ----: | -------------- | ---- |
 * |      4 |     4 | `rtnh_ifindex` | link |
 *
 * Source: `struct rtnexthop`, rtnetlink(7).
 */
function firstLink(nextHops: AttributeReader): number {
  if (nextHops.length < MULTIPATH_HEADER_BYTES) {
    throw new SyntaxError(`Cannot decode next hops of route: they have ${nextHops.length} bytes`);
  }
  return nextHops.view.getInt32(nextHops.start + 4, LITTLE_ENDIAN);
}

/** Reads `RTAX_MTU`; reports whether there is any other metric. */
function decodeMetrics(metrics: AttributeReader, words: Uint32Array, at: number): boolean {
  let isForeign = false;
  const nested = new AttributeReader(metrics.view, metrics.start, metrics.end);
  while (nested.next()) {
    if (nested.type === RTAX_MTU) words[at + ROUTE.mtuBytes] = nested.u32();
    else isForeign = true;
  }
  return isForeign;
}
