import { type Address, AF_INET, AF_INET6, bitsOf, type Family, familyOf } from "../model/address.ts";
import { readAddress, writeAddress } from "../model/rows.ts";
import { AttributeReader } from "./attribute.ts";
import { LITTLE_ENDIAN, type MessageReader, type MessageWriter, NLM_F_DUMP } from "./message.ts";
import { RTM_NEWROUTE } from "./route.ts";

const RTM_GETROUTE = 26;

/** `sizeof(struct rtmsg)`. */
const ROUTE_HEADER_BYTES = 12;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_CACHEINFO = 12;
/** `rta_expires` in `struct rta_cacheinfo`, linux/rtnetlink.h. */
const CACHEINFO_EXPIRES = 8;
const RTA_TABLE = 15;
/** A gateway of the other family: its family in 16 bits, then the address. */
const RTA_VIA = 18;
const RTAX_MTU = 2;
/** `sizeof(struct rtnexthop)`. */
const HOP_BYTES = 8;
const RT_TABLE_MAIN = 254;
/** `RTN_*`: over a link, and to this host itself; then `RTN_BROADCAST`, `RTN_ANYCAST` and what is no unicast either. */
export const RTN_UNICAST = 1;
export const RTN_LOCAL = 2;
export const RTN_MULTICAST = 5;

/** A route to everywhere in the main table. */
export interface DefaultRoute {
  readonly family: Family;
  /** 0 where the route has several next hops. */
  readonly linkIndex: number;
  readonly metric: number;
  /** The route's own MTU; 0 for none. */
  readonly mtuBytes: number;
  /** Absent where it has none, or several. */
  readonly gateway?: Address;
  /** The links of its next hops, where it has several; else absent. */
  readonly hopLinks?: readonly number[];
}

/** How the kernel would reach an address. */
export interface RouteLookup {
  readonly linkIndex: number;
  /** The address that packets would come from. */
  readonly source: Address | undefined;
  /** The route's own MTU; 0 for none. */
  readonly mtuBytes: number;
  /** Whether the MTU is one that a router has told, and ends in minutes: it says nothing of the route's own. */
  readonly isMtuLearnt: boolean;
  /** Who made the route, `RTPROT_*`. */
  readonly protocol: number;
  /** What the route does with packets, `RTN_*`. */
  readonly type: number;
  /** Who takes them first; `undefined` where they go to the address itself. */
  readonly gateway: Address | undefined;
}

/** Writes the request for the routes of `family` in the main table. */
export function encodeDefaultRouteDump(writer: MessageWriter, sequence: number, family: Family): void {
  writer.begin(RTM_GETROUTE, NLM_F_DUMP, sequence);
  encodeHeader(writer, family, 0);
  writer.attributeU32(RTA_TABLE, RT_TABLE_MAIN);
  writer.end();
}

/**
 * Writes the question how the kernel would reach `address`.
 *
 * @param linkIndex Over which link, where the address says nothing without one, as a link-local one; 0 for any.
 */
export function encodeRouteLookup(
  writer: MessageWriter,
  sequence: number,
  address: Address,
  linkIndex = 0,
): void {
  const family = familyOf(address);
  const words = new Uint32Array(4);
  writeAddress(words, 0, address);
  writer.begin(RTM_GETROUTE, 0, sequence);
  encodeHeader(writer, family, bitsOf(family));
  writer.attributeAddress(RTA_DST, words, 0, family === AF_INET ? 4 : 16);
  if (linkIndex !== 0) writer.attributeU32(RTA_OIF, linkIndex);
  writer.end();
}

function encodeHeader(writer: MessageWriter, family: Family, length: number): void {
  writer.u8(family);
  writer.u8(length);
  writer.u16(0);
  writer.u32(0);
  writer.u32(0);
}

/**
 * Decodes one message of a route dump; `undefined` unless it is a unicast default route of the main table.
 *
 * @throws {SyntaxError} If the message is malformed.
 */
export function decodeDefaultRoute(message: MessageReader): DefaultRoute | undefined {
  if (message.type !== RTM_NEWROUTE) return undefined;
  message.requireHeader(ROUTE_HEADER_BYTES);
  const { view, start } = message;
  const family = familyAt(message);
  const isDefault = view.getUint8(start + 1) === 0 && view.getUint8(start + 4) === RT_TABLE_MAIN &&
    view.getUint8(start + 7) === RTN_UNICAST;
  if (family === undefined || !isDefault) return undefined;
  const { linkIndex, metric, mtuBytes, hopLinks, gateway } = decodeAttributes(message, family);
  return {
    family,
    linkIndex,
    metric,
    mtuBytes,
    ...gateway !== undefined && { gateway },
    ...hopLinks.length > 0 && { hopLinks },
  };
}

