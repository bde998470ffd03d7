import {
  AF_INET,
  AF_INET6,
  type Family,
  familyOf,
  formatAddress,
  parseAddress,
} from "../../../src/model/address.ts";
import type { ObservedAddress, ObservedLink } from "../../../src/model/state.ts";
import type { DefaultRoute } from "../../../src/rtnetlink/route_lookup.ts";
import type { HostNetwork } from "../../../src/overlay/underlay/host_network.ts";

/** `IFA_F_PERMANENT`. */
const PERMANENT = 0x80;

/** A link that is up. */
export function link(linkIndex: number, name: string, mtuBytes = 1500): ObservedLink {
  return { linkIndex, name, isUp: true, mtuBytes, mac: undefined, kind: undefined, vxlan: undefined };
}

/** An address as `ADDRESS/LENGTH`. */
export function address(linkIndex: number, text: string, flags = PERMANENT): ObservedAddress {
  const [host, length] = text.split("/");
  const parsed = parseAddress(host!);
  return { linkIndex, family: familyOf(parsed), address: parsed, length: Number(length), scope: 0, flags };
}

/** A default route. */
export function route(family: Family, linkIndex: number, metric: number, mtuBytes = 0): DefaultRoute {
  return { family, linkIndex, metric, mtuBytes };
}

/** Two links with both families, and two default routes each, the better one listed last. */
export const HOST: HostNetwork = {
  links: [link(1, "lo", 65536), link(2, "eth0"), link(3, "eth1", 9000), link(4, "tun0", 0), link(5, "empty")],
  addresses: [
    address(1, "127.0.0.1/8"),
    address(2, "192.0.2.10/24"),
    address(2, "192.0.2.11/24", PERMANENT | 0x01),
    address(3, "198.51.100.10/24"),
    address(4, "203.0.113.1/32"),
    address(1, "::1/128"),
    address(2, "fe80::10/64"),
    address(2, "2001:db8:1::10/64"),
    address(3, "2001:db8:2::10/64"),
  ],
  defaultRoutes: [
    route(AF_INET, 3, 200, 4000),
    route(AF_INET, 2, 100, 1400),
    route(AF_INET6, 3, 2048),
    route(AF_INET6, 2, 1024),
  ],
  reach: (to) => {
    switch (formatAddress(to)) {
      case "198.51.100.99":
        return { linkIndex: 3, source: parseAddress("198.51.100.10"), mtuBytes: 1300, isMtuLearnt: false };
      case "2001:db8:2::99":
        return { linkIndex: 3, source: undefined, mtuBytes: 0, isMtuLearnt: false };
      case "203.0.113.99":
        return { linkIndex: 99, source: undefined, mtuBytes: 0, isMtuLearnt: false };
    }
  },
};
