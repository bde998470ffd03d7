import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../../../src/config/usage_error.ts";
import {
  AF_INET,
  AF_INET6,
  type Family,
  formatAddress,
  formatPrefix,
  type Ipv4,
  type Ipv6,
  parseAddress,
} from "../../../src/model/address.ts";
import type { HostNetwork } from "../../../src/overlay/underlay/host_network.ts";
import type { UnderlayOptions } from "../../../src/overlay/underlay/choice_inputs.ts";
import { chooseUnderlay, UnderlayError } from "../../../src/overlay/underlay/underlay.ts";
import { HOST, link, route } from "./hosts.ts";

type Asked = Partial<Omit<UnderlayOptions, "families">>;

function choose(families: readonly Family[], asked: Asked, host = HOST): string {
  const { linkName, mtuBytes, addresses } = chooseUnderlay(host, {
    iface: [],
    ifaceRegex: [],
    families,
    ...asked,
  });
  const parts = addresses.map(({ address, advertised, mtuBytes }) =>
    `${formatAddress(address)}${
      advertised === address ? "" : ` as ${formatAddress(advertised)}`
    } mtu ${mtuBytes}`
  );
  return [`${linkName} ${mtuBytes}`, ...parts].join(", ");
}

const V4: Family[] = [AF_INET];
const V6: Family[] = [AF_INET6];
const DUAL: Family[] = [AF_INET, AF_INET6];
const ipv4 = (text: string) => parseAddress(text) as Ipv4;
const ipv6 = (text: string) => parseAddress(text) as Ipv6;

