// Encoding of requests: rows become messages for the kernel, as many as one send takes.
//
// The work (memory.ts); n and m are the counts given to `reserveRequests()`:
//
//   rows       n rows    of one table, as in src/model/rows.ts   (the host writes them)
//   indices    m u32     the rows that are asked for             (the host writes them)
//   requests   64 KiB    what is to be sent                      (we write)
//
// The kernel's link index of each slot is in the window, where `openWindow()` has made room for it. Messages are those of the
// codecs of src/rtnetlink, to the byte.

import { linksAt, reserveWork, workAt } from "./memory";
import { slotsKnown } from "./dump";

const ROUTES: u32 = 0;
const NEIGHBOURS: u32 = 1;
const ADD: u32 = 0;
const DELETE: u32 = 2;

const REQUESTS_BYTES: u32 = 65536;
/** More than any message below. */
const MOST_MESSAGE_BYTES: u32 = 128;

const AF_INET: u32 = 2;
const AF_BRIDGE: u32 = 7;
const NLM_F_REQUEST: u32 = 1;
const NLM_F_ACK: u32 = 4;
const NLM_F_REPLACE: u32 = 0x100;
const NLM_F_EXCL: u32 = 0x200;
const NLM_F_CREATE: u32 = 0x400;
const NLA_F_NESTED: u32 = 0x8000;

const RTM_NEWROUTE: u32 = 24;
const RTM_NEWNEIGH: u32 = 28;
const RTA_DST: u32 = 1;
const RTA_OIF: u32 = 4;
const RTA_GATEWAY: u32 = 5;
const RTA_PRIORITY: u32 = 6;
const RTA_METRICS: u32 = 8;
const RTA_NH_ID: u32 = 30;
const RTAX_MTU: u32 = 2;
const RT_TABLE_MAIN: u32 = 254;
const RT_SCOPE_NOWHERE: u32 = 255;
const RTNH_F_ONLINK: u32 = 4;
const NDA_DST: u32 = 1;
const NDA_LLADDR: u32 = 2;
const NTF_SELF: u32 = 2;

const ROUTE_ONLINK: u32 = 1 << 24;
const ROUTE_BY_OBJECT: u32 = 1 << 26;

let rowBytes: usize = 0;
let indexCount: u32 = 0;
let tableAt: usize = 0;
let indicesAt: usize = 0;
let requestsAt: usize = 0;
let writtenBytes: u32 = 0;
/** Where the next byte is written. */
let out: usize = 0;

export function tablePtr(): usize { return tableAt; }
export function indicesPtr(): usize { return indicesAt; }
export function requestsPtr(): usize { return requestsAt; }
/** Bytes that the last `encode()` wrote. */
export function requestBytes(): u32 { return writtenBytes; }

/** Draws the memory for requests about `indices` of `rows` rows of `words` words; 0, or -1 when it cannot grow so far. */
export function reserveRequests(rows: u32, words: u32, indices: u32): i32 {
  rowBytes = 4 * words;
  indexCount = indices;
  const bytes = <u64> rows * rowBytes + 4 * <u64> indices;
  if (reserveWork(bytes + REQUESTS_BYTES) != 0) return -1;
  tableAt = workAt();
  indicesAt = tableAt + <usize> rows * rowBytes;
  requestsAt = indicesAt + 4 * indices;
  return 0;
}

/**
 * Writes one request for each index from `first` on, numbered from `sequence`, as many as one send takes; only the last
 * asks for an ack.
 *
 * @returns How many.
 */
export function encode(kind: u32, operation: u32, first: u32, sequence: u32): u32 {
  out = requestsAt;
  let message = out;
  let next = first;
  while (next < indexCount && <u32> (out - requestsAt) + MOST_MESSAGE_BYTES <= REQUESTS_BYTES) {
    const row = tableAt + <usize> load<u32>(indicesAt + 4 * next) * rowBytes;
    message = out;
    out += 16;
    if (kind == ROUTES) encodeRoute(row, operation);
    else if (kind == NEIGHBOURS) encodeNeighbour(row, operation);
    else encodeFdbEntry(row, operation);
    store<u32>(message, <u32> (out - message));
    store<u16>(message, (kind == ROUTES ? RTM_NEWROUTE : RTM_NEWNEIGH) + (operation == DELETE ? 1 : 0), 4);
    store<u16>(message, flagsOf(kind, operation), 6);
    store<u32>(message, sequence + (next - first), 8);
    store<u32>(message, 0, 12);
    next++;
  }
  if (next > first) store<u16>(message, load<u16>(message, 6) | NLM_F_ACK, 6);
  writtenBytes = <u32> (out - requestsAt);
  return next - first;
}

