import type { Mac } from "../model/address.ts";
import { readMac } from "../model/rows.ts";
import type { ObservedLink, ObservedVxlan } from "../model/state.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { ENODEV } from "../linux/errno.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import { type MessageReader, type MessageWriter, NLM_F_DUMP } from "../netlink/message.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import {
  encodeLinkHeader,
  encodeMac,
  IFF_UP,
  IFLA_ADDRESS,
  IFLA_IFNAME,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  IFLA_MASTER,
  IFLA_MTU,
  LINK_HEADER_BYTES,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
} from "./link_header.ts";
import { decodeVxlan } from "./vxlan.ts";

const IFLA_EXT_MASK = 29;
const IFLA_CARRIER = 33;
const IFLA_PROTO_DOWN = 39;
/** `IFF_LOOPBACK`, `IFF_POINTOPOINT`, `IFF_NOARP`: each makes ARP and NDP ask nobody. */
const IFF_RESOLVES_NOTHING = 0x8 | 0x10 | 0x80;
/** Leaves the counters out of a reply, which are most of its bytes. */
const RTEXT_FILTER_SKIP_STATS = 8;

/** Writes the request for all links, without their counters. */
export function encodeLinkDump(writer: MessageWriter, sequence: number): void {
  writer.begin(RTM_GETLINK, NLM_F_DUMP, sequence);
  encodeLinkHeader(writer, 0);
  writer.attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  writer.end();
}

/** Writes the request for one link, by name or by index. */
export function encodeLinkQuery(writer: MessageWriter, sequence: number, link: string | number): void {
  writer.begin(RTM_GETLINK, 0, sequence);
  encodeLinkHeader(writer, typeof link === "number" ? link : 0);
  writer.attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  if (typeof link === "string") writer.attributeText(IFLA_IFNAME, link);
  writer.end();
}

/** What can be changed on a link of any kind; what is absent stays. */
export interface LinkChange {
  readonly isUp?: boolean;
  /** `protodown` of ip-link(8) is taken off. */
  readonly isProtoDown?: false;
  readonly mtuBytes?: number;
  readonly mac?: Mac;
  /** Index of the bridge that the link becomes a port of; 0 frees it. */
  readonly master?: number;
}

/** Writes the request that changes an existing link. */
export function encodeLinkChange(
  writer: MessageWriter,
  sequence: number,
  linkIndex: number,
  change: LinkChange,
): void {
  writer.begin(RTM_NEWLINK, 0, sequence);
  encodeLinkHeader(writer, linkIndex, change.isUp ? IFF_UP : 0, change.isUp === undefined ? 0 : IFF_UP);
  if (change.mtuBytes !== undefined) writer.attributeU32(IFLA_MTU, change.mtuBytes);
  if (change.isProtoDown !== undefined) writer.attributeU8(IFLA_PROTO_DOWN, 0);
  if (change.mac !== undefined) encodeMac(writer, change.mac);
  if (change.master !== undefined) writer.attributeU32(IFLA_MASTER, change.master);
  writer.end();
}

/** Writes the request that deletes a link, and everything on it. */
export function encodeLinkDeletion(writer: MessageWriter, sequence: number, linkIndex: number): void {
  writer.begin(RTM_DELLINK, 0, sequence);
  encodeLinkHeader(writer, linkIndex);
  writer.end();
}

/**
 * Decodes one message about a link; `undefined` for anything else.
 *
 * @throws {SyntaxError} If the message is malformed.
 */
export function decodeLink(message: MessageReader): ObservedLink | undefined {
  if (message.type !== RTM_NEWLINK) return undefined;
  message.requireHeader(LINK_HEADER_BYTES);
  const { view, start, end } = message;
  let name = "";
  let mtuBytes = 0;
  let mac: Mac | undefined;
  let kind: string | undefined;
  let vxlan: ObservedVxlan | undefined;
  let masterIndex: number | undefined;
  let hasCarrier = true;
  let isProtoDown = false;
  const attributes = new AttributeReader(view, start + LINK_HEADER_BYTES, end);
  while (attributes.next()) {
    if (attributes.type === IFLA_IFNAME) name = attributes.text();
    else if (attributes.type === IFLA_MTU) mtuBytes = attributes.u32();
    else if (attributes.type === IFLA_MASTER) masterIndex = attributes.u32();
    else if (attributes.type === IFLA_CARRIER) hasCarrier = attributes.u8() !== 0;
    else if (attributes.type === IFLA_PROTO_DOWN) isProtoDown = attributes.u8() !== 0;
    else if (attributes.type === IFLA_ADDRESS && attributes.length === 6) {
      const words = new Uint32Array(2);
      attributes.macWords(words, 0);
      mac = readMac(words, 0);
    } else if (attributes.type === IFLA_LINKINFO) {
      const info = new AttributeReader(view, attributes.start, attributes.end);
      while (info.next()) {
        if (info.type === IFLA_INFO_KIND) kind = info.text();
        else if (info.type === IFLA_INFO_DATA && kind === "vxlan") vxlan = decodeVxlan(info);
      }
    }
  }
  const flags = view.getUint32(start + 8, LITTLE_ENDIAN);
  return {
    linkIndex: view.getInt32(start + 4, LITTLE_ENDIAN),
    name,
    isUp: (flags & IFF_UP) !== 0,
    // Of a link that is down it says nothing.
    ...(flags & IFF_UP) !== 0 && !hasCarrier && { hasNoCarrier: true },
    ...isProtoDown && { isProtoDown: true },
    ...(flags & IFF_RESOLVES_NOTHING) !== 0 && { resolvesNothing: true },
    mtuBytes,
    mac,
    kind,
    vxlan,
    ...masterIndex !== undefined && { masterIndex },
  };
}

/**
 * All links of this network namespace, in the kernel's order.
 *
 * @throws {NetlinkError} If the kernel refused.
 */
export function dumpLinks(client: NetlinkClient): ObservedLink[] {
  const links: ObservedLink[] = [];
  client.dump("read links", encodeLinkDump, () => links.length = 0, (message) => {
    const link = decodeLink(message);
    if (link !== undefined) links.push(link);
  });
  return links;
}

/**
 * One link, by name or by index; `undefined` if there is none.
 *
 * @throws {NetlinkError} If the kernel refused for another reason.
 */
export function queryLink(client: NetlinkClient, name: string | number): ObservedLink | undefined {
  let link: ObservedLink | undefined;
  client.ask(
    `read link ${name}`,
    (writer, sequence) => encodeLinkQuery(writer, sequence, name),
    (message) => link = decodeLink(message) ?? link,
    ENODEV,
  );
  return link;
}

/** The link with the name of what it is enslaved to, if it is. */
export function withMasterName(
  client: NetlinkClient,
  link: ObservedLink | undefined,
): ObservedLink | undefined {
  if (link?.masterIndex === undefined) return link;
  const masterName = queryLink(client, link.masterIndex)?.name;
  return { ...link, ...masterName !== undefined && { masterName } };
}
