import { assertEquals } from "@std/assert";
import { vxlanBackend, type VxlanOptions, whyTooNarrow } from "../../../src/overlay/backend/vxlan.ts";
import { AF_INET, formatMac, type Mac, parseAddress, parseMac } from "../../../src/model/address.ts";
import type { Lease } from "../../../src/model/lease.ts";
import type { UnderlayAddress } from "../../../src/model/underlay.ts";
import { leaseOf, lines, NETWORKS, underlay, underlayAddress } from "./values.ts";

const DEFAULTS: VxlanOptions = { vni: 1, port: 8472, gbp: false, learning: false, directRouting: false };

function lease(host: string, ...parts: [subnet: string, underlay: string, data: unknown][]): Lease {
  return leaseOf("vxlan", host, ...parts);
}

const data = (mac: string, VNI: unknown = 1) => ({ VNI, VtepMAC: mac });
const OWN = lease("a", ["10.244.1.0/24", "192.0.2.1", data("0e:2a:00:00:00:01")]);
const PEER = lease("b", ["10.244.2.0/24", "192.0.2.2", data("0e:2a:00:00:00:02")]);

function backend(options: Partial<VxlanOptions> = {}) {
  return vxlanBackend({ ...DEFAULTS, ...options }, { networks: NETWORKS });
}

Deno.test("desire() asks for a neighbour, an FDB entry and a route for a peer", () => {
  const { state, faults } = backend().desire(underlay(underlayAddress("192.0.2.1")), OWN, [PEER]);
  assertEquals(lines(state), [
    "neighbour 10.244.2.0 lladdr 0e:2a:00:00:00:02 dev flannel.1",
    "FDB entry 0e:2a:00:00:00:02 dst 192.0.2.2 dev flannel.1",
    "route 10.244.2.0/24 dev flannel.1",
  ]);
  assertEquals(faults, []);
});

Deno.test("desire() names and addresses a VTEP of each family", () => {
  const own = lease(
    "a",
    ["10.244.1.0/24", "192.0.2.1", data("0e:2a:00:00:00:01")],
    ["fd00:10:244:1::/64", "2001:db8::1", data("0e:2a:00:00:06:01")],
  );
  const both = underlay(underlayAddress("192.0.2.1"), underlayAddress("2001:db8::1"));
  const { state } = backend({ vni: 7 }).desire(both, own, []);
  assertEquals(
    state.links.map((link) => link.kind === "vxlan" && [link.name, link.mtuBytes, formatMac(link.mac)]),
    [["flannel.7", 1450, "0e:2a:00:00:00:01"], ["flannel-v6.7", 1430, "0e:2a:00:00:06:01"]],
  );
  assertEquals(state.addresses, [
    { slot: 0, prefix: { address: parseAddress("10.244.1.0"), length: 32 } },
    { slot: 1, prefix: { address: parseAddress("fd00:10:244:1::"), length: 128 } },
  ]);
});

const mtus: [name: string, options: Partial<VxlanOptions>, addresses: UnderlayAddress[], mtuBytes: number][] =
  [
    ["IPv4 costs 50 bytes", {}, [underlayAddress("192.0.2.1")], 1450],
    ["IPv6 costs 70 bytes", {}, [underlayAddress("2001:db8::1")], 1430],
    ["pods of both families have one MTU", {}, [
      underlayAddress("192.0.2.1"),
      underlayAddress("2001:db8::1"),
    ], 1430],
    ["pods with IPv6 can't have less, whatever IPv4's VTEP has", {}, [
      underlayAddress("192.0.2.1", { mtuBytes: 1300 }),
      underlayAddress("2001:db8::1"),
    ], 1280],
    ["pods without IPv6 can", {}, [underlayAddress("192.0.2.1", { mtuBytes: 1300 })], 1250],
    ["the route's MTU counts", {}, [underlayAddress("192.0.2.1", { mtuBytes: 1400 })], 1350],
    ["the configured MTU is the outer one", { mtuBytes: 9001 }, [underlayAddress("192.0.2.1")], 8951],
  ];

for (const [name, options, addresses, mtuBytes] of mtus) {
  Deno.test(`overlayMtuBytes() is ${mtuBytes}, as ${name}`, () => {
    assertEquals(backend(options).overlayMtuBytes(underlay(...addresses)), mtuBytes);
  });
}

const NEEDS_1350 = "and IPv6 over VXLAN needs 1350 (1280 inside, 70 outside): set it to 1350 or more";
const narrow: [address: string, mtuBytes: number, options: Partial<VxlanOptions>, why: string | undefined][] =
  [
    ["2001:db8::1", 1500, {}, undefined],
    ["2001:db8::1", 1350, {}, undefined],
    ["2001:db8::1", 1349, {}, `the MTU of the IPv6 default route over eth0 is 1349, ${NEEDS_1350}`],
    ["192.0.2.1", 1300, {}, undefined],
    ["2001:db8::1", 1500, { mtuBytes: 1349 }, `the MTU in the configuration is 1349, ${NEEDS_1350}`],
    ["2001:db8::1", 1300, { mtuBytes: 1350 }, undefined],
  ];

for (const [text, mtuBytes, options, why] of narrow) {
  Deno.test(`whyTooNarrow() of ${text} with an MTU of ${mtuBytes} and ${JSON.stringify(options)}: ${why}`, () => {
    const address = underlayAddress(text, { mtuBytes });
    assertEquals(whyTooNarrow(options, underlay(address), address), why);
  });
}

