// Decoding of dumps: a datagram of the kernel's in the window (memory.ts) becomes rows beside it.
//
// Only what is plain is taken here: a message whose row holds all that it says, and that is nobody's but ours or of no
// interest. At any other one (a route of another program's to a cluster network, several next hops, an attribute that is
// rare or malformed, the end of the dump, an error) `take()` stops, and the host decodes that message by itself. So nothing
// here has an opinion on what is malformed, and a hostile datagram can at worst be handed over.
//
// The layout of rows is that of src/model/rows.ts. All of netlink's numbers are little-endian, addresses big-endian.

import { DATAGRAM_BYTES, datagramAt, linksAt, NETWORK_WORDS, networksAt, reserveWork, rowsAt } from "./memory";

const ROUTES: u32 = 0;
const NEIGHBOURS: u32 = 1;

const AF_INET: u32 = 2;
const AF_BRIDGE: u32 = 7;
const AF_INET6: u32 = 10;

const RTM_NEWROUTE: u32 = 24;
const RTM_NEWNEIGH: u32 = 28;
/** `struct nlmsghdr`, and behind it `struct rtmsg` or `struct ndmsg`. */
const MESSAGE_HEADER_BYTES: u32 = 16;
const HEADERS_BYTES: u32 = 28;
const ATTRIBUTE_TYPE_MASK: u32 = 0x3fff;

const RTA_DST: u32 = 1;
const RTA_OIF: u32 = 4;
const RTA_GATEWAY: u32 = 5;
const RTA_PRIORITY: u32 = 6;
const RTA_METRICS: u32 = 8;
const RTA_MULTIPATH: u32 = 9;
const RTA_CACHEINFO: u32 = 12;
const RTA_TABLE: u32 = 15;
const RTA_PREF: u32 = 20;
const RTA_NH_ID: u32 = 30;
const RTAX_MTU: u32 = 2;
const RT_TABLE_MAIN: u32 = 254;
const RTNH_F_ONLINK: u32 = 4;
const RTM_F_CLONED: u32 = 0x200;
const RTPROT_LODEN: u32 = 76;

const NDA_DST: u32 = 1;
const NDA_LLADDR: u32 = 2;
const NDA_PORT: u32 = 6;
const NDA_VNI: u32 = 7;
const NDA_IFINDEX: u32 = 8;
const NDA_NH_ID: u32 = 13;
const NUD_NOARP: u32 = 0x40;
const NUD_PERMANENT: u32 = 0x80;
const NTF_SELF: u32 = 0x02;

const NO_SLOT: u32 = 0xffff_ffff;
const ROUTE_BYTES: u32 = 56;
const ENTRY_BYTES: u32 = 36;
const ROUTE_ONLINK: u32 = 1 << 24;

/** What the functions below answer of one message: no row, a row, or that it is the host's to decode. */
const SKIPPED: u32 = 0;
const TAKEN: u32 = 1;
const HANDED_OVER: u32 = 2;

let networkCount: u32 = 0;
let linkCount: u32 = 0;
let rowCount: u32 = 0;
let flagsSeen: u32 = 0;

export function datagramPtr(): usize { return datagramAt(); }
export function rowsPtr(): usize { return rowsAt(); }
export function networksPtr(): usize { return networksAt(); }
export function linksPtr(): usize { return linksAt(); }
/** Rows that the last `take()` wrote. */
export function rows(): u32 { return rowCount; }
/** The flags of all messages that the last `take()` passed by, one or the other. */
export function flags(): u32 { return flagsSeen; }

/** Makes the window, for so many networks and links as the host will write; 0, or -1 where they or it have no room. */
export function openWindow(networks: u32, links: u32): i32 {
  if (networks > 16 || links > 64) return -1;
  networkCount = networks;
  linkCount = links;
  return reserveWork(0);
}

/**
 * Decodes messages of one kind that answer request `sequence`, from byte `from` of the datagram on, those for others
 * passed by.
 *
 * @returns Where the first message begins that the host must decode; `limit` or more where there is none.
 */
