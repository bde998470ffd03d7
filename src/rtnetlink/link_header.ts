import type { Mac } from "../model/address.ts";
import { writeMac } from "../model/rows.ts";
import type { MessageWriter } from "../netlink/message.ts";

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;

/** `sizeof(struct ifinfomsg)`. */
export const LINK_HEADER_BYTES = 16;

export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_MASTER = 10;
export const IFLA_LINKINFO = 18;
export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;

export const IFF_UP = 1;

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

/** Writes what kind of link it is, and what only that kind has. */
export function encodeKind(writer: MessageWriter, kind: string, data?: () => void): void {
  writer.nested(IFLA_LINKINFO, () => {
    writer.attributeText(IFLA_INFO_KIND, kind);
    if (data !== undefined) writer.nested(IFLA_INFO_DATA, data);
  });
}

/** Writes the link-layer address of a link. */
export function encodeMac(writer: MessageWriter, mac: Mac): void {
  const words = new Uint32Array(2);
  writeMac(words, 0, mac);
  writer.attributeMac(IFLA_ADDRESS, words, 0);
}
