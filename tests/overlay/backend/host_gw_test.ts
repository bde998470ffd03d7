import { assertEquals, assertThrows } from "@std/assert";
import { hostGwBackend, type PlainOptions } from "../../../src/overlay/backend/host_gw.ts";
import { metricOf } from "../../../src/overlay/backend/push_route.ts";
import { formatPrefix, parseAddress, parsePrefix } from "../../../src/model/address.ts";
import type { Lease } from "../../../src/model/lease.ts";
import { ROUTE } from "../../../src/model/rows.ts";
import type { UnderlayAddress } from "../../../src/model/underlay.ts";
import { leaseOf, lines, NETWORKS, underlay, underlayAddress } from "./values.ts";

const HERE = underlayAddress("192.0.2.1");
const HERE6 = underlayAddress("2001:db8::1");
const lease = (host: string, ...parts: [subnet: string, underlay: string][]) =>
  leaseOf("host-gw", host, ...parts);
const OWN = lease("a", ["10.244.1.0/24", "192.0.2.1"], ["fd00:10:244:1::/64", "2001:db8::1"]);
const PEER = lease("b", ["10.244.2.0/24", "192.0.2.2"], ["fd00:10:244:2::/64", "2001:db8::2"]);
const SEED = { existingMac: () => undefined, older: () => [], randomMac: 2 as never };

function backend(options: PlainOptions = {}) {
  return hostGwBackend(options, { networks: NETWORKS });
}

Deno.test("desire() asks for a route through the peer itself, in each family", () => {
  const { state, faults } = backend().desire(underlay(HERE, HERE6), OWN, [PEER]);
  assertEquals(lines(state), [
    "route 10.244.2.0/24 dev eth0",
    "route fd00:10:244:2::/64 dev eth0",
  ]);
  assertEquals([state.addresses, faults], [[], []]);
});

Deno.test("desire() ignores members of another backend, as flannel does", () => {
  for (const backendType of ["vxlan", "", "wireguard"]) {
    const { state, faults } = backend().desire(underlay(HERE), OWN, [{ ...PEER, backendType }]);
    assertEquals([lines(state), faults], [[], []]);
  }
});

const halves: [
  why: string,
  addresses: UnderlayAddress[],
  own: Lease,
  networks: string[],
  routes: string[],
][] = [
  ["the underlay has no IPv6 address", [HERE], OWN, ["10.244.0.0/16"], ["route 10.244.2.0/24 dev eth0"]],
  ["the underlay has no IPv4 address", [HERE6], OWN, ["fd00:10:244::/56"], [
    "route fd00:10:244:2::/64 dev eth0",
  ]],
  [
    "the own lease has no IPv6",
    [HERE, HERE6],
    { ...OWN, parts: OWN.parts.slice(0, 1) },
    ["10.244.0.0/16"],
    ["route 10.244.2.0/24 dev eth0"],
  ],
];

for (const [why, addresses, own, networks, routes] of halves) {
  Deno.test(`desire() asks for one family, and nothing of the other may be deleted, when ${why}`, () => {
    const { state, faults } = backend().desire(underlay(...addresses), own, [PEER]);
    assertEquals(lines(state).filter((line) => line.startsWith("route")), routes);
    assertEquals([state.networks.map(formatPrefix), faults], [networks, []]);
  });
}

const refused: [address: string, here: UnderlayAddress, reason: string][] = [
  [
    "198.51.100.2",
    HERE,
    "its underlay address 198.51.100.2 is not on the segment of eth0 (192.0.2.0/24), as host-gw needs; use " +
    "backend vxlan or auto",
  ],
  [
    "192.0.2.2",
    underlayAddress("192.0.2.1", { segments: [] }),
    "its underlay address 192.0.2.2 is not on the segment of eth0 (none), as host-gw needs; use backend vxlan " +
    "or auto",
  ],
  ["192.0.2.1", HERE, "its underlay address 192.0.2.1 is this host's own"],
  [
    "192.0.2.9",
    underlayAddress("192.0.2.1", { advertised: parseAddress("192.0.2.9") }),
    "its underlay address 192.0.2.9 is this host's own",
  ],
  ["192.0.2.0", HERE, "its underlay address 192.0.2.0 is not one of a host"],
  ["192.0.2.255", HERE, "its underlay address 192.0.2.255 is not one of a host"],
];

for (const [address, here, reason] of refused) {
  Deno.test(`desire() leaves out one peer, and no other: ${reason}`, () => {
    const bad = lease("b", ["10.244.2.0/24", address]);
    const good = lease("c", ["10.244.3.0/24", "192.0.2.3"]);
    const { state, faults } = backend().desire(underlay(here), OWN, [
      bad,
      ...here.segments.length > 0 ? [good] : [],
    ]);
    assertEquals(faults.map(({ host, reason }) => ({ host, reason })), [{ host: "b", reason }]);
    assertEquals(state.routes.count, here.segments.length);
  });
}

