import {
  type Address,
  AF_INET,
  AF_INET6,
  type Family,
  type Ipv4,
  type Ipv6,
  parseAddress,
} from "../model/address.ts";
import type { Placement } from "./wiring.ts";

/** How the hosts of a lab are connected. */
export interface UnderlayKind {
  /** Each host in a segment of its own, a router between them; else all on one segment. */
  readonly isRouted: boolean;
  /** At least one, IPv4 first. */
  readonly families: readonly Family[];
}

/** Where a host is in the underlay, in one family. */
export interface UnderlayPlacement extends Placement {
  /** Where the host's default route goes. On one segment nobody answers there. */
  readonly gateway: Address;
}

/** As many hosts as the underlay has addresses for. */
const MAX_HOSTS = 253;

const SEGMENT = [parseAddress("192.0.2.0") as Ipv4, parseAddress("2001:db8::") as Ipv6] as const;
const ROUTED = [parseAddress("198.18.0.0") as Ipv4, parseAddress("2001:db8::") as Ipv6] as const;

/**
 * Where host `number`, from 1, is in the underlay: one placement a family.
 *
 * | | on one segment | routed |
 * | --- | --- | --- |
 * | IPv4 | 192.0.2.N/24 via 192.0.2.254 | 198.18.N.2/24 via 198.18.N.1 |
 * | IPv6 | 2001:db8::N/64 via 2001:db8::fe | 2001:db8:N::2/64 via 2001:db8:N::1 |
 *
 * @throws {RangeError} If there is no such host.
 */
export function underlayPlacements(number: number, kind: UnderlayKind): UnderlayPlacement[] {
  if (number < 1 || number > MAX_HOSTS) {
    throw new RangeError(`Cannot place host ${number}: a lab has 1 to ${MAX_HOSTS} hosts`);
  }
  return kind.families.map((family): UnderlayPlacement => {
    if (family === AF_INET) {
      const at = (segment: number, host: number) =>
        (kind.isRouted ? ROUTED[0] + segment * 256 + host : SEGMENT[0] + host) as Ipv4;
      return kind.isRouted
        ? { address: at(number, 2), length: 24, gateway: at(number, 1) }
        : { address: at(0, number), length: 24, gateway: at(0, 254) };
    }
    const segment = ROUTED[1] + (BigInt(number) << 80n);
    const at = (prefix: bigint, host: number) => prefix + BigInt(host) as Ipv6;
    return kind.isRouted
      ? { address: at(segment, 2), length: 64, gateway: at(segment, 1) }
      : { address: at(SEGMENT[1], number), length: 64, gateway: at(SEGMENT[1], 254) };
  });
}

/** A `net-conf.json` for a VXLAN overlay of `families`. */
export function defaultNetworkConfig(families: readonly Family[]): Record<string, unknown> {
  return {
    ...families.includes(AF_INET) ? { Network: "10.244.0.0/16" } : { EnableIPv4: false },
    ...families.includes(AF_INET6) && { EnableIPv6: true, IPv6Network: "fd00:10:244::/56" },
    Backend: { Type: "vxlan" },
  };
}
