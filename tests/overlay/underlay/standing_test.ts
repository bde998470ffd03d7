import { assertEquals, assertThrows } from "@std/assert";
import {
  AF_INET,
  AF_INET6,
  type Family,
  formatAddress,
  parseAddress,
  parsePrefix,
} from "../../../src/model/address.ts";
import type { ObservedLink } from "../../../src/model/state.ts";
import type { Underlay } from "../../../src/model/underlay.ts";
import type { HostNetwork } from "../../../src/overlay/underlay/host_network.ts";
import type { EarlierChoice, UnderlayOptions } from "../../../src/overlay/underlay/choice_inputs.ts";
import { chooseUnderlay, UnderlayError, weighUnderlay } from "../../../src/overlay/underlay/underlay.ts";
import { address, link, route } from "./hosts.ts";

const PERMANENT = 0x80;
const SECONDARY = 0x01;
const DADFAILED = 0x08;
const DEPRECATED = 0x20;
const TENTATIVE = 0x40;
const DYNAMIC = 0;
const V4: readonly Family[] = [AF_INET];
const V6: readonly Family[] = [AF_INET6];
const DUAL: readonly Family[] = [AF_INET, AF_INET6];

const of = (kind: string, ...[index, name]: Parameters<typeof link>): ObservedLink => ({
  ...link(index, name),
  kind,
});
const down = (index: number, name: string): ObservedLink => ({ ...link(index, name), isUp: false });
const CNI0 = of("bridge", 7, "cni0");
const VTEP = of("vxlan", 8, "flannel.1");
const LINKS = [link(1, "lo", 65536), link(2, "eth0"), link(3, "eth1"), link(4, "tun0", 1400), CNI0, VTEP];
const OWN = [address(7, "10.244.1.1/24"), address(8, "10.244.1.0/32")];
const OWN6 = [address(7, "fd00:10:244:1::1/64"), address(8, "fd00:10:244:1::/128")];
const ETH0 = address(2, "192.0.2.1/24");
const ETH1 = address(3, "198.51.100.1/24");
const TUN0 = address(4, "10.8.0.6/24");
const ETH0_6 = address(2, "2001:db8::1/64");
const BY_ETH0 = route(AF_INET, 2, 100);

type Asked = Partial<UnderlayOptions>;

function options(asked: Asked, families: readonly Family[] = V4): UnderlayOptions {
  const networks = ["10.244.0.0/16", "fd00:10:244::/48"].map(parsePrefix);
  return {
    iface: [],
    ifaceRegex: [],
    families,
    networks,
    vtepNames: ["flannel.1"],
    bridgeName: "cni0",
    ...asked,
  };
}

function host(changes: Partial<HostNetwork> = {}): HostNetwork {
  return { links: LINKS, addresses: [ETH0, ETH1, TUN0, ...OWN], defaultRoutes: [BY_ETH0], ...changes };
}

const shown = ({ linkName, addresses }: Underlay) =>
  [linkName, ...addresses.map(({ address }) => formatAddress(address))].join(" ");

const reach = (linkIndex: number) => () => ({
  linkIndex,
  source: undefined,
  mtuBytes: 0,
  isMtuLearnt: false,
});
const EMPTY = host({ addresses: OWN });