function flagsOf(kind: u32, operation: u32): u32 {
  if (operation == DELETE) return NLM_F_REQUEST;
  return NLM_F_REQUEST | NLM_F_CREATE | (kind == ROUTES && operation == ADD ? NLM_F_EXCL : NLM_F_REPLACE);
}

function encodeRoute(row: usize, operation: u32): void {
  const family = load<u32>(row);
  const traits = load<u32>(row, 48);
  const isDeletion = operation == DELETE;
  u8At(family);
  u8At(load<u32>(row, 20));
  u8At(0);
  u8At(0);
  u8At(RT_TABLE_MAIN);
  u8At(traits);
  u8At(isDeletion ? (family == AF_INET ? RT_SCOPE_NOWHERE : 0) : traits >> 8);
  u8At(traits >> 16);
  u32At(!isDeletion && traits & ROUTE_ONLINK ? RTNH_F_ONLINK : 0);
  const addressBytes: u32 = family == AF_INET ? 4 : 16;
  address(RTA_DST, row + 4, addressBytes);
  if (load<u32>(row, 24) != 0) number(RTA_PRIORITY, load<u32>(row, 24));
  if (traits & ROUTE_BY_OBJECT) {
    number(RTA_NH_ID, load<u32>(row, 32));
  } else {
    const gateway = load<u32>(row, 32) | load<u32>(row, 36) | load<u32>(row, 40) | load<u32>(row, 44);
    if (gateway != 0) address(RTA_GATEWAY, row + 32, addressBytes);
    const slot = load<u32>(row, 28);
    if (slot < slotsKnown()) number(RTA_OIF, load<u32>(linksAt() + 4 * slot));
  }
  if (isDeletion || load<u32>(row, 52) == 0) return;
  header(RTA_METRICS | NLA_F_NESTED, 8);
  number(RTAX_MTU, load<u32>(row, 52));
}

function encodeNeighbour(row: usize, operation: u32): void {
  const family = load<u32>(row, 4);
  const isDeletion = operation == DELETE;
  entryHeader(family, load<u32>(row), isDeletion ? 0 : load<u32>(row, 32), 0);
  address(NDA_DST, row + 8, family == AF_INET ? 4 : 16);
  if (!isDeletion) mac(row + 24);
}

function encodeFdbEntry(row: usize, operation: u32): void {
  entryHeader(AF_BRIDGE, load<u32>(row), operation == DELETE ? 0 : load<u32>(row, 32), NTF_SELF);
  mac(row + 4);
  const family = load<u32>(row, 12);
  if (family != 0) address(NDA_DST, row + 16, family == AF_INET ? 4 : 16);
}

/** `struct ndmsg`. */
function entryHeader(family: u32, slot: u32, state: u32, flags: u32): void {
  u32At(family);
  u32At(slot < slotsKnown() ? load<u32>(linksAt() + 4 * slot) : 0);
  u32At((state & 0xffff) | flags << 16);
}

@inline
function u8At(value: u32): void {
  store<u8>(out++, value);
}

@inline
function u32At(value: u32): void {
  store<u32>(out, value);
  out += 4;
}

/** `struct nlattr`, in front of `bytes`. */
@inline
function header(type: u32, bytes: u32): void {
  store<u16>(out, bytes + 4);
  store<u16>(out, type, 2);
  out += 4;
}

@inline
function number(type: u32, value: u32): void {
  header(type, 4);
  u32At(value);
}

function address(type: u32, words: usize, bytes: u32): void {
  header(type, bytes);
  for (let offset: u32 = 0; offset < bytes; offset += 4) u32At(bswap<u32>(load<u32>(words + offset)));
}

/** A MAC in two words, the higher first, and what fills it up. */
function mac(words: usize): void {
  header(NDA_LLADDR, 6);
  store<u16>(out, bswap<u16>(<u16> load<u32>(words)));
  store<u32>(out, bswap<u32>(load<u32>(words, 4)), 2);
  store<u16>(out, 0, 6);
  out += 8;
}
