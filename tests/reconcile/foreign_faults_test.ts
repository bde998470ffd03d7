import { assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import type { PeerFault } from "../../src/overlay/backend/backend.ts";
import { AF_INET, AF_INET6, formatPrefix, parseAddress, type Prefix } from "../../src/model/address.ts";
import type { Table } from "../../src/model/table.ts";
import { ForeignFaults, type WantedRoutes } from "../../src/reconcile/foreign_faults.ts";
import { findForeign } from "../../src/reconcile/foreign_routes.ts";
import { routeTable, type RouteText } from "../netlink/golden.ts";

const HOSTS: Readonly<Record<string, string>> = { "10.244.2.0/24": "b", "fd00:10:244:2::/64": "b" };

const routes = routeTable([
  { to: "10.244.2.0/24", via: "10.244.2.0", metric: 3 },
  { to: "10.244.3.0/24", via: "10.244.3.0", metric: 4 },
  { to: "fd00:10:244:2::/64", via: "fd00:10:244:2::", metric: 1024 },
]);

const LEFT_OUT: readonly PeerFault[] = [{ host: "z", reason: "by the backend" }];

const REACH = ([2, 10] as const).map((family) => ({ family, peers: 300, reached: 300 }));

/** How many peers are not reached, in both families. */
function lostOf({ reach }: { readonly reach: WantedRoutes["reach"] }): number {
  return reach.reduce((lost, { peers, reached }) => lost + peers - reached, 0);
}

function wantedOf(table: Table = routes, faults = LEFT_OUT): WantedRoutes {
  return {
    state: { routes: table },
    faults,
    reach: REACH,
    hostOf: (subnet: Prefix) => HOSTS[formatPrefix(subnet)],
  };
}

function join(
  faults: ForeignFaults,
  foreign: readonly RouteText[],
  wanted = wantedOf(),
): readonly PeerFault[] {
  const table = routeTable(foreign);
  return faults.join(wanted, table, findForeign(wanted.state.routes, table, [])).faults;
}

const named = () => new ForeignFaults((linkIndex) => linkIndex === 2 ? "eth0" : undefined);

const texts: [why: string, foreign: RouteText, host: string, reason: string][] = [
  [
    "it has the place of ours",
    { to: "10.244.2.0/24", via: "192.0.2.9", slot: 2, metric: 3, protocol: 4 },
    "b",
    "route 10.244.2.0/24 via 192.0.2.9 dev eth0 proto static metric 3, which is not ours, takes the packets for " +
    "10.244.2.0/24; delete it, or let ours take its place with -take-foreign-routes",
  ],
  [
    "it is before ours, to a subnet whose host is not known",
    { to: "10.244.3.0/24", slot: 2, protocol: 3 },
    "10.244.3.0/24",
    "route 10.244.3.0/24 dev eth0 proto boot, which is not ours, takes the packets for 10.244.3.0/24; delete it, " +
    "or let ours take its place with -take-foreign-routes",
  ],
  [
    "it is to a part",
    { to: "fd00:10:244:2::7/128", slot: 9, metric: 7, protocol: 186 },
    "b",
    "route fd00:10:244:2::7/128 dev 9 proto bgp metric 7, which is not ours, takes a part of fd00:10:244:2::/64; " +
    "delete it",
  ],
  [
    "it is the kernel's own",
    { to: "fd00:10:244:2::/64", slot: 2, metric: 256, protocol: 2 },
    "b",
    "route fd00:10:244:2::/64 dev eth0 proto kernel metric 256, which is not ours, takes the packets for " +
    "fd00:10:244:2::/64; it comes with an address of that link: change that, or the peer's subnet",
  ],
];

for (const [why, foreign, host, reason] of texts) {
  Deno.test(`join() says whose packets a foreign route takes, behind those that were left out: ${why}`, () => {
    const family = foreign.to.includes(":") ? AF_INET6 : AF_INET;
    assertEquals(join(named(), [foreign]), [...LEFT_OUT, {
      host,
      reason,
      family,
      taken: why === "it is to a part" ? "part" : "whole",
    }]);
  });
}

const STATIC: RouteText = { to: "10.244.2.0/24", via: "192.0.2.9", slot: 2, protocol: 4 };

Deno.test("join() names a peer's subnet once, for all that is in its way", () => {
  const faults = join(named(), [STATIC, { ...STATIC, metric: 3 }, { ...STATIC, to: "10.244.2.7/32" }]);
  assertEquals(faults.length, 2);
});

Deno.test("join() keeps the identity of its answer while nothing changes, however often the kernel is read", () => {
  const faults = named();
  const first = join(faults, [STATIC]);
  assertStrictEquals(join(faults, [STATIC]), first);
  // Another way to say the same: a route behind ours, which does no harm.
  assertStrictEquals(join(faults, [{ ...STATIC, to: "10.244.3.0/24", metric: 900 }, STATIC]), first);
});

Deno.test("join() answers with what was left out, itself, while nothing is in the way", () => {
  const faults = named();
  assertStrictEquals(join(faults, []), LEFT_OUT);
  join(faults, [STATIC]);
  assertStrictEquals(join(faults, []), LEFT_OUT);
});

const changes: [what: string, foreign: RouteText[], wanted?: WantedRoutes][] = [
  ["the route is another", [{ ...STATIC, via: "192.0.2.10" }]],
  ["the route is of another protocol", [{ ...STATIC, protocol: 186 }]],
  ["there is a second route", [STATIC, { ...STATIC, to: "10.244.3.0/24" }]],
  ["another peer is left out", [STATIC], wantedOf(routes, [{ host: "y", reason: "by the set" }])],
];

for (const [what, foreign, wanted] of changes) {
  Deno.test(`join() has a new answer when ${what}`, () => {
    const faults = named();
    const first = join(faults, [STATIC]);
    const second = join(faults, foreign, wanted);
    assertNotStrictEquals(second, first);
    assertEquals(second.length, 1 + foreign.length);
  });
}

Deno.test("join() has a new answer when what is wanted was asked for anew, as when a subnet gets another host", () => {
  const faults = named();
  const hosts = ["b", "c"].map((host) => {
    const wanted = { ...wantedOf(routes, [...LEFT_OUT]), hostOf: () => host };
    return join(faults, [STATIC], wanted).at(-1)?.host;
  });
  assertEquals(hosts, ["b", "c"]);
});

Deno.test("join() names 200 peers at most", () => {
  const many = Array.from({ length: 300 }, (_, n) => {
    const bytes = parseAddress("10.245.0.0") as number + n * 256;
    return { to: `10.${bytes >>> 16 & 0xff}.${bytes >>> 8 & 0xff}.0/24`, metric: 5 };
  });
  assertEquals(join(named(), many, wantedOf(routeTable(many))).length, 201);
});

Deno.test("join() counts the hosts to whose whole subnet another route leads, named or not", () => {
  const cutOff = (foreign: readonly RouteText[], wanted = wantedOf()) => {
    const table = routeTable(foreign);
    return lostOf(named().join(wanted, table, findForeign(wanted.state.routes, table, [])));
  };
  assertEquals(cutOff([]), 0);
  assertEquals(cutOff([{ ...STATIC, to: "10.244.2.7/32" }]), 0);
  assertEquals(cutOff([STATIC, { ...STATIC, metric: 3 }, { ...STATIC, to: "10.244.2.7/32" }]), 1);
  const many = Array.from({ length: 250 }, (_, number) => ({ to: `10.244.${number}.0/24` }));
  assertEquals(cutOff(many, wantedOf(routeTable(many))), 250);
});

const shares: [why: string, foreign: readonly Partial<RouteText>[], isCutOff: boolean][] = [
  ["one half", [{ to: "10.244.2.0/25" }], false],
  ["both halves", [{ to: "10.244.2.128/25" }, { to: "10.244.2.0/25" }], true],
  ["one half twice", [{ to: "10.244.2.0/25", metric: 1 }, { to: "10.244.2.0/25", metric: 2 }], false],
  ["parts of parts", [{ to: "10.244.2.0/25" }, { to: "10.244.2.0/26" }, { to: "10.244.2.64/26" }], false],
  ["all four quarters", [0, 64, 128, 192].map((last) => ({ to: `10.244.2.${last}/26` })), true],
  ["all but one address", [...Array(255).keys()].map((last) => ({ to: `10.244.2.${last}/32` })), false],
  ["halves, one of them for some packets", [{ to: "10.244.2.0/25", isSelective: true }, {
    to: "10.244.2.128/25",
  }], false],
  ["both halves of IPv6", [{ to: "fd00:10:244:2::/65" }, { to: "fd00:10:244:2:8000::/65" }], true],
];

for (const [why, foreign, isCutOff] of shares) {
  Deno.test(`join() counts a peer as ${isCutOff ? "cut off" : "reached"} when others' routes take ${why} of its subnet`, () => {
    const wanted = wantedOf();
    const table = routeTable(foreign.map((route) => ({ to: "", slot: 2, protocol: 4, ...route })));
    const joined = named().join(wanted, table, findForeign(wanted.state.routes, table, []));
    assertEquals(lostOf(joined), isCutOff ? 1 : 0);
  });
}
