import { type Address, AF_INET6 } from "../model/address.ts";
import { readAddress } from "../model/rows.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import { align4 } from "../netlink/message.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import { RTA_GATEWAY, RTA_VIA } from "./route_header.ts";

/** `sizeof(struct rtnexthop)`. */
const HOP_BYTES = 8;

/** One of several next hops of a route. */
export interface NextHop {
  readonly linkIndex: number;
  /** `RTNH_F_*`. */
  readonly flags: number;
  /** Four words; zeros for none, or for one of the other family. */
  readonly gateway: Uint32Array;
  /** A gateway of the other family. */
  readonly via?: Address;
}

/**
 * Decodes the next hops of a route that has several.
 *
 * | offset | bytes | C field        | here                             |
 * | -----: | ----: | -------------- | -------------------------------- |
 * |      0 |     2 | `rtnh_len`     | to the next one, without padding |
 * |      2 |     1 | `rtnh_flags`   | `flags`                          |
 * |      3 |     1 | `rtnh_hops`    |                                  |
 * |      4 |     4 | `rtnh_ifindex` | `linkIndex`                      |
 *
 * Attributes follow each. Source: `struct rtnexthop`, rtnetlink(7).
 *
 * @param multipath A reader that stands at the attribute `RTA_MULTIPATH`.
 * @throws {SyntaxError} If one ends behind the attribute.
 */
export function decodeNextHops({ view, start, end }: AttributeReader): NextHop[] {
  const hops: NextHop[] = [];
  for (let at = start; at < end;) {
    const left = end - at;
    const length = left < HOP_BYTES ? 0 : view.getUint16(at, LITTLE_ENDIAN);
    if (length < HOP_BYTES || length > left) {
      throw new SyntaxError(`Cannot decode next hop: ${left} bytes are left and it claims ${length}`);
    }
    const gateway = new Uint32Array(4);
    let via: Address | undefined;
    const attributes = new AttributeReader(view, at + HOP_BYTES, at + length);
    while (attributes.next()) {
      if (attributes.type === RTA_GATEWAY) attributes.addressWords(gateway, 0);
      else if (attributes.type === RTA_VIA) via = decodeVia(attributes);
    }
    hops.push({
      linkIndex: view.getInt32(at + 4, LITTLE_ENDIAN),
      flags: view.getUint8(at + 2),
      gateway,
      ...via !== undefined && { via },
    });
    at += align4(length);
  }
  return hops;
}

/**
 * The gateway of an IPv4 route that is an IPv6 address: its family in 16 bits, then the address.
 *
 * Source: `struct rtvia`, linux/rtnetlink.h.
 *
 * @throws {SyntaxError} If it is too short.
 */
export function decodeVia({ view, start, length }: AttributeReader): Address {
  if (length < 18) throw new SyntaxError(`Cannot decode gateway of the other family: it has ${length} bytes`);
  const words = Uint32Array.from({ length: 4 }, (_, word) => view.getUint32(start + 2 + 4 * word));
  return readAddress(words, 0, AF_INET6);
}
