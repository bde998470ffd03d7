import { type Address, AF_INET, familyOf, type Mac, parseAddress, parseMac } from "../model/address.ts";
import { addressBytes } from "../model/rows.ts";

const ETHERNET_BYTES = 14;
const BROADCAST = parseMac("ff:ff:ff:ff:ff:ff");
const NO_MAC = parseMac("00:00:00:00:00:00");
/** All hosts of the segment, and the MAC that frames to them have (RFC 2464 section 7). */
const ALL_NODES = parseAddress("ff02::1");
const ALL_NODES_MAC = parseMac("33:33:00:00:00:01");

const ETHERTYPE_ARP = 0x0806;
const ARP_BYTES = 28;
const ARP_ETHERNET = 1;
const ARP_REQUEST = 1;
const ETHERTYPE_IPV4 = 0x0800;

const ETHERTYPE_IPV6 = 0x86dd;
const IPV6_BYTES = 40;
const ICMPV6 = 58;
const NEIGHBOR_ADVERTISEMENT = 136;
const ADVERTISEMENT_BYTES = 32;
/** R and O: the sender forwards, and what was known before is overridden. */
const ROUTER_OVERRIDE = 0xa000_0000;
const TARGET_LINK_LAYER_ADDRESS = 2;

/**
 * An Ethernet frame that tells all hosts of the segment which MAC has `address` now. Who knows the address corrects
 * what it knows; nobody else remembers it.
 *
 * An ARP announcement (RFC 5227 section 2.3), or an unsolicited neighbor advertisement (RFC 4861 section 7.2.6) of a
 * host that forwards; as Linux sends them with `arp_notify` and `ndisc_notify`.
 */
export function encodeMacAnnouncement(address: Address, mac: Mac): Uint8Array<ArrayBuffer> {
  return familyOf(address) === AF_INET ? arpAnnouncement(address, mac) : advertisement(address, mac);
}

function arpAnnouncement(address: Address, mac: Mac): Uint8Array<ArrayBuffer> {
  const view = ethernet(BROADCAST, mac, ETHERTYPE_ARP, ARP_BYTES);
  view.setUint16(14, ARP_ETHERNET);
  view.setUint16(16, ETHERTYPE_IPV4);
  view.setUint8(18, 6);
  view.setUint8(19, 4);
  view.setUint16(20, ARP_REQUEST);
  setMac(view, 22, mac);
  setAddress(view, 28, address);
  setMac(view, 32, NO_MAC);
  setAddress(view, 38, address);
  return new Uint8Array(view.buffer);
}

function advertisement(address: Address, mac: Mac): Uint8Array<ArrayBuffer> {
  const view = ethernet(ALL_NODES_MAC, mac, ETHERTYPE_IPV6, IPV6_BYTES + ADVERTISEMENT_BYTES);
  view.setUint8(14, 6 << 4);
  view.setUint16(18, ADVERTISEMENT_BYTES);
  view.setUint8(20, ICMPV6);
  view.setUint8(21, 255);
  setAddress(view, 22, address);
  setAddress(view, 38, ALL_NODES);
  view.setUint8(54, NEIGHBOR_ADVERTISEMENT);
  view.setUint32(58, ROUTER_OVERRIDE);
  setAddress(view, 62, address);
  view.setUint8(78, TARGET_LINK_LAYER_ADDRESS);
  view.setUint8(79, 1);
  setMac(view, 80, mac);
  view.setUint16(56, checksum(view));
  return new Uint8Array(view.buffer);
}

/** A frame with its header, and nothing else yet. */
function ethernet(to: Mac, from: Mac, type: number, payloadBytes: number): DataView<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(ETHERNET_BYTES + payloadBytes));
  setMac(view, 0, to);
  setMac(view, 6, from);
  view.setUint16(12, type);
  return view;
}

function setMac(view: DataView, offset: number, mac: Mac): void {
  view.setUint16(offset, Math.floor(mac / 2 ** 32));
  view.setUint32(offset + 2, mac % 2 ** 32);
}

function setAddress({ buffer }: DataView<ArrayBuffer>, offset: number, address: Address): void {
  new Uint8Array(buffer).set(addressBytes(address), offset);
}

/** The checksum of an ICMPv6 message with its pseudo-header (RFC 8200 section 8.1): addresses, length, protocol. */
function checksum(view: DataView): number {
  let sum = ADVERTISEMENT_BYTES + ICMPV6;
  for (let offset = 22; offset < view.byteLength; offset += 2) sum += view.getUint16(offset);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