Deno.test("desire() leaves one family of a peer out, and routes to the other", () => {
  const peer = lease("b", ["10.244.2.0/24", "198.51.100.2"], ["fd00:10:244:2::/64", "2001:db8::2"]);
  const { state, faults } = backend().desire(underlay(HERE, HERE6), OWN, [peer]);
  assertEquals(lines(state), ["route fd00:10:244:2::/64 dev eth0"]);
  assertEquals(faults.length, 1);
});

const twoHosts: [segment: string, address: string][] = [["192.0.2.0/31", "192.0.2.0"], [
  "2001:db8::/127",
  "2001:db8::",
]];

for (const [segment, address] of twoHosts) {
  Deno.test(`desire() takes both addresses of the segment ${segment} for hosts`, () => {
    const here = underlayAddress(`${address}`.replace(/[0:]$/, (end) => end === "0" ? "1" : ":1"), {
      segments: [parsePrefix(segment)],
    });
    const subnet = here.family === 2 ? "10.244.2.0/24" : "fd00:10:244:2::/64";
    const { state, faults } = backend().desire(underlay(here), OWN, [lease("b", [subnet, address])]);
    assertEquals([state.routes.count, faults], [1, []]);
  });
}

Deno.test("desire() routes to two peers at one address", () => {
  const peers = [lease("b", ["10.244.2.0/24", "192.0.2.2"]), lease("c", ["10.244.3.0/24", "192.0.2.2"])];
  assertEquals(lines(backend().desire(underlay(HERE), OWN, peers).state), [
    "route 10.244.2.0/24 dev eth0",
    "route 10.244.3.0/24 dev eth0",
  ]);
});

const metrics: [subnet: string, metric: number, why: string][] = [
  ["10.244.0.0/24", 1, "none is 0, which would be no metric"],
  ["10.244.2.0/24", 3, "the third octet counts"],
  ["10.244.255.0/24", 256, "there are 256"],
  ["10.245.2.0/24", 3, "they come round"],
  ["10.244.2.16/28", 34, "the last bits of a longer subnet count"],
  ["255.255.255.255/32", 256, "a word is unsigned"],
  ["10.0.0.0/8", 11, "a short subnet has few"],
  ["0.0.0.0/0", 1, "no bits are no reason to fail"],
  ["fd00:10:244:2::/64", 1024, "the kernel makes that of an IPv6 route without one"],
  ["::/0", 1024, "of any length"],
];

for (const [subnet, metric, why] of metrics) {
  Deno.test(`metricOf() is ${metric} of ${subnet}: ${why}`, () => {
    assertEquals(metricOf(parsePrefix(subnet)), metric);
  });
}

Deno.test("desire() spreads metrics evenly over the subnets of a network", () => {
  const peers = Array.from({ length: 512 }, (_, n) => {
    const subnet = `10.244.${n >> 2}.${(n & 3) << 6}/26`;
    return lease(`peer ${n}`, [subnet, "192.0.2.2"]);
  });
  const { words, count } = backend().desire(underlay(HERE), OWN, peers).state.routes;
  const uses = new Map<number, number>();
  for (let row = 0; row < count; row++) {
    const metric = words[row * ROUTE.words + ROUTE.metric]!;
    uses.set(metric, (uses.get(metric) ?? 0) + 1);
  }
  assertEquals([uses.size, [...new Set(uses.values())]], [256, [2]]);
});

Deno.test("overlayMtuBytes() is the underlay's, the smaller of two families', or what is configured", () => {
  const both = underlay(HERE, underlayAddress("2001:db8::1", { mtuBytes: 1400 }));
  assertEquals(backend().overlayMtuBytes(underlay(HERE)), 1500);
  assertEquals(backend().overlayMtuBytes(both), 1400);
  assertEquals(backend({ mtuBytes: 1300 }).overlayMtuBytes(both), 1300);
});

Deno.test("advertise() publishes the addresses and no data", () => {
  assertEquals(backend().advertise(underlay(HERE, HERE6), undefined, SEED), [
    { underlayAddress: parseAddress("192.0.2.1"), backendData: null },
    { underlayAddress: parseAddress("2001:db8::1"), backendData: null },
  ]);
});

Deno.test("advertise() publishes another address of the segment, and refuses one behind NAT", () => {
  const advertise = (advertised: string) =>
    backend().advertise(
      underlay(underlayAddress("192.0.2.1", { advertised: parseAddress(advertised) })),
      undefined,
      SEED,
    );
  assertEquals(advertise("192.0.2.77")[0]?.underlayAddress, parseAddress("192.0.2.77"));
  assertThrows(
    () => advertise("203.0.113.9"),
    Error,
    "Cannot advertise 203.0.113.9: host-gw needs an address on the segment of the link, which has 192.0.2.1; " +
      "advertise that one, or use backend vxlan",
  );
});