export function take(kind: u32, from: u32, limit: u32, sequence: u32): u32 {
  const type = kind == ROUTES ? RTM_NEWROUTE : RTM_NEWNEIGH;
  rowCount = 0;
  flagsSeen = 0;
  let at = from;
  while (at < limit && limit <= DATAGRAM_BYTES) {
    const left = limit - at;
    if (left < MESSAGE_HEADER_BYTES) break;
    const message = datagramAt() + at;
    const length = load<u32>(message);
    if (length < MESSAGE_HEADER_BYTES || length > left) break;
    if (load<u32>(message, 8) == sequence) {
      if (load<u16>(message, 4) != type || length < HEADERS_BYTES) break;
      const fate = kind == ROUTES
        ? takeRoute(message, message + length)
        : kind == NEIGHBOURS
        ? takeNeighbour(message, message + length)
        : takeFdbEntry(message, message + length);
      if (fate == HANDED_OVER) break;
      rowCount += fate;
      flagsSeen |= load<u16>(message, 6);
    }
    at += (length + 3) & ~3;
  }
  return at;
}

function takeRoute(message: usize, end: usize): u32 {
  if (load<u8>(message, 20) != RT_TABLE_MAIN || load<u32>(message, 24) & RTM_F_CLONED) return SKIPPED;
  const family: u32 = load<u8>(message, 16);
  const addressBytes = bytesOf(family);
  // Of one source or one TOS.
  if (addressBytes == 0 || load<u16>(message, 18) != 0) return HANDED_OVER;
  const row = newRow(ROUTE_BYTES);
  let isPlain = load<u8>(message, 21) == RTPROT_LODEN;
  let linkIndex: u32 = 0;
  let at = message + HEADERS_BYTES;
  while (at < end) {
    const bytes = payload(at, end);
    if (bytes < 0) return HANDED_OVER;
    switch (load<u16>(at, 2) & ATTRIBUTE_TYPE_MASK) {
      case RTA_DST:
        if (bytes != addressBytes) return HANDED_OVER;
        copyAddress(row + 4, at + 4, bytes);
        break;
      case RTA_OIF:
        if (bytes != 4) return HANDED_OVER;
        linkIndex = load<u32>(at, 4);
        break;
      case RTA_GATEWAY:
        if (bytes != addressBytes) return HANDED_OVER;
        copyAddress(row + 32, at + 4, bytes);
        break;
      case RTA_PRIORITY:
        if (bytes != 4) return HANDED_OVER;
        store<u32>(row, load<u32>(at, 4), 24);
        break;
      case RTA_METRICS:
        if (!takeMtu(row, at + 4, at + 4 + bytes)) return HANDED_OVER;
        break;
      case RTA_MULTIPATH:
        return HANDED_OVER;
      case RTA_NH_ID:
        if (bytes != 4) return HANDED_OVER;
        isPlain = false;
        break;
      case RTA_TABLE:
      case RTA_CACHEINFO:
      case RTA_PREF:
        break;
      default:
        isPlain = false;
    }
    at += (bytes + 7) & ~3;
  }
  const length: u32 = load<u8>(message, 17);
  if (!isInNetworks(family, row + 4, length)) return SKIPPED;
  const slot = slotOf(linkIndex);
  if (!isPlain) return HANDED_OVER;
  store<u32>(row, family);
  store<u32>(row, length, 20);
  store<u32>(row, slot, 28);
  const onlink = load<u32>(message, 24) & RTNH_F_ONLINK ? ROUTE_ONLINK : 0;
  // Protocol, scope and type stand one behind the other.
  store<u32>(row, (load<u32>(message, 20) >> 8) | onlink, 48);
  return TAKEN;
}

/** Reads the route's own MTU from its metrics; `false` where there is another metric, or what is none. */
function takeMtu(row: usize, from: usize, end: usize): bool {
  let at = from;
  while (at < end) {
    if (payload(at, end) != 4 || (load<u16>(at, 2) & ATTRIBUTE_TYPE_MASK) != RTAX_MTU) return false;
    store<u32>(row, load<u32>(at, 4), 52);
    at += 8;
  }
  return true;
}

function takeNeighbour(message: usize, end: usize): u32 {
  const family: u32 = load<u8>(message, 16);
  const addressBytes = bytesOf(family);
  const slot = slotOf(load<u32>(message, 20));
  const state: u32 = load<u16>(message, 24);
  if (slot == NO_SLOT || (state & NUD_PERMANENT) == 0 || addressBytes == 0) return SKIPPED;
  const row = newRow(ENTRY_BYTES);
  store<u32>(row, slot);
  store<u32>(row, family, 4);
  store<u32>(row, state, 32);
  let at = message + HEADERS_BYTES;
  while (at < end) {
    const bytes = payload(at, end);
    if (bytes < 0) return HANDED_OVER;
    const type: u32 = load<u16>(at, 2) & ATTRIBUTE_TYPE_MASK;
    if (type == NDA_DST) {
      if (bytes != addressBytes) return HANDED_OVER;
      copyAddress(row + 8, at + 4, bytes);
    } else if (type == NDA_LLADDR && bytes == 6) {
      copyMac(row + 24, at + 4);
    }
    at += (bytes + 7) & ~3;
  }
  return TAKEN;
}