const never: [what: string, asked: Asked, host: HostNetwork, reason: string][] = [
  ["the bridge by name", { iface: ["cni0"] }, host(), "-iface cni0: cni0 is the pods' bridge"],
  ["a VTEP by name", { iface: ["flannel.1"] }, host(), "-iface flannel.1: flannel.1 is a VTEP"],
  [
    "a VTEP of another VNI",
    { iface: ["flannel.7"] },
    host({ links: [...LINKS, of("vxlan", 9, "flannel.7")] }),
    "flannel.7 is a VTEP",
  ],
  [
    "another bridge of pods",
    { iface: ["br5"] },
    host({ links: [...LINKS, of("bridge", 9, "br5")], addresses: [address(9, "10.244.1.1/24")] }),
    "br5 is a bridge of pods: it carries 10.244.1.1",
  ],
  [
    "an address",
    { iface: ["10.244.1.1"] },
    host(),
    "-iface 10.244.1.1: 10.244.1.1 is in the cluster network 10.244.0.0/16",
  ],
  [
    "another address of the bridge",
    { iface: ["192.168.9.9"] },
    host({ addresses: [...OWN, address(7, "192.168.9.9/24")] }),
    "-iface 192.168.9.9: cni0 is the pods' bridge",
  ],
  ["an expression for an address", { ifaceRegex: ["^10\\."] }, EMPTY, "cni0 is the pods' bridge"],
  ["an expression for a name", { ifaceRegex: ["^flan"] }, EMPTY, "-iface-regex ^flan: flannel.1 is a VTEP"],
  [
    "what reaches an address",
    { ifaceCanReach: parseAddress("10.244.2.9") },
    host({ reach: reach(8) }),
    "its route is not the underlay's: flannel.1 is a VTEP",
  ],
  [
    "the default route",
    {},
    host({ defaultRoutes: [route(AF_INET, 7, 0)] }),
    "the IPv4 default route is not the underlay's: cni0 is the pods' bridge",
  ],
  [
    "a public address",
    { publicIp: parseAddress("10.244.1.1") as never },
    host({ defaultRoutes: [] }),
    "there is no IPv4 default route",
  ],
];

for (const [what, asked, network, reason] of never) {
  Deno.test(`chooseUnderlay() never takes what is the overlay's own, asked for by ${what}: ${reason}`, () => {
    assertThrows(() => chooseUnderlay(network, options(asked)), UnderlayError, reason);
  });
}

Deno.test("chooseUnderlay() takes a bridge that carries no pods, and what of a regular expression is not ours", () => {
  const bridged = host({ links: [of("bridge", 2, "br0"), CNI0, VTEP] });
  assertEquals(shown(chooseUnderlay(bridged, options({ iface: ["br0"] }))), "br0 192.0.2.1");
  assertEquals(shown(chooseUnderlay(host(), options({ ifaceRegex: ["^1"] }))), "eth0 192.0.2.1");
  const over = host({ defaultRoutes: [route(AF_INET, 7, 0), BY_ETH0] });
  assertEquals(shown(chooseUnderlay(over, options({}))), "eth0 192.0.2.1");
});

const unusable: [flags: number, asked: Asked, reason: string][] = [
  [DEPRECATED, { iface: ["eth0"] }, "link eth0 has no usable IPv4 address"],
  [TENTATIVE, { iface: ["192.0.2.1"] }, "192.0.2.1 is tentative"],
  [DADFAILED, { iface: ["192.0.2.1"] }, "192.0.2.1 is another host's too"],
];

for (const [flags, asked, reason] of unusable) {
  Deno.test(`chooseUnderlay() says "${reason}" for flags ${flags}`, () => {
    const network = host({ addresses: [address(2, "192.0.2.1/24", flags)] });
    assertThrows(() => chooseUnderlay(network, options(asked)), UnderlayError, reason);
  });
}

Deno.test("chooseUnderlay() takes a deprecated address that a person has named, and no link that is down", () => {
  const deprecated = host({ addresses: [address(2, "192.0.2.1/24", PERMANENT | DEPRECATED)] });
  assertEquals(shown(chooseUnderlay(deprecated, options({ iface: ["192.0.2.1"] }))), "eth0 192.0.2.1");
  const asleep = host({ links: [down(2, "eth0"), link(3, "eth1")] });
  assertEquals(shown(chooseUnderlay(asleep, options({ iface: ["eth0", "eth1"] }))), "eth1 198.51.100.1");
  assertThrows(
    () => chooseUnderlay(asleep, options({ iface: ["eth0"] })),
    UnderlayError,
    "link eth0 is down",
  );
});

