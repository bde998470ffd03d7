import { assertEquals } from "@std/assert";
import { type Address, AF_INET, parseAddress, parseMac, parsePrefix } from "../../../src/model/address.ts";
import type { ObservedAddress, ObservedLink } from "../../../src/model/state.ts";
import { judgeKernel } from "../../../src/command/status/kernel_judge.ts";
import type { KernelRoute, KernelState, KernelVtep } from "../../../src/command/status/kernel_state.ts";

const MAC = "0e:2a:00:00:00:02";
const OTHER_MAC = "0e:2a:00:00:00:05";
const ETH0: ObservedLink = {
  linkIndex: 2,
  name: "eth0",
  isUp: true,
  mtuBytes: 1500,
  mac: parseMac("02:00:00:00:00:01"),
  kind: undefined,
  vxlan: undefined,
};
const LINK: ObservedLink = {
  ...ETH0,
  linkIndex: 3,
  name: "flannel.1",
  kind: "vxlan",
  vxlan: {
    vni: 1,
    port: 8472,
    local: parseAddress("192.0.2.1"),
    underlayLinkIndex: 2,
    learning: false,
    gbp: false,
    isForeign: false,
  },
};
const CNI0: ObservedLink = { ...ETH0, linkIndex: 4, name: "cni0", kind: "bridge" };
const ENV = {
  networks: [parsePrefix("10.244.0.0/16")],
  subnets: [parsePrefix("10.244.1.0/24")],
  mtuBytes: 1450,
  backendType: "vxlan",
};

function route(number: number, linkIndex = 3, gateway?: string): KernelRoute {
  return {
    destination: `10.244.${number}.0/24`,
    linkIndex,
    gateway: parseAddress(gateway ?? `10.244.${number}.0`),
  };
}

const on = (linkIndex: number, address: string, length: number): ObservedAddress => ({
  linkIndex,
  family: AF_INET,
  address: parseAddress(address),
  length,
  scope: 0,
  flags: 0,
});

const NEIGHBOURS: ReadonlyMap<Address, string> = new Map([[parseAddress("10.244.2.0"), MAC]]);
const VTEP: KernelVtep = {
  link: LINK,
  family: AF_INET,
  routes: [route(2)],
  neighbours: NEIGHBOURS,
  fdb: new Map([[MAC, parseAddress("192.0.2.2")]]),
};
const WELL: KernelState = {
  links: [ETH0, LINK, CNI0],
  addresses: [on(2, "192.0.2.1", 24), on(3, "10.244.1.0", 32), on(4, "10.244.1.1", 24)],
  vteps: [VTEP],
  direct: [route(3, 2, "192.0.2.3")],
  bridge: CNI0,
};