const chosen: [families: Family[], asked: Asked, underlay: string, why: string][] = [
  [V4, {}, "eth0 1500, 192.0.2.10 mtu 1400", "the default route of the lowest metric, and its MTU"],
  [
    V6,
    {},
    "eth0 1500, 2001:db8:1::10 mtu 1500",
    "the same in IPv6; a global address before a link-local one",
  ],
  [DUAL, {}, "eth0 1500, 192.0.2.10 mtu 1400, 2001:db8:1::10 mtu 1500", "both routes leave by one link"],
  [[AF_INET6, AF_INET], {}, "eth0 1500, 192.0.2.10 mtu 1400, 2001:db8:1::10 mtu 1500", "IPv4 comes first"],
  [
    V4,
    { iface: ["eth1"] },
    "eth1 9000, 198.51.100.10 mtu 4000",
    "a name, and the MTU of its own default route",
  ],
  [V4, { iface: ["eth9", "eth1", "eth0"] }, "eth1 9000, 198.51.100.10 mtu 4000", "the first that fits"],
  [
    V4,
    { iface: ["empty", "eth0"] },
    "eth0 1500, 192.0.2.10 mtu 1400",
    "a link without addresses does not fit",
  ],
  [V4, { iface: ["lo", "eth0"] }, "eth0 1500, 192.0.2.10 mtu 1400", "a loopback address does not fit"],
  [V4, { iface: ["tun0", "eth0"] }, "eth0 1500, 192.0.2.10 mtu 1400", "a link without an MTU does not fit"],
  [V4, { iface: ["192.0.2.11"] }, "eth0 1500, 192.0.2.11 mtu 1400", "an address is taken as it stands"],
  [V4, { iface: ["::ffff:192.0.2.11"] }, "eth0 1500, 192.0.2.11 mtu 1400", "Go takes IPv4-mapped text"],
  [
    V4,
    { iface: [""] },
    "eth0 1500, 192.0.2.10 mtu 1400",
    "an empty one asks for the default route, as in flannel",
  ],
  [V6, { iface: ["fe80::10"] }, "eth0 1500, fe80::10 mtu 1500", "a link-local address can be named"],
  [
    DUAL,
    { iface: ["192.0.2.11"] },
    "eth0 1500, 192.0.2.11 mtu 1400, 2001:db8:1::10 mtu 1500",
    "the other is filled",
  ],
  [
    DUAL,
    { iface: ["2001:db8:2::10"] },
    "eth1 9000, 198.51.100.10 mtu 4000, 2001:db8:2::10 mtu 9000",
    "flannel crashes on an IPv6 address without -public-ipv6",
  ],
  [
    DUAL,
    { iface: ["192.0.2.10"], publicIpv6: ipv6("fe80::10") },
    "eth0 1500, 192.0.2.10 mtu 1400, fe80::10 mtu 1500",
    "a public address of the same link is its address too",
  ],
  [V4, { ifaceRegex: ["^198\\.51"] }, "eth1 9000, 198.51.100.10 mtu 4000", "an address matches"],
  [V4, { ifaceRegex: ["\\.11$"] }, "eth0 1500, 192.0.2.11 mtu 1400", "the one that matches is taken"],
  [V4, { ifaceRegex: ["th1"] }, "eth1 9000, 198.51.100.10 mtu 4000", "a name matches, anywhere in it"],
  [V4, { ifaceRegex: ["(?i)^ETH1$"] }, "eth1 9000, 198.51.100.10 mtu 4000", "RE2 has flags at the head"],
  [
    DUAL,
    { ifaceRegex: ["^192"] },
    "eth0 1500, 192.0.2.10 mtu 1400, 2001:db8:1::10 mtu 1500",
    "an address of one family is enough",
  ],
  [
    V4,
    { ifaceRegex: ["^127", "1$"] },
    "eth0 1500, 192.0.2.11 mtu 1400",
    "no loopback; addresses before names",
  ],
  [
    DUAL,
    { ifaceRegex: ["^(198|2001:db8:2:)"] },
    "eth1 9000, 198.51.100.10 mtu 4000, 2001:db8:2::10 mtu 9000",
    "one link matches in both families",
  ],
  [
    DUAL,
    { ifaceRegex: ["^192|eth1"] },
    "eth1 9000, 198.51.100.10 mtu 4000, 2001:db8:2::10 mtu 9000",
    "an IPv4 address of eth0 is not carried over to eth1, as flannel does",
  ],
  [
    V4,
    { iface: ["eth9"], ifaceRegex: ["eth1"] },
    "eth1 9000, 198.51.100.10 mtu 4000",
    "regexes come after names",
  ],
  [
    V4,
    { ifaceCanReach: ipv4("198.51.100.99") },
    "eth1 9000, 198.51.100.10 mtu 1300",
    "the kernel's own route",
  ],
  [
    V6,
    { ifaceCanReach: ipv6("2001:db8:2::99") },
    "eth1 9000, 2001:db8:2::10 mtu 9000",
    "it prefers no source",
  ],
  [
    DUAL,
    { ifaceCanReach: ipv4("198.51.100.99") },
    "eth1 9000, 198.51.100.10 mtu 1300, 2001:db8:2::10 mtu 9000",
    "the other family is filled",
  ],
  [
    V4,
    { ifaceRegex: ["eth0"], ifaceCanReach: ipv4("198.51.100.99") },
    "eth0 1500, 192.0.2.10 mtu 1400",
    "tried last",
  ],
  [
    V4,
    { publicIp: ipv4("198.51.100.10") },
    "eth1 9000, 198.51.100.10 mtu 4000",
    "a public address names its link",
  ],
  [
    V4,
    { publicIp: ipv4("203.0.113.9") },
    "eth0 1500, 192.0.2.10 as 203.0.113.9 mtu 1400",
    "a NAT's address is only advertised, as by flannel 0.8",
  ],
  [
    V4,
    { publicIp: ipv4("203.0.113.9"), iface: ["eth1"] },
    "eth1 9000, 198.51.100.10 as 203.0.113.9 mtu 4000",
    "the link is named",
  ],
  [
    V6,
    { publicIp: ipv4("198.51.100.10") },
    "eth0 1500, 2001:db8:1::10 mtu 1500",
    "a family not in use is ignored",
  ],
  [
    V6,
    { publicIpv6: ipv6("2001:db8:2::10") },
    "eth1 9000, 2001:db8:2::10 mtu 9000",
    "IPv6 names its link too",
  ],
  [
    DUAL,
    { publicIp: ipv4("203.0.113.9"), publicIpv6: ipv6("2001:db8:9::9") },
    "eth0 1500, 192.0.2.10 as 203.0.113.9 mtu 1400, 2001:db8:1::10 as 2001:db8:9::9 mtu 1500",
    "both are a NAT's",
  ],
];

for (const [families, asked, underlay, why] of chosen) {
  const given = Object.entries(asked).map(([name, value]) =>
    `${name} ${Array.isArray(value) ? value.join(" ") : formatAddress(value as Ipv4 | Ipv6)}`
  );
  const stack = families.map((family) => family === AF_INET ? "IPv4" : "IPv6").join("+");
  Deno.test(`chooseUnderlay() for ${stack} with ${given.join(", ") || "nothing"} is ${underlay}: ${why}`, () => {
    assertEquals(choose(families, asked), underlay);
  });
}

const LINKS = "the links are eth0: [192.0.2.10, 192.0.2.11, 2001:db8:1::10, fe80::10], " +
  "eth1: [198.51.100.10, 2001:db8:2::10], tun0: [203.0.113.1]";