const first: [asked: Asked, network: HostNetwork, standing: EarlierChoice, chosen: string, reason: string][] =
  [
    [{}, host(), {}, "eth0 192.0.2.1", "the IPv4 default route with the lowest metric"],
    [{ ifaceRegex: ["^198"] }, host(), {}, "eth1 198.51.100.1", "-iface-regex ^198"],
    [{ iface: ["eth9", "eth1"] }, host(), {}, "eth1 198.51.100.1", "-iface eth1"],
    [
      { publicIp: parseAddress("198.51.100.1") as never },
      host(),
      {},
      "eth1 198.51.100.1",
      "-public-ip 198.51.100.1",
    ],
    [
      {},
      host({ defaultRoutes: [route(AF_INET, 4, 50), BY_ETH0] }),
      { lastAddresses: [parseAddress("192.0.2.1")] },
      "eth0 192.0.2.1",
      "no -iface is given, and what was in use before",
    ],
    [
      { iface: ["eth0"] },
      host({ addresses: [address(2, "192.0.2.7/24"), ETH0] }),
      { lastAddresses: [parseAddress("192.0.2.1")] },
      "eth0 192.0.2.1",
      "-iface eth0, and what was in use before",
    ],
    [
      { iface: ["eth0", "eth1"] },
      host(),
      { lastAddresses: [parseAddress("198.51.100.1")] },
      "eth0 192.0.2.1",
      "-iface eth0",
    ],
    [
      { nodeAddresses: [parseAddress("192.0.2.9")] },
      host({ addresses: [ETH0, address(2, "192.0.2.9/24", SECONDARY)] }),
      {},
      "eth0 192.0.2.9",
      "the IPv4 default route with the lowest metric",
    ],
  ];

for (const [asked, network, standing, chosen, reason] of first) {
  const given = Object.values(asked).flat().map(String).join(" ") || "nothing";
  Deno.test(`weighUnderlay() says that ${chosen} is chosen by "${reason}", first, with ${given}`, () => {
    const { underlay, stays } = weighUnderlay(network, options(asked), standing);
    assertEquals([shown(underlay), underlay.reason, stays], [chosen, reason, undefined]);
  });
}