const cases: [why: string, state: Partial<KernelState>, faults: string[]][] = [
  ["all is as it was left", {}, []],
  ["no pod was ever started", { bridge: undefined }, []],
  [
    "the VTEP is gone",
    { vteps: [] },
    ["there is no VTEP, though the subnet file says vxlan: no packet gets to another host"],
  ],
  [
    "the VTEP is down, which is the cause of all else",
    {
      vteps: [{ ...VTEP, link: { ...LINK, isUp: false }, routes: [], neighbours: new Map(), fdb: new Map() }],
    },
    ["flannel.1 is down, so that its routes are gone: ip link set flannel.1 up"],
  ],
  [
    "the underlay's link is down",
    { links: [{ ...ETH0, isUp: false }, LINK, CNI0], direct: [] },
    ["eth0, which flannel.1 sends by, is down"],
  ],
  [
    "the host has another address than the VTEP sends from",
    { addresses: [on(2, "192.0.2.9", 24), on(3, "10.244.1.0", 32), on(4, "10.244.1.1", 24)] },
    ["flannel.1 sends from 192.0.2.1, which is no address of this host any more"],
  ],
  [
    "the VTEP has lost its address",
    { addresses: [on(2, "192.0.2.1", 24), on(4, "10.244.1.1", 24)] },
    ["flannel.1 has no address of its own, so that what this host itself sends to pods has a wrong source"],
  ],
  [
    "seven neighbours are missing",
    { vteps: [{ ...VTEP, routes: [2, 10, 11, 12, 13, 14, 15, 16].map((number) => route(number)) }] },
    [
      "no neighbour on flannel.1 for the next hop of 10.244.10.0/24, 10.244.11.0/24, 10.244.12.0/24, 10.244.13.0/24, " +
      "10.244.14.0/24 and 2 more: packets there are dropped",
    ],
  ],
  [
    "an FDB entry is missing",
    { vteps: [{ ...VTEP, fdb: new Map() }] },
    ["no FDB entry on flannel.1 for the neighbour 10.244.2.0: its packets are dropped"],
  ],
  [
    "a route is missing whose neighbour and FDB entry are there",
    { vteps: [{ ...VTEP, routes: [] }] },
    ["no route over flannel.1 by the neighbour 10.244.2.0: packets for its host's pods go elsewhere"],
  ],
  [
    "a route is missing, and another one stays",
    {
      vteps: [{
        ...VTEP,
        neighbours: new Map([...NEIGHBOURS, [parseAddress("10.244.5.0"), OTHER_MAC]]),
        fdb: new Map([...VTEP.fdb, [OTHER_MAC, parseAddress("192.0.2.5")]]),
      }],
    },
    ["no route over flannel.1 by the neighbour 10.244.5.0: packets for its host's pods go elsewhere"],
  ],
  [
    "of what leads to a host the FDB entry alone is there",
    { vteps: [{ ...VTEP, fdb: new Map([...VTEP.fdb, [OTHER_MAC, parseAddress("192.0.2.5")]]) }] },
    [
      "no neighbour on flannel.1 has the MAC of the FDB entry to 192.0.2.5 (0e:2a:00:00:00:05): nothing leads there",
    ],
  ],
  [
    "somebody's FDB entry for all that has no other is there",
    { vteps: [{ ...VTEP, fdb: new Map([...VTEP.fdb, ["00:00:00:00:00:00", parseAddress("192.0.2.5")]]) }] },
    [],
  ],
  [
    "an FDB entry leads nowhere",
    { vteps: [{ ...VTEP, fdb: new Map([[MAC, undefined]]) }] },
    ["no FDB entry on flannel.1 for the neighbour 10.244.2.0: its packets are dropped"],
  ],
  [
    "the link of a direct route has moved to another segment",
    { direct: [route(3, 2, "198.51.100.3")] },
    ["the link of the route to 10.244.3.0/24 is down, or no longer on the segment of its next hop"],
  ],
  [
    "a route leads nowhere by intent",
    { direct: [{ ...route(1), linkIndex: undefined, gateway: undefined }] },
    [],
  ],
  ["the pods' bridge is down", { bridge: { ...CNI0, isUp: false } }, [
    "cni0 is down: no pod gets a packet out",
  ]],
  [
    "the pods' bridge has an address of another subnet",
    { addresses: [on(2, "192.0.2.1", 24), on(3, "10.244.1.0", 32), on(4, "10.244.9.1", 24)] },
    ["cni0 has no address of 10.244.1.0/24, so that pods have no gateway"],
  ],
];

for (const [why, state, faults] of cases) {
  Deno.test(`judgeKernel() finds ${faults.length} faults when ${why}`, () => {
    assertEquals(judgeKernel({ ...WELL, ...state }, ENV), faults);
  });
}

Deno.test("judgeKernel() asks for nothing that a missing subnet file might have said", () => {
  assertEquals(judgeKernel({ ...WELL, vteps: [], direct: [], bridge: undefined }, undefined), []);
  assertEquals(judgeKernel({ ...WELL, vteps: [] }, { ...ENV, backendType: "host-gw" }), []);
});
