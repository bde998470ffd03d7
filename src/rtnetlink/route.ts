import { AF_INET, type Family } from "../model/address.ts";
import {
  hasGateway,
  ROUTE,
  ROUTE_BY_OBJECT,
  ROUTE_FOREIGN_TRAIT,
  ROUTE_ONLINK,
  ROUTE_SELECTIVE,
  ROUTE_SHARED,
} from "../model/rows.ts";
import type { Table } from "../model/table.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import {
  type MessageReader,
  type MessageWriter,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from "../netlink/message.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import { decodeNextHops, type NextHop } from "./route_hops.ts";
import type { LinkSlots } from "./link_slots.ts";
import {
  encodeRouteHeader,
  ROUTE_HEADER_BYTES,
  RT_SCOPE_NOWHERE,
  RT_TABLE_MAIN,
  RTA_CACHEINFO,
  RTA_DST,
  RTA_GATEWAY,
  RTA_METRICS,
  RTA_MULTIPATH,
  RTA_NH_ID,
  RTA_OIF,
  RTA_PREF,
  RTA_PRIORITY,
  RTA_TABLE,
  RTAX_MTU,
  RTM_DELROUTE,
  RTM_F_CLONED,
  RTM_GETROUTE,
  RTM_NEWROUTE,
  RTNH_F_ONLINK,
} from "./route_header.ts";
import type { EncodeRow, RowCodec } from "./row_codec.ts";

const NO_HOPS: readonly NextHop[] = [];
/** In `traits`: scope and type. */
const KIND = 0xffff00;

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

function encodeWith(messageFlags: number): EncodeRow {
  return (writer, sequence, words, at, linkIndexes) => {
    const traits = words[at + ROUTE.traits]!;
    writer.begin(RTM_NEWROUTE, messageFlags, sequence);
    const flags = traits & ROUTE_ONLINK ? RTNH_F_ONLINK : 0;
    const scope = traits >>> 8 & 0xff;
    encodeRouteHeader(writer, words[at]!, words[at + ROUTE.length]!, RT_TABLE_MAIN, traits, scope, flags);
    encodeSelectors(writer, words, at, linkIndexes);
    if (words[at + ROUTE.mtuBytes] !== 0) {
      writer.nested(RTA_METRICS, () => writer.attributeU32(RTAX_MTU, words[at + ROUTE.mtuBytes]!));
    }
    writer.end();
  };
}

const encodeDeletion: EncodeRow = (writer, sequence, words, at, linkIndexes) => {
  const scope = words[at] === AF_INET ? RT_SCOPE_NOWHERE : 0;
  writer.begin(RTM_DELROUTE, 0, sequence);
  encodeRouteHeader(
    writer,
    words[at]!,
    words[at + ROUTE.length]!,
    RT_TABLE_MAIN,
    words[at + ROUTE.traits]!,
    scope,
  );
  encodeSelectors(writer, words, at, linkIndexes);
  writer.end();
};

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

/**
 * Reads attributes into the row at `at`, where `slot` holds the link index for now.
 *
 * @returns The next hops of a route that has several.
 */
function decodeAttributes(attributes: AttributeReader, words: Uint32Array, at: number): readonly NextHop[] {
  let hops = NO_HOPS;
  let objectId = 0;
  while (attributes.next()) {
    switch (attributes.type) {
      case RTA_DST:
        attributes.addressWords(words, at + ROUTE.destination);
        break;
      case RTA_OIF:
        words[at + ROUTE.slot] = attributes.u32();
        break;
      case RTA_MULTIPATH:
        hops = decodeNextHops(attributes);
        break;
      case RTA_GATEWAY:
        attributes.addressWords(words, at + ROUTE.gateway);
        break;
      case RTA_PRIORITY:
        words[at + ROUTE.metric] = attributes.u32();
        break;
      case RTA_METRICS:
        if (decodeMetrics(attributes, words, at)) words[at + ROUTE.traits]! |= ROUTE_FOREIGN_TRAIT;
        break;
      case RTA_NH_ID:
        objectId = attributes.u32();
        break;
      case RTA_TABLE:
      case RTA_CACHEINFO:
      case RTA_PREF:
        break;
      default:
        words[at + ROUTE.traits]! |= ROUTE_FOREIGN_TRAIT;
    }
  }
  if (objectId === 0) return hops;
  // The kernel repeats what the object says, and finds the route by its id alone.
  words.fill(0, at + ROUTE.gateway, at + ROUTE.gateway + 4);
  words[at + ROUTE.gateway] = objectId;
  words[at + ROUTE.traits]! &= ~ROUTE_ONLINK;
  words[at + ROUTE.traits]! |= hops.length > 0 ? ROUTE_BY_OBJECT | ROUTE_FOREIGN_TRAIT : ROUTE_BY_OBJECT;
  return NO_HOPS;
}