/** From one host to another, what is chosen, why, and what would stay until the change is proved. */
const changes: [
  what: string,
  families: readonly Family[],
  asked: Asked,
  before: HostNetwork,
  after: HostNetwork,
  chosen: string,
  reason: string | undefined,
  stays?: string,
][] = [
  [
    "a VPN's default route has the better metric",
    V4,
    {},
    host(),
    host({ defaultRoutes: [route(AF_INET, 4, 50), BY_ETH0] }),
    "eth0 192.0.2.1",
    undefined,
  ],
  [
    "a VPN's default route is the only one",
    V4,
    {},
    host(),
    host({ defaultRoutes: [route(AF_INET, 4, 50)] }),
    "tun0 10.8.0.6",
    "eth0 is no way out any more",
    "eth0 192.0.2.1",
  ],
  [
    "the default route has two next hops",
    V4,
    {},
    host(),
    host({ defaultRoutes: [{ ...route(AF_INET, 0, 0), hops: [{ linkIndex: 3 }, { linkIndex: 2 }] }] }),
    "eth0 192.0.2.1",
    undefined,
  ],
  [
    "a virtual IP comes beside a static address",
    V4,
    { iface: ["eth0"] },
    host(),
    host({ addresses: [address(2, "192.0.2.200/32"), ETH0] }),
    "eth0 192.0.2.1",
    undefined,
  ],
  [
    "a virtual IP with a prefix comes beside a DHCP address",
    V4,
    { iface: ["eth0"] },
    host({ addresses: [address(2, "192.0.2.1/24", DYNAMIC)] }),
    host({
      addresses: [address(2, "192.0.2.1/24", DYNAMIC), address(2, "192.0.2.200/24", PERMANENT | SECONDARY)],
    }),
    "eth0 192.0.2.1",
    undefined,
  ],
  [
    "a virtual IP comes in IPv6",
    V6,
    { iface: ["eth0"] },
    host({ addresses: [ETH0_6] }),
    host({ addresses: [address(2, "2001:db8::aaaa/128"), ETH0_6] }),
    "eth0 2001:db8::1",
    undefined,
  ],
  [
    "the real address comes beside a virtual IP",
    V4,
    { iface: ["eth0"] },
    host({ addresses: [address(2, "192.0.2.200/32")] }),
    host({ addresses: [address(2, "192.0.2.200/32"), ETH0] }),
    "eth0 192.0.2.1",
    "192.0.2.1 is better than 192.0.2.200, which has no prefix",
    "eth0 192.0.2.200",
  ],
  [
    "the only address of a cloud is another one",
    V4,
    { iface: ["eth0"] },
    host({ addresses: [address(2, "10.128.0.2/32")] }),
    host({ addresses: [address(2, "10.128.0.9/32")] }),
    "eth0 10.128.0.9",
    "eth0 has lost 10.128.0.2",
  ],
  [
    "the address is deprecated, and there is another",
    V4,
    { iface: ["eth0"] },
    host(),
    host({ addresses: [address(2, "192.0.2.1/24", DEPRECATED), address(2, "192.0.2.9/24")] }),
    "eth0 192.0.2.9",
    "192.0.2.1 is deprecated",
  ],
  [
    "the first of two links is back",
    V4,
    { iface: ["eth0", "eth1"] },
    host({ addresses: [ETH1] }),
    host(),
    "eth0 192.0.2.1",
    "-iface eth0, named before -iface eth1, is back",
    "eth1 198.51.100.1",
  ],
  [
    "the second of two links is back",
    V4,
    { iface: ["eth1", "eth0"] },
    host(),
    host({ addresses: [ETH0] }),
    "eth0 192.0.2.1",
    "eth1 has lost 198.51.100.1",
  ],
  [
    "the first of two links is back with one family of two",
    DUAL,
    { iface: ["eth0", "eth1"] },
    host({ addresses: [ETH1, address(3, "2001:db8:1::1/64")] }),
    host({ addresses: [ETH0, ETH1, address(3, "2001:db8:1::1/64")] }),
    "eth1 198.51.100.1 2001:db8:1::1",
    undefined,
  ],
  [
    "the link is down",
    V4,
    { iface: ["eth0", "eth1"] },
    host(),
    host({ links: [down(2, "eth0"), link(3, "eth1")] }),
    "eth1 198.51.100.1",
    "eth0 is down",
  ],
  [
    "the card is made again, and another link matches as well",
    V4,
    { ifaceRegex: ["^1"] },
    host({ addresses: [ETH0, ETH1] }),
    host({ links: [link(3, "eth1"), link(12, "eth0")], addresses: [ETH1, address(12, "192.0.2.1/24")] }),
    "eth0 192.0.2.1",
    "eth0 is another link now",
  ],
  [
    "another link matches better",
    V4,
    { ifaceRegex: ["^198|^192"] },
    host({ addresses: [ETH0] }),
    host({ links: [link(3, "eth1"), link(2, "eth0")], addresses: [ETH1, ETH0] }),
    "eth0 192.0.2.1",
    undefined,
  ],
  [
    "what can be reached is reached over another link",
    V4,
    { ifaceCanReach: parseAddress("203.0.113.1") },
    host({ reach: reach(2) }),
    host({ reach: reach(4) }),
    "eth0 192.0.2.1",
    undefined,
  ],
  [
    "what can be reached is reached over another link, and there is no default route",
    V4,
    { ifaceCanReach: parseAddress("203.0.113.1") },
    host({ reach: reach(2), defaultRoutes: [] }),
    host({ reach: reach(4), defaultRoutes: [] }),
    "tun0 10.8.0.6",
    "eth0 is no way out any more",
    "eth0 192.0.2.1",
  ],
  [
    "one family's default route moves",
    DUAL,
    {},
    host({ addresses: [ETH0, ETH0_6, ETH1], defaultRoutes: [BY_ETH0, route(AF_INET6, 2, 1024)] }),
    host({
      addresses: [ETH0, ETH0_6, ETH1],
      defaultRoutes: [route(AF_INET, 3, 1), route(AF_INET6, 2, 1024)],
    }),
    "eth0 192.0.2.1 2001:db8::1",
    undefined,
  ],
];

