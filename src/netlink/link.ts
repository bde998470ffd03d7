import { type Address, AF_INET, AF_INET6, familyOf, type Mac } from "../model/address.ts";
import { readAddress, readMac, writeAddress, writeMac } from "../model/rows.ts";
import type { ObservedLink, ObservedVxlan, VxlanLink } from "../model/state.ts";
import type { NetlinkClient } from "./client.ts";
import { ENODEV, isErrno } from "./errno.ts";
import { AttributeReader } from "./attribute.ts";
import {
  LITTLE_ENDIAN,
  type MessageReader,
  type MessageWriter,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
} from "./message.ts";

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;

/** `sizeof(struct ifinfomsg)`. */
const LINK_HEADER_BYTES = 16;

const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_EXT_MASK = 29;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;

const IFLA_VXLAN_ID = 1;
const IFLA_VXLAN_GROUP = 2;
const IFLA_VXLAN_LINK = 3;
const IFLA_VXLAN_LOCAL = 4;
const IFLA_VXLAN_TTL = 5;
const IFLA_VXLAN_TOS = 6;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_PROXY = 11;
const IFLA_VXLAN_RSC = 12;
const IFLA_VXLAN_L2MISS = 13;
const IFLA_VXLAN_L3MISS = 14;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_GROUP6 = 16;
const IFLA_VXLAN_LOCAL6 = 17;
const IFLA_VXLAN_UDP_ZERO_CSUM6_TX = 19;
const IFLA_VXLAN_UDP_ZERO_CSUM6_RX = 20;
const IFLA_VXLAN_GBP = 23;
const IFLA_VXLAN_COLLECT_METADATA = 25;
export const IFF_UP = 1;
/** `IFF_LOOPBACK`, `IFF_POINTOPOINT`, `IFF_NOARP`: each makes ARP and NDP ask nobody. */
const IFF_RESOLVES_NOTHING = 0x8 | 0x10 | 0x80;
/** Leaves the counters out of a reply, which are most of its bytes. */
const RTEXT_FILTER_SKIP_STATS = 8;

/**
 * | offset | bytes | C field      | here                |
 * | -----: | ----: | ------------ | ------------------- |
 * |      0 |     1 | `ifi_family` | 0                   |
 * |      2 |     2 | `ifi_type`   | 0                   |
 * |      4 |     4 | `ifi_index`  | `linkIndex`         |
 * |      8 |     4 | `ifi_flags`  | `IFF_UP` or 0       |
 * |     12 |     4 | `ifi_change` | which flags to take |
 *
 * Source: `struct ifinfomsg`, rtnetlink(7); Documentation/netlink/specs/rt-link.yaml.
 */
export function encodeLinkHeader(writer: MessageWriter, linkIndex: number, flags = 0, change = 0): void {
  writer.u32(0);
  writer.u32(linkIndex);
  writer.u32(flags);
  writer.u32(change);
}

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

/** Writes the request that creates a VXLAN link, down; `EEXIST` if there is a link of that name. */
export function encodeVxlanLink(writer: MessageWriter, sequence: number, link: VxlanLink): void {
  writer.begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sequence);
  encodeLinkHeader(writer, 0);
  writer.attributeText(IFLA_IFNAME, link.name);
  writer.attributeU32(IFLA_MTU, link.mtuBytes);
  encodeMac(writer, link.mac);
  encodeKind(writer, "vxlan", () => {
    writer.attributeU32(IFLA_VXLAN_ID, link.vni);
    encodeVxlanChange(writer, link);
    writer.attributeU8(IFLA_VXLAN_TTL, 0);
    writer.attributeU8(IFLA_VXLAN_TOS, 0);
    for (const off of [IFLA_VXLAN_PROXY, IFLA_VXLAN_RSC, IFLA_VXLAN_L2MISS, IFLA_VXLAN_L3MISS]) {
      writer.attributeU8(off, 0);
    }
    writer.attributeU8(IFLA_VXLAN_UDP_ZERO_CSUM6_TX, 0);
    writer.attributeU8(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, 0);
    writer.attributeU16be(IFLA_VXLAN_PORT, link.port);
    if (link.gbp) writer.attributeFlag(IFLA_VXLAN_GBP);
  });
  writer.end();
}