/**
 * Puts several next hops into the row at `at` and those behind it.
 *
 * Of an IPv4 route the row holds the first, by which a deletion finds it. Those of an IPv6 route are routes by
 * themselves, each with a protocol of its own of which the kernel tells the first one's alone: each gets a row, without
 * a protocol but for the first.
 *
 * @returns How many rows the route has now.
 */
function spread(
  hops: readonly NextHop[],
  slots: Pick<LinkSlots, "slotOf">,
  table: Table,
  at: number,
): number {
  const { storage } = table;
  const isIpv4 = storage[at] === AF_INET;
  storage[at + ROUTE.traits]! |= isIpv4 ? ROUTE_SHARED | ROUTE_FOREIGN_TRAIT : ROUTE_SHARED;
  const other = storage.slice(at, at + ROUTE.words);
  other[ROUTE.traits]! &= KIND | ROUTE_SHARED | ROUTE_SELECTIVE;
  for (const [index, { linkIndex, flags, gateway }] of hops.entries()) {
    if (index > 0 && isIpv4) return 1;
    const row = index === 0 ? at : table.push();
    const words = table.storage;
    if (index > 0) words.set(other, row);
    words.set(gateway, row + ROUTE.gateway);
    words[row + ROUTE.slot] = slots.slotOf(linkIndex);
    if (flags & RTNH_F_ONLINK) words[row + ROUTE.traits]! |= ROUTE_ONLINK;
  }
  return hops.length;
}

/**
 * Routes: those of other tables than the main one and cached copies are of no interest. Any attribute that Loden never
 * sets is kept as `ROUTE_FOREIGN_TRAIT`.
 *
 * To add one fails with EEXIST where there is one to the same destination with the same metric, ours or not; to replace
 * takes that one's place.
 */
export const routeCodec = {
  layout: ROUTE,
  noun: "routes",
  encode: {
    // Without NLM_F_EXCL the kernel would make one IPv6 route with two next hops of it and a foreign one.
    add: encodeWith(NLM_F_CREATE | NLM_F_EXCL),
    replace: encodeWith(NLM_F_CREATE | NLM_F_REPLACE),
    delete: encodeDeletion,
  },
  /**
   * Writes the request for the routes of `family` in the main table that leave by one link, or by any and none where
   * `linkIndex` is 0, and of one protocol, or of any where that is 0. Before Linux 4.20 the kernel answers with all.
   */
  encodeDump(writer: MessageWriter, sequence: number, family: Family, linkIndex: number, protocol = 0): void {
    writer.begin(RTM_GETROUTE, NLM_F_DUMP, sequence);
    encodeRouteHeader(writer, family, 0, 0, protocol);
    writer.attributeU32(RTA_TABLE, RT_TABLE_MAIN);
    if (linkIndex !== 0) writer.attributeU32(RTA_OIF, linkIndex);
    writer.end();
  },
  decode(message: MessageReader, attributes, slots, table) {
    if (message.type !== RTM_NEWROUTE) return 0;
    message.requireHeader(ROUTE_HEADER_BYTES);
    const { view, start, end } = message;
    const flags = view.getUint32(start + 8, LITTLE_ENDIAN);
    if (view.getUint8(start + 4) !== RT_TABLE_MAIN || flags & RTM_F_CLONED) return 0;
    const at = table.push();
    const words = table.storage;
    // `rtm_src_len` and `rtm_tos`.
    const selective = view.getUint16(start + 2) === 0 ? 0 : ROUTE_SELECTIVE;
    const onlink = flags & RTNH_F_ONLINK ? ROUTE_ONLINK : 0;
    words[at] = view.getUint8(start);
    words[at + ROUTE.length] = view.getUint8(start + 1);
    words[at + ROUTE.traits] = view.getUint8(start + 5) | view.getUint8(start + 6) << 8 |
      view.getUint8(start + 7) << 16 | selective | onlink;
    attributes.reset(start + ROUTE_HEADER_BYTES, end);
    const hops = decodeAttributes(attributes, words, at);
    if (hops.length > 0) return spread(hops, slots, table, at);
    words[at + ROUTE.slot] = slots.slotOf(words[at + ROUTE.slot]!);
    return 1;
  },
} as const satisfies RowCodec;
