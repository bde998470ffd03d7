import { type Address, AF_INET, AF_INET6, familyOf } from "../model/address.ts";
import { readAddress, writeAddress } from "../model/rows.ts";
import type { ObservedAddress } from "../model/state.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import {
  type MessageReader,
  type MessageWriter,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_REPLACE,
} from "../netlink/message.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

/** `sizeof(struct ifaddrmsg)`. */
const ADDRESS_HEADER_BYTES = 8;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;

/** Skips duplicate address detection: the address is usable at once. */
const IFA_F_NODAD = 0x02;
/** The kernel makes no route to the addresses beside it. */
const IFA_F_NOPREFIXROUTE = 0x200;

/** An address and the link it is on. */
export interface LinkAddress {
  readonly linkIndex: number;
  readonly address: Address;
  readonly length: number;
  /** Whether the kernel is to make no route to the addresses beside it. */
  readonly isWithoutRoute?: true;
}

/** Writes the request for the addresses of both families on one link, or on all where `linkIndex` is 0. */
export function encodeAddressDump(writer: MessageWriter, sequence: number, linkIndex: number): void {
  writer.begin(RTM_GETADDR, NLM_F_DUMP, sequence);
  encodeHeader(writer, 0, 0, linkIndex);
  writer.end();
}

/**
 * | offset | bytes | C field         | here                      |
 * | -----: | ----: | --------------- | ------------------------- |
 * |      0 |     1 | `ifa_family`    | `family`                  |
 * |      1 |     1 | `ifa_prefixlen` | `length`                  |
 * |      2 |     1 | `ifa_flags`     | the low 8 bits of `flags` |
 * |      3 |     1 | `ifa_scope`     | `scope`                   |
 * |      4 |     4 | `ifa_index`     | `linkIndex`               |
 *
 * Source: `struct ifaddrmsg`, rtnetlink(7); Documentation/netlink/specs/rt-addr.yaml.
 */
function encodeHeader(writer: MessageWriter, family: number, length: number, linkIndex: number): void {
  writer.u8(family);
  writer.u8(length);
  writer.u16(0);
  writer.u32(linkIndex);
}

/** Writes the request that adds an address. */
export function encodeAddress(writer: MessageWriter, sequence: number, value: LinkAddress): void {
  writer.begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sequence);
  encodeBody(writer, value);
  const flags = (familyOf(value.address) === AF_INET6 ? IFA_F_NODAD : 0) |
    (value.isWithoutRoute ? IFA_F_NOPREFIXROUTE : 0);
  if (flags !== 0) writer.attributeU32(IFA_FLAGS, flags);
  writer.end();
}

/** Writes the request that deletes an address. */
export function encodeAddressDeletion(writer: MessageWriter, sequence: number, value: LinkAddress): void {
  writer.begin(RTM_DELADDR, 0, sequence);
  encodeBody(writer, value);
  writer.end();
}

function encodeBody(writer: MessageWriter, value: LinkAddress): void {
  const family = familyOf(value.address);
  const words = new Uint32Array(4);
  writeAddress(words, 0, value.address);
  encodeHeader(writer, family, value.length, value.linkIndex);
  writer.attributeAddress(IFA_LOCAL, words, 0, family === AF_INET ? 4 : 16);
  writer.attributeAddress(IFA_ADDRESS, words, 0, family === AF_INET ? 4 : 16);
}

/**
 * Decodes one message about an address that is there or has gone; `undefined` for anything but an IPv4 or IPv6 one.
 *
 * @throws {SyntaxError} If the message is malformed.
 */
export function decodeAddress(message: MessageReader): ObservedAddress | undefined {
  if (message.type !== RTM_NEWADDR && message.type !== RTM_DELADDR) return undefined;
  message.requireHeader(ADDRESS_HEADER_BYTES);
  const { view, start, end } = message;
  const family = view.getUint8(start);
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const local = new Uint32Array(4);
  const address = new Uint32Array(4);
  let hasLocal = false;
  let flags = view.getUint8(start + 2);
  const attributes = new AttributeReader(view, start + ADDRESS_HEADER_BYTES, end);
  while (attributes.next()) {
    if (attributes.type === IFA_FLAGS) flags = attributes.u32();
    else if (attributes.type === IFA_ADDRESS) attributes.addressWords(address, 0);
    else if (attributes.type === IFA_LOCAL) {
      attributes.addressWords(local, 0);
      hasLocal = true;
    }
  }
  return {
    linkIndex: view.getUint32(start + 4, LITTLE_ENDIAN),
    family,
    address: readAddress(hasLocal ? local : address, 0, family),
    length: view.getUint8(start + 1),
    scope: view.getUint8(start + 3),
    flags,
  };
}

/**
 * The addresses on one link, or on all where `linkIndex` is 0.
 *
 * @throws {NetlinkError} If the kernel refused.
 */
export function dumpAddresses(client: NetlinkClient, linkIndex: number): ObservedAddress[] {
  const addresses: ObservedAddress[] = [];
  client.dump(
    "read addresses",
    (writer, sequence) => encodeAddressDump(writer, sequence, linkIndex),
    () => addresses.length = 0,
    (message) => {
      const address = decodeAddress(message);
      if (address !== undefined && (linkIndex === 0 || address.linkIndex === linkIndex)) {
        addresses.push(address);
      }
    },
  );
  return addresses;
}
