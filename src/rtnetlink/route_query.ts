import { type Address, AF_INET, AF_INET6, bitsOf, familyOf, type Prefix } from "../model/address.ts";
import { readAddress, writeAddress } from "../model/rows.ts";
import { NetlinkError } from "../linux/errno.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import type { MessageReader, MessageWriter } from "../netlink/message.ts";
import {
  encodeRouteHeader,
  ROUTE_HEADER_BYTES,
  RTA_DPORT,
  RTA_DST,
  RTA_GATEWAY,
  RTA_IIF,
  RTA_IP_PROTO,
  RTA_MULTIPATH,
  RTA_NH_ID,
  RTA_OIF,
  RTA_PRIORITY,
  RTA_SPORT,
  RTA_SRC,
  RTA_VIA,
  RTM_F_FIB_MATCH,
  RTM_F_LOOKUP_TABLE,
  RTM_GETROUTE,
  RTM_NEWROUTE,
  RTNH_F_LINKDOWN,
} from "./route_header.ts";
import { decodeNextHops, decodeVia } from "./route_hops.ts";
import { routeTableOf } from "./table_route.ts";

/** `IPPROTO_UDP`. */
const UDP = 17;

/** A packet that the kernel is asked about. It bears no mark. */
export interface Flow {
  readonly destination: Address;
  /** Where it comes from; the kernel chooses if absent. */
  readonly source?: Address;
  /** The link that it comes in by, so that it is forwarded; absent for one of this host's own. */
  readonly inputLinkIndex?: number;
  /** Its port, where it is one of UDP. */
  readonly udpPort?: number;
  /** The port that it comes from. */
  readonly udpSourcePort?: number;
}

/** A hop of a route. */
export interface FoundHop {
  readonly linkIndex: number;
  /** Absent where packets go to the address itself. */
  readonly gateway?: Address;
}

/** The route that the kernel takes for a packet. */
export interface FoundRoute {
  readonly destination: Prefix;
  /** In IPv4 the kernel says main of the table local too, as long as there are no rules but its own. */
  readonly table: number;
  /** Who made it, `RTPROT_*`. */
  readonly protocol: number;
  /** What it does with packets, `RTN_*`. */
  readonly type: number;
  readonly metric: number;
  /** One as a rule; of several packets take any. None for routes that lead nowhere. */
  readonly hops: readonly FoundHop[];
  /** The next-hop object that it leaves by; 0 for none. */
  readonly nextHopId: number;
  /** Whether its link has no carrier: told in IPv4 alone. */
  readonly isLinkDown: boolean;
}

/** What the kernel says of a packet: its route, or with which error number it refuses the packet. */
export type RouteAnswer =
  | { readonly route: FoundRoute; readonly errno?: undefined }
  | { readonly route?: undefined; readonly errno: number };

/** Writes the question which route the kernel takes for a packet, by all of its rules. */
export function encodeRouteQuery(writer: MessageWriter, sequence: number, flow: Flow): void {
  const { destination, source, inputLinkIndex, udpPort, udpSourcePort } = flow;
  const family = familyOf(destination);
  const [bits, bytes] = [bitsOf(family), family === AF_INET ? 4 : 16];
  const words = new Uint32Array(4);
  writeAddress(words, 0, destination);
  writer.begin(RTM_GETROUTE, 0, sequence);
  // IPv6 always tells the table, and refuses to be asked for it.
  const flags = family === AF_INET ? RTM_F_FIB_MATCH | RTM_F_LOOKUP_TABLE : RTM_F_FIB_MATCH;
  encodeRouteHeader(writer, family, bits, 0, 0, 0, flags, source === undefined ? 0 : bits);
  writer.attributeAddress(RTA_DST, words, 0, bytes);
  if (source !== undefined) {
    writeAddress(words.fill(0), 0, source);
    writer.attributeAddress(RTA_SRC, words, 0, bytes);
  }
  if (inputLinkIndex !== undefined) writer.attributeU32(RTA_IIF, inputLinkIndex);
  if (udpPort !== undefined) {
    writer.attributeU8(RTA_IP_PROTO, UDP);
    writer.attributeU16be(RTA_DPORT, udpPort);
  }
  if (udpSourcePort !== undefined) writer.attributeU16be(RTA_SPORT, udpSourcePort);
  writer.end();
}