Deno.test("whyTooNarrow() names the link where that is what is too small", () => {
  const address = underlayAddress("2001:db8::1", { mtuBytes: 1349 });
  assertEquals(
    whyTooNarrow({}, { ...underlay(address), mtuBytes: 1349 }, address),
    `the MTU of eth0 is 1349, ${NEEDS_1350}`,
  );
});

const refused: [why: string, peer: Lease, reason: string][] = [
  [
    "there is no backend data",
    lease("b", ["10.244.2.0/24", "192.0.2.2", null]),
    "its backend data holds no unicast VtepMAC",
  ],
  [
    "the MAC is multicast",
    lease("b", ["10.244.2.0/24", "192.0.2.2", data("01:00:5e:00:00:01")]),
    "its backend data holds no unicast VtepMAC",
  ],
  [
    "the MAC is not text",
    lease("b", ["10.244.2.0/24", "192.0.2.2", { VtepMAC: 7 }]),
    "its backend data holds no unicast VtepMAC",
  ],
  [
    "the MAC is a command",
    lease("b", ["10.244.2.0/24", "192.0.2.2", data("$(reboot)")]),
    "its backend data holds no unicast VtepMAC",
  ],
  [
    "the MAC is our own",
    lease("b", ["10.244.2.0/24", "192.0.2.2", data("0e:2a:00:00:00:01")]),
    "its VtepMAC 0e:2a:00:00:00:01 is already that of a",
  ],
  [
    "the VNI is another",
    lease("b", ["10.244.2.0/24", "192.0.2.2", data("0e:2a:00:00:00:02", 9)]),
    "its VNI is 9, this host's is 1",
  ],
];

for (const [why, peer, reason] of refused) {
  Deno.test(`desire() leaves out one peer, and no other, when ${why}`, () => {
    const good = lease("c", ["10.244.3.0/24", "192.0.2.3", data("0e:2a:00:00:00:03")]);
    const { state, faults } = backend().desire(underlay(underlayAddress("192.0.2.1")), OWN, [peer, good]);
    const isContest = why === "the MAC is our own" && { isContest: true as const };
    assertEquals(faults, [{ host: "b", reason, family: AF_INET, ...isContest }]);
    assertEquals(lines(state).at(-1), "route 10.244.3.0/24 dev flannel.1");
    assertEquals(state.routes.count, 1);
  });
}

Deno.test("desire() takes a peer of an old flannel that publishes no VNI", () => {
  const old = lease("b", ["10.244.2.0/24", "192.0.2.2", { VtepMAC: "9A:77:00:00:00:02" }]);
  const { state, faults } = backend().desire(underlay(underlayAddress("192.0.2.1")), OWN, [old]);
  assertEquals([state.routes.count, faults], [1, []]);
});

Deno.test("desire() ignores members of another backend, as flannel does", () => {
  const other = { ...PEER, backendType: "host-gw" };
  const { state, faults } = backend().desire(underlay(underlayAddress("192.0.2.1")), OWN, [other]);
  assertEquals([state.routes.count, faults], [0, []]);
});

Deno.test("desire() routes directly to a peer on the segment, and encapsulates to the others", () => {
  const far = lease("c", ["10.244.3.0/24", "198.51.100.3", data("0e:2a:00:00:00:03")]);
  const { state } = backend({ directRouting: true })
    .desire(underlay(underlayAddress("192.0.2.1")), OWN, [PEER, far]);
  assertEquals(lines(state), [
    "neighbour 10.244.3.0 lladdr 0e:2a:00:00:00:03 dev flannel.1",
    "FDB entry 0e:2a:00:00:00:03 dst 198.51.100.3 dev flannel.1",
    "route 10.244.2.0/24 dev eth0",
    "route 10.244.3.0/24 dev flannel.1",
  ]);
});

const RANDOM = parseMac("0a:00:00:00:00:99");
const EXISTING = parseMac("0a:00:00:00:00:11");
const macs: [
  why: string,
  options: Partial<VxlanOptions>,
  previous: Lease | undefined,
  existing: Mac | undefined,
  mac: string,
][] = [
  ["it was published before", {}, OWN, EXISTING, "0e:2a:00:00:00:01"],
  ["the link is there already", {}, undefined, EXISTING, "0a:00:00:00:00:11"],
  ["a prefix is configured", { macPrefix: 0x0e2a }, undefined, undefined, "0e:2a:c0:00:02:01"],
  ["nothing is known", {}, undefined, undefined, "0a:00:00:00:00:99"],
];

for (const [why, options, previous, existing, mac] of macs) {
  Deno.test(`advertise() publishes ${mac} when ${why}`, () => {
    const seed = { existingMac: () => existing, older: () => [], randomMac: RANDOM };
    assertEquals(backend(options).advertise(underlay(underlayAddress("192.0.2.1")), previous, seed), [
      { underlayAddress: parseAddress("192.0.2.1"), backendData: { VNI: 1, VtepMAC: mac } },
    ]);
  });
}

Deno.test("advertise() publishes the address that others reach, and the VTEP sends from the one on the link", () => {
  const nat = underlayAddress("192.0.2.1", { advertised: parseAddress("203.0.113.9") });
  const seed = { existingMac: () => undefined, older: () => [], randomMac: RANDOM };
  const [part] = backend().advertise(underlay(nat), undefined, seed);
  assertEquals(part?.underlayAddress, parseAddress("203.0.113.9"));
  const { state } = backend().desire(underlay(nat), OWN, []);
  assertEquals(state.links[0]?.kind === "vxlan" && state.links[0].local, parseAddress("192.0.2.1"));
});
