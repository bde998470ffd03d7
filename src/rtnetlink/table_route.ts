import { type Address, AF_INET, AF_INET6, type Family, familyOf, type Prefix } from "../model/address.ts";
import { readAddress, writeAddress } from "../model/rows.ts";
import { EAFNOSUPPORT, ENOENT, EOPNOTSUPP, isErrno } from "../linux/errno.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import {
  type MessageReader,
  type MessageWriter,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_REPLACE,
} from "../netlink/message.ts";
import {
  encodeRouteHeader,
  ROUTE_HEADER_BYTES,
  RT_SCOPE_NOWHERE,
  RTA_DST,
  RTA_GATEWAY,
  RTA_OIF,
  RTA_PRIORITY,
  RTA_TABLE,
  RTM_DELROUTE,
  RTM_F_CLONED,
  RTM_GETROUTE,
  RTM_NEWROUTE,
  RTN_THROW,
  RTNH_F_ONLINK,
} from "./route_header.ts";

/** `RT_TABLE_COMPAT`: what `rtm_table` says of a table with a number that it has no room for. */
const RT_TABLE_COMPAT = 252;

/** One of the few routes of a table beside the main one. Those of the main table are rows (`route.ts`). */
export interface TableRoute {
  readonly destination: Prefix;
  readonly table: number;
  /** Who made it, `RTPROT_*`. */
  readonly protocol: number;
  /** What it does with packets, `RTN_*`. */
  readonly type: number;
  readonly metric: number;
  /** 0 for none, and where it has several next hops. */
  readonly linkIndex: number;
  readonly gateway?: Address;
  readonly isOnlink: boolean;
}

function encodeBody(writer: MessageWriter, route: TableRoute, scope: number, flags: number): void {
  const { destination, table, protocol, type, metric, linkIndex, gateway } = route;
  const family = familyOf(destination.address);
  const addressBytes = family === AF_INET ? 4 : 16;
  const address = (type: number, value: Address) => {
    const words = new Uint32Array(4);
    writeAddress(words, 0, value);
    writer.attributeAddress(type, words, 0, addressBytes);
  };
  encodeRouteHeader(writer, family, destination.length, 0, protocol | type << 16, scope, flags);
  address(RTA_DST, destination.address);
  if (gateway !== undefined) address(RTA_GATEWAY, gateway);
  if (metric !== 0) writer.attributeU32(RTA_PRIORITY, metric);
  writer.attributeU32(RTA_TABLE, table);
  if (linkIndex !== 0) writer.attributeU32(RTA_OIF, linkIndex);
  writer.end();
}

/** Writes the request that adds a route; it takes the place of one to the same destination with the same metric. */
export function encodeTableRoute(writer: MessageWriter, sequence: number, route: TableRoute): void {
  writer.begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sequence);
  encodeBody(writer, route, 0, route.isOnlink ? RTNH_F_ONLINK : 0);
}

/** Writes the request that deletes a route. */
export function encodeTableRouteDeletion(writer: MessageWriter, sequence: number, route: TableRoute): void {
  const family = familyOf(route.destination.address);
  writer.begin(RTM_DELROUTE, 0, sequence);
  encodeBody(writer, route, family === AF_INET ? RT_SCOPE_NOWHERE : 0, 0);
}

/** Writes the request for the routes of `family` in a table. Before Linux 4.20 the kernel answers with all. */
export function encodeTableDump(
  writer: MessageWriter,
  sequence: number,
  family: Family,
  table: number,
): void {
  writer.begin(RTM_GETROUTE, NLM_F_DUMP, sequence);
  encodeRouteHeader(writer, family, 0);
  writer.attributeU32(RTA_TABLE, table);
  writer.end();
}

/** The table that a message about a route is about. */
export function routeTableOf({ view, start, end }: MessageReader, attributes: AttributeReader): number {
  const table = view.getUint8(start + 4);
  if (table !== RT_TABLE_COMPAT) return table;
  attributes.reset(start + ROUTE_HEADER_BYTES, end);
  while (attributes.next()) if (attributes.type === RTA_TABLE) return attributes.u32();
  return table;
}

/**
 * Decodes one message about a route; `undefined` for anything else, and for a cached copy.
 *
 * @throws {SyntaxError} If the message is malformed.
 */
export function decodeTableRoute(message: MessageReader): TableRoute | undefined {
  if (message.type !== RTM_NEWROUTE) return undefined;
  message.requireHeader(ROUTE_HEADER_BYTES);
  const { view, start, end } = message;
  const family = view.getUint8(start);
  const flags = view.getUint32(start + 8, LITTLE_ENDIAN);
  if (family !== AF_INET && family !== AF_INET6 || flags & RTM_F_CLONED) return undefined;
  const type = view.getUint8(start + 7);
  const attributes = new AttributeReader(view);
  const table = routeTableOf(message, attributes);
  const words = new Uint32Array(4);
  let metric = 0;
  let linkIndex = 0;
  let gateway: Address | undefined;
  const readWords = () => {
    const read = new Uint32Array(4);
    attributes.addressWords(read, 0);
    return read;
  };
  attributes.reset(start + ROUTE_HEADER_BYTES, end);
  while (attributes.next()) {
    if (attributes.type === RTA_DST) words.set(readWords());
    else if (attributes.type === RTA_GATEWAY) gateway = readAddress(readWords(), 0, family);
    else if (attributes.type === RTA_PRIORITY) metric = attributes.u32();
    else if (attributes.type === RTA_OIF) linkIndex = attributes.u32();
  }
  return {
    destination: { address: readAddress(words, 0, family), length: view.getUint8(start + 1) },
    table,
    protocol: view.getUint8(start + 5),
    type,
    metric,
    // An IPv6 route that leads nowhere is over the loopback in a dump.
    linkIndex: type === RTN_THROW ? 0 : linkIndex,
    ...gateway !== undefined && { gateway },
    isOnlink: (flags & RTNH_F_ONLINK) !== 0,
  };
}

/**
 * The routes of a family in a table; none if there is no such table, or no such family.
 *
 * @param isKept Which of them are of interest; all if absent.
 * @throws {NetlinkError} If the kernel refused.
 */
export function dumpTableRoutes(
  client: NetlinkClient,
  family: Family,
  table: number,
  isKept: (route: TableRoute) => boolean = () => true,
): TableRoute[] {
  const routes: TableRoute[] = [];
  try {
    client.dump(
      `read the routes of table ${table}`,
      (writer, sequence) => encodeTableDump(writer, sequence, family, table),
      () => routes.length = 0,
      (message) => {
        const route = decodeTableRoute(message);
        if (route?.table !== table || familyOf(route.destination.address) !== family) return;
        if (isKept(route)) routes.push(route);
      },
    );
  } catch (error) {
    if (![ENOENT, EAFNOSUPPORT, EOPNOTSUPP].some((errno) => isErrno(error, errno))) throw error;
  }
  return routes;
}
