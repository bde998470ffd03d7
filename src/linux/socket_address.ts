import { type Address, AF_INET, AF_INET6, familyOf, type Ipv4, type Ipv6 } from "../model/address.ts";
import { addressBytes } from "../model/rows.ts";
import { LITTLE_ENDIAN } from "./byte_order.ts";

/**
 * Where a socket is, or is to go.
 *
 * | offset | bytes | C field of IPv4, of IPv6     | here             |
 * | -----: | ----: | ---------------------------- | ---------------- |
 * |      0 |     2 | `sin_family`, `sin6_family`  | that of `address` |
 * |      2 |     2 | `sin_port`, `sin6_port`      | `port`           |
 * |      4 |     4 | `sin_addr`, `sin6_flowinfo`  | `address`, 0     |
 * |      8 |    16 | (8 of padding), `sin6_addr`  | `address`        |
 * |     24 |     4 | `sin6_scope_id`              | `linkIndex`      |
 *
 * Source: `struct sockaddr_in`, ip(7); `struct sockaddr_in6`, ipv6(7).
 *
 * @param linkIndex Of the link that a link-local address of IPv6 is on; 0 for any other address.
 */
export function encodeSocketAddress(address: Address, port: number, linkIndex = 0): Uint8Array<ArrayBuffer> {
  const family = familyOf(address);
  const bytes = new Uint8Array(family === AF_INET ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, family, LITTLE_ENDIAN);
  view.setUint16(2, port);
  bytes.set(addressBytes(address), family === AF_INET ? 4 : 8);
  if (family !== AF_INET) view.setUint32(24, linkIndex, LITTLE_ENDIAN);
  return bytes;
}

/** The port of a socket's address, as getsockname(2) gives it. */
export function portOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint16(2);
}

/** The address of a socket, as recvfrom(2) gives it; `undefined` for another family. */
export function addressOf(bytes: Uint8Array): Address | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const family = view.getUint16(0, LITTLE_ENDIAN);
  if (family === AF_INET) return view.getUint32(4) as Ipv4;
  return family === AF_INET6 ? (view.getBigUint64(8) << 64n | view.getBigUint64(16)) as Ipv6 : undefined;
}