const SPLIT: HostNetwork = { ...HOST, defaultRoutes: [route(AF_INET, 2, 0), route(AF_INET6, 3, 1024)] };
const MULTIPATH: HostNetwork = { ...HOST, defaultRoutes: [route(AF_INET, 0, 0), route(AF_INET, 2, 100)] };

const refused: [families: Family[], asked: Asked, host: HostNetwork, reason: string, why: string][] = [
  [V4, { iface: ["eth9"] }, HOST, "-iface eth9: no link has that name", "there is none"],
  [V4, { iface: ["192.0.2.99"] }, HOST, "-iface 192.0.2.99: no link has that address", "there is none"],
  [V4, { iface: ["empty"] }, HOST, "-iface empty: link empty has no usable IPv4 address", "it has none"],
  [V4, { iface: ["tun0"] }, HOST, "-iface tun0: link tun0 has no MTU", "nothing can be sent"],
  [
    DUAL,
    { iface: ["empty"] },
    HOST,
    "-iface empty: link empty has no usable IPv4 address, link empty has no usable IPv6 address",
    "both families are missing",
  ],
  [
    V4,
    { iface: ["a"], ifaceRegex: ["^b$"], ifaceCanReach: ipv4("192.0.2.200") },
    HOST,
    "-iface a: no link has that name; -iface-regex ^b$: no address or name matches; " +
    "-iface-can-reach 192.0.2.200: there is no route to it",
    "every way is told",
  ],
  [
    V4,
    { ifaceCanReach: ipv4("203.0.113.99") },
    HOST,
    "203.0.113.99: its route has no link",
    "it is a blackhole",
  ],
  [
    V4,
    {},
    { ...HOST, defaultRoutes: [] },
    "no -iface is given: there is no IPv4 default route; name a link with -iface",
    "nothing leads out",
  ],
  [
    DUAL,
    {},
    { ...HOST, defaultRoutes: [] },
    "there is no IPv4 or IPv6 default route",
    "both are missing",
  ],
  [
    DUAL,
    {},
    SPLIT,
    "the IPv4 and IPv6 default routes leave by eth0 and eth1; name a link",
    "one link carries all",
  ],
  [V4, {}, MULTIPATH, "the IPv4 default route has no single link; name one with -iface", "it is multipath"],
  [
    DUAL,
    { iface: ["192.0.2.10"], publicIpv6: ipv6("2001:db8:2::10") },
    HOST,
    "-iface 192.0.2.10: -public-ipv6 2001:db8:2::10 is on eth1, not on eth0",
    "they are on two links",
  ],
];

for (const [families, asked, host, reason, why] of refused) {
  Deno.test(`chooseUnderlay() says "${reason}" when ${why}`, () => {
    const error = assertThrows(() => choose(families, asked, host), UnderlayError, reason);
    assertEquals(error.message.includes("\n"), false);
    if (host === HOST) assertEquals(error.message.endsWith(`; ${LINKS}`), true, error.message);
  });
}

Deno.test("chooseUnderlay() goes on with one family where the other has no address, and says so", () => {
  const host = { ...HOST, links: [link(4, "tun0")] };
  const { addresses, shortfalls } = chooseUnderlay(host, { iface: ["tun0"], ifaceRegex: [], families: DUAL });
  assertEquals(addresses.map(({ address }) => formatAddress(address)), ["203.0.113.1"]);
  assertEquals(shortfalls, ["link tun0 has no usable IPv6 address"]);
});

Deno.test("chooseUnderlay() takes the addresses of both families where only one has a default route", () => {
  const host = { ...HOST, defaultRoutes: [route(AF_INET, 2, 0)] };
  assertEquals(choose(DUAL, {}, host), "eth0 1500, 192.0.2.10 mtu 1500, 2001:db8:1::10 mtu 1500");
});

Deno.test("chooseUnderlay() refuses a wrong regular expression even where a name fits", () => {
  assertThrows(
    () => choose(V4, { iface: ["eth0"], ifaceRegex: ["eth("] }),
    UsageError,
    '-iface-regex "eth(": ',
  );
});

Deno.test("chooseUnderlay() says what the link reaches without a gateway, each prefix once", () => {
  const { addresses } = chooseUnderlay(HOST, { iface: ["eth0"], ifaceRegex: [], families: DUAL });
  assertEquals(addresses.map(({ segments }) => segments.map(formatPrefix)), [
    ["192.0.2.0/24"],
    ["fe80::/64", "2001:db8:1::/64"],
  ]);
});