/** Writes the request that gives an existing VXLAN link what can be changed in place, traffic running. */
export function encodeVxlanRepair(
  writer: MessageWriter,
  sequence: number,
  linkIndex: number,
  link: VxlanLink,
): void {
  writer.begin(RTM_NEWLINK, 0, sequence);
  encodeLinkHeader(writer, linkIndex);
  encodeKind(writer, "vxlan", () => encodeVxlanChange(writer, link));
  writer.end();
}

function encodeVxlanChange(writer: MessageWriter, link: VxlanLink): void {
  const isIpv4 = familyOf(link.local) === AF_INET;
  const words = new Uint32Array(4);
  writeAddress(words, 0, link.local);
  writer.attributeU32(IFLA_VXLAN_LINK, link.underlayLinkIndex);
  writer.attributeAddress(isIpv4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, words, 0, isIpv4 ? 4 : 16);
  writer.attributeU8(IFLA_VXLAN_LEARNING, link.learning ? 1 : 0);
}

/** Writes what kind of link it is, and what only that kind has. */
export function encodeKind(writer: MessageWriter, kind: string, data?: () => void): void {
  writer.nested(IFLA_LINKINFO, () => {
    writer.attributeText(IFLA_INFO_KIND, kind);
    if (data !== undefined) writer.nested(IFLA_INFO_DATA, data);
  });
}

function encodeMac(writer: MessageWriter, mac: Mac): void {
  const words = new Uint32Array(2);
  writeMac(words, 0, mac);
  writer.attributeMac(IFLA_ADDRESS, words, 0);
}

/** What can be changed on a link of any kind; what is absent stays. */
export interface LinkChange {
  readonly isUp?: boolean;
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
  const attributes = new AttributeReader(view, start + LINK_HEADER_BYTES, end);
  while (attributes.next()) {
    if (attributes.type === IFLA_IFNAME) name = attributes.text();
    else if (attributes.type === IFLA_MTU) mtuBytes = attributes.u32();
    else if (attributes.type === IFLA_MASTER) masterIndex = attributes.u32();
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
    ...(flags & IFF_RESOLVES_NOTHING) !== 0 && { resolvesNothing: true },
    mtuBytes,
    mac,
    kind,
    vxlan,
    ...masterIndex !== undefined && { masterIndex },
  };
}

function decodeVxlan(data: AttributeReader): ObservedVxlan {
  const words = new Uint32Array(4);
  const vxlan = {
    vni: 0,
    port: 0,
    local: undefined as Address | undefined,
    underlayLinkIndex: 0,
    learning: false,
    gbp: false,
    isForeign: false,
  };
  const attributes = new AttributeReader(data.view, data.start, data.end);
  while (attributes.next()) {
    switch (attributes.type) {
      case IFLA_VXLAN_ID:
        vxlan.vni = attributes.u32();
        break;
      case IFLA_VXLAN_PORT:
        vxlan.port = attributes.u16be();
        break;
      case IFLA_VXLAN_LINK:
        vxlan.underlayLinkIndex = attributes.u32();
        break;
      case IFLA_VXLAN_LOCAL:
      case IFLA_VXLAN_LOCAL6:
        attributes.addressWords(words, 0);
        vxlan.local = readAddress(words, 0, attributes.type === IFLA_VXLAN_LOCAL ? AF_INET : AF_INET6);
        break;
      case IFLA_VXLAN_LEARNING:
        vxlan.learning = attributes.u8() !== 0;
        break;
      case IFLA_VXLAN_GBP:
        vxlan.gbp = true;
        break;
      case IFLA_VXLAN_GROUP:
      case IFLA_VXLAN_GROUP6:
        vxlan.isForeign = true;
        break;
      case IFLA_VXLAN_PROXY:
      case IFLA_VXLAN_RSC:
      case IFLA_VXLAN_L2MISS:
      case IFLA_VXLAN_L3MISS:
      case IFLA_VXLAN_COLLECT_METADATA:
        vxlan.isForeign ||= attributes.u8() !== 0;
        break;
    }
  }
  return vxlan;
}

/**
 * The link called `name`; `undefined` if there is none.
 *
 * @throws {NetlinkError} If the kernel refused for another reason.
 */
export function queryLink(client: NetlinkClient, name: string | number): ObservedLink | undefined {
  let link: ObservedLink | undefined;
  try {
    client.request(
      `read link ${name}`,
      (writer, sequence) => encodeLinkQuery(writer, sequence, name),
      (message) => link = decodeLink(message) ?? link,
    );
  } catch (error) {
    if (!isErrno(error, ENODEV)) throw error;
  }
  return link;
}
