import { type Address, AF_INET, AF_INET6, bitsOf, type Family, familyOf } from "../model/address.ts";
import { readAddress, writeAddress } from "../model/rows.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import { type MessageReader, type MessageWriter, NLM_F_DUMP } from "../netlink/message.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import { decodeNextHops, decodeVia } from "./route_hops.ts";
import {
  encodeRouteHeader,
  ROUTE_HEADER_BYTES,
  RT_TABLE_MAIN,
  RTA_CACHEINFO,
  RTA_DST,
  RTA_GATEWAY,
  RTA_METRICS,
  RTA_MULTIPATH,
  RTA_OIF,
  RTA_PREFSRC,
  RTA_PRIORITY,
  RTA_TABLE,
  RTA_VIA,
  RTAX_MTU,
  RTM_GETROUTE,
  RTM_NEWROUTE,
  RTN_UNICAST,
} from "./route_header.ts";

/** `rta_expires` in `struct rta_cacheinfo`, linux/rtnetlink.h. */
const CACHEINFO_EXPIRES = 8;
/** Ticks a second, as the kernel counts for programs. */
const USER_HZ = 100;

/** A route to everywhere in the main table. */
export interface DefaultRoute {
  readonly family: Family;
  /** 0 where the route has several next hops. */
  readonly linkIndex: number;
  readonly metric: number;
  /** The route's own MTU; 0 for none. */
  readonly mtuBytes: number;
  /** Absent where it has none, or several next hops. */
  readonly gateway?: Address;
  /** Its next hops, where it has several; else absent. */
  readonly hops?: readonly { readonly linkIndex: number; readonly gateway?: Address }[];
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
  /** In how many seconds it ends by itself, where it does. */
  readonly expiresS?: number;
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
  encodeRouteHeader(writer, family, 0);
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
  encodeRouteHeader(writer, family, bitsOf(family));
  writer.attributeAddress(RTA_DST, words, 0, family === AF_INET ? 4 : 16);
  if (linkIndex !== 0) writer.attributeU32(RTA_OIF, linkIndex);
  writer.end();
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
  const { linkIndex, metric, mtuBytes, hops, gateway } = decodeAttributes(message, family);
  return {
    family,
    linkIndex,
    metric,
    mtuBytes,
    ...gateway !== undefined && { gateway },
    ...hops.length > 0 && { hops },
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
  const { linkIndex, source, mtuBytes, expiresTicks, gateway } = decodeAttributes(message, family);
  // IPv6 routes end by themselves too, with the MTU that a router has advertised.
  const isMtuLearnt = expiresTicks !== 0 && family === AF_INET;
  const expiresS = Math.round(expiresTicks / USER_HZ);
  const [protocol, type] = [5, 7].map((offset) => message.view.getUint8(message.start + offset));
  return {
    linkIndex,
    source,
    mtuBytes,
    isMtuLearnt,
    ...isMtuLearnt && { expiresS },
    protocol: protocol!,
    type: type!,
    gateway,
  };
}

function familyAt({ view, start }: MessageReader): Family | undefined {
  const family = view.getUint8(start);
  return family === AF_INET || family === AF_INET6 ? family : undefined;
}

interface RouteAttributes extends Pick<RouteLookup, "linkIndex" | "source" | "mtuBytes" | "gateway"> {
  readonly metric: number;
  readonly hops: NonNullable<DefaultRoute["hops"]>;
  readonly expiresTicks: number;
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
  let hops: RouteAttributes["hops"] = [];
  let expiresTicks = 0;
  const attributes = new AttributeReader(view, start + ROUTE_HEADER_BYTES, end);
  while (attributes.next()) {
    if (attributes.type === RTA_OIF) linkIndex = attributes.u32();
    else if (attributes.type === RTA_PRIORITY) metric = attributes.u32();
    else if (attributes.type === RTA_CACHEINFO && attributes.length >= CACHEINFO_EXPIRES + 4) {
      expiresTicks = view.getInt32(attributes.start + CACHEINFO_EXPIRES, LITTLE_ENDIAN);
    } else if (attributes.type === RTA_PREFSRC) {
      source = addressOf(attributes, family);
    } else if (attributes.type === RTA_GATEWAY) {
      gateway = addressOf(attributes, family);
    } else if (attributes.type === RTA_VIA) {
      gateway = decodeVia(attributes);
    } else if (attributes.type === RTA_MULTIPATH) {
      hops = decodeNextHops(attributes).map(({ linkIndex, gateway, via }) => {
        const way = via ?? (gateway.some((word) => word !== 0) ? readAddress(gateway, 0, family) : undefined);
        return { linkIndex, ...way !== undefined && { gateway: way } };
      });
    } else if (attributes.type === RTA_METRICS) {
      const metrics = new AttributeReader(view, attributes.start, attributes.end);
      while (metrics.next()) if (metrics.type === RTAX_MTU) mtuBytes = metrics.u32();
    }
  }
  return { linkIndex, metric, source, mtuBytes, gateway, hops, expiresTicks };
}

function addressOf(attributes: AttributeReader, family: Family): Address {
  const words = new Uint32Array(4);
  attributes.addressWords(words, 0);
  return readAddress(words, 0, family);
}