function takeFdbEntry(message: usize, end: usize): u32 {
  const slot = slotOf(load<u32>(message, 20));
  const isOfVtep = load<u8>(message, 16) == AF_BRIDGE && (load<u8>(message, 26) & NTF_SELF) != 0;
  if (slot == NO_SLOT || !isOfVtep || (load<u16>(message, 24) & (NUD_PERMANENT | NUD_NOARP)) == 0) return SKIPPED;
  const row = newRow(ENTRY_BYTES);
  store<u32>(row, slot);
  let at = message + HEADERS_BYTES;
  while (at < end) {
    const bytes = payload(at, end);
    if (bytes < 0) return HANDED_OVER;
    switch (load<u16>(at, 2) & ATTRIBUTE_TYPE_MASK) {
      case NDA_DST:
        if (bytes != 4 && bytes != 16) return HANDED_OVER;
        store<u32>(row, bytes == 4 ? AF_INET : AF_INET6, 12);
        copyAddress(row + 16, at + 4, bytes);
        break;
      case NDA_LLADDR:
        if (bytes != 6) return HANDED_OVER;
        copyMac(row + 4, at + 4);
        break;
      case NDA_PORT:
      case NDA_VNI:
      case NDA_IFINDEX:
      case NDA_NH_ID:
        return HANDED_OVER;
    }
    at += (bytes + 7) & ~3;
  }
  store<u32>(row, NUD_PERMANENT, 32);
  return TAKEN;
}

/** The place of the next row, filled with zeros. */
@inline
function newRow(bytes: u32): usize {
  const row = rowsAt() + rowCount * bytes;
  memory.fill(row, 0, bytes);
  return row;
}

/** Bytes in the payload of the attribute at `at`; -1 if it claims more than there are, or fewer than its own header. */
@inline
function payload(at: usize, end: usize): i32 {
  const left = <u32> (end - at);
  if (left < 4) return -1;
  const bytes: u32 = load<u16>(at);
  return bytes < 4 || bytes > left ? -1 : bytes - 4;
}

/** Bytes of an address of a family; 0 for a family that is none of ours. */
@inline
function bytesOf(family: u32): i32 {
  return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

/** Copies an address of 4 or 16 bytes into words. */
@inline
function copyAddress(to: usize, from: usize, bytes: i32): void {
  for (let offset = 0; offset < bytes; offset += 4) store<u32>(to + offset, bswap<u32>(load<u32>(from + offset)));
}

/** Copies a MAC into two words: its high 16 bits, then the low 32. */
@inline
function copyMac(to: usize, from: usize): void {
  store<u32>(to, bswap<u16>(load<u16>(from)));
  store<u32>(to, bswap<u32>(load<u32>(from, 2)), 4);
}

/** How many slots there are links for. */
@inline
export function slotsKnown(): u32 {
  return linkCount;
}

/** The slot of a link, or `NO_SLOT` for one that has none. */
@inline
function slotOf(linkIndex: u32): u32 {
  if (linkIndex != 0) {
    for (let slot: u32 = 0; slot < linkCount; slot++) {
      if (load<u32>(linksAt() + 4 * slot) == linkIndex) return slot;
    }
  }
  return NO_SLOT;
}

/** Whether a destination of `length` bits, in four words, is a part of a cluster network. */
function isInNetworks(family: u32, destination: usize, length: u32): bool {
  for (let index: u32 = 0; index < networkCount; index++) {
    const network = networksAt() + index * NETWORK_WORDS * 4;
    if (load<u32>(network) != family || load<u32>(network, 20) > length) continue;
    let bits = <i32> load<u32>(network, 20);
    let isIn = true;
    for (let word: u32 = 0; bits > 0; word++, bits -= 32) {
      const mask: u32 = bits >= 32 ? 0xffff_ffff : ~(0xffff_ffff >> bits);
      if (((load<u32>(destination + 4 * word) ^ load<u32>(network + 4 + 4 * word)) & mask) != 0) isIn = false;
    }
    if (isIn) return true;
  }
  return false;
}