for (const [what, families, asked, before, after, chosen, reason, stays] of changes) {
  Deno.test(`weighUnderlay() has ${chosen} when ${what}`, () => {
    const inUse = chooseUnderlay(before, options(asked, families));
    const choice = weighUnderlay(after, options(asked, families), { inUse, first: [inUse] });
    assertEquals([shown(choice.underlay), choice.stays && shown(choice.stays)], [chosen, stays]);
    if (reason !== undefined) assertEquals(choice.underlay.reason, reason);
    else assertEquals(choice.underlay.addresses, inUse.addresses);
  });
}

Deno.test("weighUnderlay() never follows an address that has a prefix with one that has none", () => {
  const asked = options({ iface: ["eth0"] }, DUAL);
  const inUse = chooseUnderlay(host({ addresses: [ETH0, ETH0_6, ...OWN6] }), asked);
  const vips = [address(2, "192.0.2.200/32"), address(2, "2001:db8::aaaa/128")];
  const half = weighUnderlay(host({ addresses: [ETH0, ...vips] }), asked, { inUse, first: [inUse] });
  assertEquals([shown(half.underlay), half.underlay.shortfalls], [
    "eth0 192.0.2.1",
    ["eth0 has lost 2001:db8::1, which 2001:db8::aaaa/128 can't stand in for"],
  ]);
  assertThrows(
    () => weighUnderlay(host({ addresses: vips }), asked, { inUse, first: [inUse] }),
    UnderlayError,
    "eth0 has lost 192.0.2.1, which 192.0.2.200/32 can't stand in for",
  );
  const node = { ...asked, nodeAddresses: [vips[0]!.address] };
  const known = weighUnderlay(host({ addresses: vips }), node, { inUse, first: [inUse] });
  assertEquals(shown(known.underlay), "eth0 192.0.2.200", "the cluster knows the host by it");
});

Deno.test("weighUnderlay() does not go back to a link that has only a virtual IP left", () => {
  const asked = options({ iface: ["eth0", "eth1"] });
  const first = chooseUnderlay(host(), asked);
  const lost = host({ addresses: [address(2, "192.0.2.200/32"), ETH1] });
  const inUse = weighUnderlay(lost, asked, { inUse: first, first: [first] }).underlay;
  assertEquals(shown(inUse), "eth1 198.51.100.1");
  const { underlay } = weighUnderlay(lost, asked, { inUse, first: [first, inUse] });
  assertEquals(shown(underlay), "eth1 198.51.100.1");
});

Deno.test("weighUnderlay() goes back to what a way led to first, but not for less than there is", () => {
  const asked = options({}, DUAL);
  const defaultRoutes = [BY_ETH0, route(AF_INET, 3, 200), route(AF_INET6, 2, 1), route(AF_INET6, 3, 200)];
  const there = [ETH1, address(3, "2001:db8:1::1/64")];
  const first = chooseUnderlay(host({ addresses: [ETH0, ETH0_6, ...there], defaultRoutes }), asked);
  const gone = host({
    addresses: there,
    defaultRoutes: defaultRoutes.filter(({ linkIndex }) => linkIndex === 3),
  });
  const inUse = weighUnderlay(gone, asked, { inUse: first, first: [first] }).underlay;
  assertEquals(shown(inUse), "eth1 198.51.100.1 2001:db8:1::1");
  const half = weighUnderlay(host({ addresses: [ETH0, ...there], defaultRoutes }), asked, {
    inUse,
    first: [first],
  });
  assertEquals(shown(half.underlay), "eth1 198.51.100.1 2001:db8:1::1");
  const whole = host({ addresses: [ETH0, ETH0_6, ...there], defaultRoutes });
  const back = weighUnderlay(whole, asked, { inUse, first: [first] });
  assertEquals([shown(back.underlay), back.underlay.reason, shown(back.stays!)], [
    "eth0 192.0.2.1 2001:db8::1",
    "192.0.2.1, in use before 198.51.100.1, is back",
    "eth1 198.51.100.1 2001:db8:1::1",
  ]);
});

