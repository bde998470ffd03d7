import { type Address, AF_INET, AF_INET6, familyOf } from "../model/address.ts";
import { readAddress, writeAddress } from "../model/rows.ts";
import type { ObservedVxlan, VxlanLink } from "../model/state.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import { type MessageWriter, NLM_F_CREATE, NLM_F_EXCL } from "../netlink/message.ts";
import {
  encodeKind,
  encodeLinkHeader,
  encodeMac,
  IFLA_IFNAME,
  IFLA_MTU,
  RTM_NEWLINK,
} from "./link_header.ts";

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

/** Decodes what only a VXLAN link has, from the attribute that holds it. */
export function decodeVxlan(data: AttributeReader): ObservedVxlan {
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