/**
 * Decodes the answer; `undefined` for any other message.
 *
 * @throws {SyntaxError} If the message is malformed.
 */
export function decodeFoundRoute(message: MessageReader): FoundRoute | undefined {
  if (message.type !== RTM_NEWROUTE) return undefined;
  message.requireHeader(ROUTE_HEADER_BYTES);
  const { view, start, end } = message;
  const family = view.getUint8(start);
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const attributes = new AttributeReader(view);
  const table = routeTableOf(message, attributes);
  const address = (): Address => {
    const words = new Uint32Array(4);
    attributes.addressWords(words, 0);
    return readAddress(words, 0, family);
  };
  let destination = readAddress(new Uint32Array(4), 0, family);
  let metric = 0;
  let linkIndex = 0;
  let nextHopId = 0;
  let gateway: Address | undefined;
  let hops: FoundHop[] = [];
  attributes.reset(start + ROUTE_HEADER_BYTES, end);
  while (attributes.next()) {
    const { type } = attributes;
    if (type === RTA_DST) destination = address();
    else if (type === RTA_GATEWAY) gateway = address();
    else if (type === RTA_VIA) gateway = decodeVia(attributes);
    else if (type === RTA_PRIORITY) metric = attributes.u32();
    else if (type === RTA_OIF) linkIndex = attributes.u32();
    else if (type === RTA_NH_ID) nextHopId = attributes.u32();
    else if (type === RTA_MULTIPATH) {
      hops = decodeNextHops(attributes).map((hop) => {
        const way = hop.via ??
          (hop.gateway.some((word) => word !== 0) ? readAddress(hop.gateway, 0, family) : undefined);
        return { linkIndex: hop.linkIndex, ...way !== undefined && { gateway: way } };
      });
    }
  }
  if (linkIndex !== 0) hops = [{ linkIndex, ...gateway !== undefined && { gateway } }, ...hops];
  const [length, protocol, type] = [1, 5, 7].map((at) => view.getUint8(start + at)) as [
    number,
    number,
    number,
  ];
  const isLinkDown = (view.getUint32(start + 8, LITTLE_ENDIAN) & RTNH_F_LINKDOWN) !== 0;
  return {
    destination: { address: destination, length },
    table,
    protocol,
    type,
    metric,
    hops,
    nextHopId,
    isLinkDown,
  };
}

/**
 * Asks the kernel which route it takes for a packet. One that is forwarded is judged as when it comes in: by the settings
 * of its link in IPv4 too, such as `forwarding` and `rp_filter`.
 *
 * @throws {NetlinkError} If it does not answer: with what no packet is refused by.
 */
export function queryRoute(client: NetlinkClient, flow: Flow): RouteAnswer {
  let route: FoundRoute | undefined;
  try {
    client.ask(
      "ask for the route of a packet",
      (writer, sequence) => encodeRouteQuery(writer, sequence, flow),
      (message) => route = decodeFoundRoute(message) ?? route,
    );
  } catch (error) {
    if (!(error instanceof NetlinkError) || !REFUSALS.has(error.errno)) throw error;
    return { errno: error.errno };
  }
  return route === undefined ? { errno: ENETUNREACH } : { route };
}

/** `EACCES`: a route or rule prohibits it. */
const EACCES = 13;
/** `EXDEV`: its source would be reached over another link. */
const EXDEV = 18;
/** `EINVAL`: a blackhole, or a source that can't be. */
const EINVAL = 22;
/** `ENETUNREACH`: there is no route, or a rule says so. */
export const ENETUNREACH = 101;
/** `EHOSTUNREACH`: a route says so, or packets of the link are not forwarded. */
const EHOSTUNREACH = 113;
/** With what the kernel refuses packets. */
const REFUSALS: ReadonlySet<number> = new Set([EACCES, EXDEV, EINVAL, ENETUNREACH, EHOSTUNREACH]);