Deno.test("weighUnderlay() keeps the MTU of a route that is away for a moment, and follows the link's", () => {
  const asked = options({ iface: ["eth0"] });
  const inUse = chooseUnderlay(host({ defaultRoutes: [route(AF_INET, 2, 0, 1400)] }), asked);
  const mtuBytes = (network: HostNetwork) =>
    weighUnderlay(network, asked, { inUse, first: [inUse] }).underlay.addresses[0]!.mtuBytes;
  assertEquals(inUse.addresses[0]!.mtuBytes, 1400);
  assertEquals(mtuBytes(host({ defaultRoutes: [] })), 1400);
  assertEquals(mtuBytes(host({ defaultRoutes: [route(AF_INET, 4, 0, 1300)] })), 1400, "it is another link's");
  assertEquals(mtuBytes(host({ defaultRoutes: [], links: [link(2, "eth0", 1280)] })), 1280);
  assertEquals(mtuBytes(host({ defaultRoutes: [BY_ETH0] })), 1500, "it says none");
});

Deno.test("weighUnderlay() does not shrink for what a router has said of the path to an address", () => {
  const asked = options({ ifaceCanReach: parseAddress("203.0.113.1") });
  const reached = (mtuBytes: number, isMtuLearnt: boolean) =>
    host({ defaultRoutes: [], reach: () => ({ linkIndex: 2, source: undefined, mtuBytes, isMtuLearnt }) });
  const inUse = chooseUnderlay(reached(1400, false), asked);
  const mtuBytes = (network: HostNetwork) =>
    weighUnderlay(network, asked, { inUse, first: [inUse] }).underlay.addresses[0]!.mtuBytes;
  assertEquals([reached(1280, true), reached(1300, false)].map(mtuBytes), [1400, 1300]);
});

Deno.test("weighUnderlay() names the links that carry more than link-local addresses", () => {
  const { carriers } = weighUnderlay(host({ addresses: [ETH0, address(9, "fe80::9/64")] }), options({}), {});
  assertEquals([...carriers], [2]);
});

Deno.test("a host whose only address lies in the cluster network starts with it, and says what that may lead to", () => {
  const inside = host({ addresses: [...OWN, address(2, "10.244.9.1/24")] });
  const asked = options({ iface: ["eth0"] });
  const { underlay } = weighUnderlay(inside, asked, {});
  assertEquals(formatAddress(underlay.addresses[0]!.address), "10.244.9.1");
  assertEquals(
    underlay.caution,
    "10.244.9.1 is in the cluster network 10.244.0.0/16: a host may be given a subnet that takes its place; " +
      "set SubnetMin and SubnetMax so that they leave out the hosts' own addresses",
  );
  const later = weighUnderlay(inside, asked, { inUse: underlay }).underlay;
  assertEquals([later.addresses, later.caution], [underlay.addresses, underlay.caution]);
  const ranges = [{ first: parseAddress("10.244.16.0"), last: parseAddress("10.244.31.255") }];
  assertEquals(
    weighUnderlay(inside, { ...asked, ranges }, {}).underlay.caution,
    undefined,
    "no pods are there",
  );
});

Deno.test("a host that runs never moves to an address in the cluster network", () => {
  const asked = options({ ifaceRegex: ["^(192|10)\\."] });
  const { underlay } = weighUnderlay(host({ addresses: [...OWN, ETH0] }), asked, {});
  const inside = host({ addresses: [...OWN, address(2, "10.244.9.1/24")] });
  assertThrows(() => weighUnderlay(inside, asked, { inUse: underlay }), UnderlayError);
});