/**
 * Decodes the answer to a lookup; `undefined` for any other message.
 *
 * @throws {SyntaxError} If the message is malformed.
 */
export function decodeRouteLookup(message: MessageReader): RouteLookup | undefined {
  if (message.type !== RTM_NEWROUTE) return undefined;
  message.requireHeader(ROUTE_HEADER_BYTES);
  const family = familyAt(message);
  if (family === undefined) return undefined;
  const { linkIndex, source, mtuBytes, isExpiring, gateway } = decodeAttributes(message, family);
  // IPv6 routes end by themselves too, with the MTU that a router has advertised.
  const isMtuLearnt = isExpiring && family === AF_INET;
  const [protocol, type] = [5, 7].map((offset) => message.view.getUint8(message.start + offset));
  return { linkIndex, source, mtuBytes, isMtuLearnt, protocol: protocol!, type: type!, gateway };
}

function familyAt({ view, start }: MessageReader): Family | undefined {
  const family = view.getUint8(start);
  return family === AF_INET || family === AF_INET6 ? family : undefined;
}

interface RouteAttributes extends Pick<RouteLookup, "linkIndex" | "source" | "mtuBytes" | "gateway"> {
  readonly metric: number;
  readonly hopLinks: readonly number[];
  readonly isExpiring: boolean;
}

function decodeAttributes(
  { view, start, end }: MessageReader,
  family: Family,
): RouteAttributes {
  let linkIndex = 0;
  let metric = 0;
  let mtuBytes = 0;
  let source: Address | undefined;
  let gateway: Address | undefined;
  let hopLinks: readonly number[] = [];
  let isExpiring = false;
  const attributes = new AttributeReader(view, start + ROUTE_HEADER_BYTES, end);
  while (attributes.next()) {
    if (attributes.type === RTA_OIF) linkIndex = attributes.u32();
    else if (attributes.type === RTA_PRIORITY) metric = attributes.u32();
    else if (attributes.type === RTA_CACHEINFO && attributes.length >= CACHEINFO_EXPIRES + 4) {
      isExpiring = view.getInt32(attributes.start + CACHEINFO_EXPIRES, LITTLE_ENDIAN) !== 0;
    } else if (attributes.type === RTA_PREFSRC) {
      source = addressOf(attributes, family);
    } else if (attributes.type === RTA_GATEWAY) {
      gateway = addressOf(attributes, family);
    } else if (attributes.type === RTA_VIA) {
      gateway = viaOf(attributes);
    } else if (attributes.type === RTA_MULTIPATH) {
      hopLinks = decodeHops(view, attributes.start, attributes.end);
    } else if (attributes.type === RTA_METRICS) {
      const metrics = new AttributeReader(view, attributes.start, attributes.end);
      while (metrics.next()) if (metrics.type === RTAX_MTU) mtuBytes = metrics.u32();
    }
  }
  return { linkIndex, metric, source, mtuBytes, gateway, hopLinks, isExpiring };
}

function addressOf(attributes: AttributeReader, family: Family): Address {
  const words = new Uint32Array(4);
  attributes.addressWords(words, 0);
  return readAddress(words, 0, family);
}

/**
 * The gateway of an IPv4 route that is an IPv6 address: its family in 16 bits, then the address.
 *
 * Source: `struct rtvia`, linux/rtnetlink.h.
 */
function viaOf({ view, start, length }: AttributeReader): Address {
  if (length < 18) throw new SyntaxError(`Cannot decode gateway of the other family: it has ${length} bytes`);
  const words = Uint32Array.from({ length: 4 }, (_, word) => view.getUint32(start + 2 + 4 * word));
  return readAddress(words, 0, AF_INET6);
}

/**
 * The link of each next hop of a route that has several.
 *
 * | offset | bytes | C field        | here                          |
 * | -----: | ----: | -------------- | ----------------------------- |
 * |      0 |     2 | `rtnh_len`     | to the next one, without padding |
 * |      4 |     4 | `rtnh_ifindex` | its link                      |
 *
 * Source: `struct rtnexthop`, rtnetlink(7).
 *
 * @throws {SyntaxError} If one ends behind the attribute.
 */
function decodeHops(view: DataView, start: number, end: number): number[] {
  const links: number[] = [];
  for (let at = start; at < end;) {
    const length = end - at < HOP_BYTES ? 0 : view.getUint16(at, LITTLE_ENDIAN);
    if (length < HOP_BYTES || at + length > end) {
      throw new SyntaxError(`Cannot decode next hop: ${length} of ${end - at} bytes`);
    }
    links.push(view.getInt32(at + 4, LITTLE_ENDIAN));
    at += length + 3 & ~3;
  }
  return links;
}
