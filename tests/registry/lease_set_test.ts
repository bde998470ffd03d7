import { assertEquals, assertNotEquals, assertStrictEquals } from "@std/assert";
import { LeaseSet } from "../../src/registry/lease_set.ts";
import type { LeaseFault } from "../../src/registry/remote_leases.ts";
import { formatPrefix, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease, LeaseUpdate } from "../../src/model/lease.ts";
import { lease } from "./local/local_world.ts";

const NETWORKS = [parsePrefix("10.244.0.0/16")];
const OWN = lease("me", "10.244.1.0/24", "192.0.2.1");

function setOf(...leases: Lease[]): LeaseSet {
  const set = new LeaseSet();
  set.apply({ kind: "snapshot", leases });
  return set;
}

function hosts(set: LeaseSet): string[] {
  return set.remote(OWN, NETWORKS)!.leases.map(({ host }) => host);
}

/** Two families, the second one in the cluster network only if a test says so. */
function dual(host: string, subnet: string, address: string, subnet6: string, address6: string): Lease {
  const [ipv6] = lease(host, subnet6, address6).parts;
  const ipv4 = lease(host, subnet, address);
  return { ...ipv4, parts: [...ipv4.parts, ipv6!] };
}

Deno.test("LeaseSet.remote() is undefined until the first snapshot, also after updates", () => {
  const set = new LeaseSet();
  assertEquals(set.remote(OWN, NETWORKS), undefined);
  set.apply({ kind: "held", lease: lease("a", "10.244.2.0/24", "192.0.2.2") });
  set.apply({ kind: "released", host: "a" });
  assertEquals(set.remote(OWN, NETWORKS), undefined);
  set.apply({ kind: "snapshot", leases: [] });
  assertEquals(set.remote(OWN, NETWORKS), {
    leases: [],
    faults: [],
    doubts: [],
    isRemembered: false,
    serial: 1,
  });
});

Deno.test("LeaseSet.remote() leaves out the own lease, which is no fault", () => {
  const set = setOf(OWN, lease("a", "10.244.2.0/24", "192.0.2.2"));
  assertEquals(hosts(set), ["a"]);
  assertEquals(set.remote(OWN, NETWORKS)!.faults, []);
  assertEquals(set.of("me"), OWN);
});

Deno.test("LeaseSet.apply() takes over what a later snapshot says of a host that it knew", () => {
  const moved = lease("a", "10.244.2.0/24", "192.0.2.99");
  const set = setOf(lease("a", "10.244.2.0/24", "192.0.2.2"));
  set.apply({ kind: "snapshot", leases: [moved] });
  assertEquals(set.remote(OWN, NETWORKS)!.leases, [moved]);
});

const faulty: [leases: Lease[], faults: LeaseFault[], left: string[], why: string][] = [
  [
    [lease("a", "10.244.1.0/24", "192.0.2.2")],
    [{ host: "a", reason: "subnet 10.244.1.0/24 overlaps ours, 10.244.1.0/24", isContest: true }],
    [],
    "it claims the own subnet",
  ],
  [
    [lease("a", "10.244.0.0/16", "192.0.2.2"), lease("b", "10.244.9.0/24", "192.0.2.3")],
    [{ host: "a", reason: "subnet 10.244.0.0/16 overlaps ours, 10.244.1.0/24" }],
    ["b"],
    "it claims the whole network",
  ],
  [
    [lease("a", "0.0.0.0/0", "192.0.2.2")],
    [{ host: "a", reason: "subnet 0.0.0.0/0 is everything" }],
    [],
    "it claims everything",
  ],
  [
    [lease("a", "10.9.1.0/24", "192.0.2.2")],
    [{ host: "a", reason: "subnet 10.9.1.0/24 is not in the cluster network 10.244.0.0/16" }],
    [],
    "its subnet is elsewhere",
  ],
  [
    [lease("a", "10.0.0.0/8", "192.0.2.2")],
    [{ host: "a", reason: "subnet 10.0.0.0/8 is not in the cluster network 10.244.0.0/16" }],
    [],
    "its subnet is larger than the network",
  ],
  [
    [lease("b", "10.244.2.0/24", "192.0.2.3"), lease("a", "10.244.2.0/24", "192.0.2.2")],
    [{ host: "b", reason: "subnet 10.244.2.0/24 overlaps 10.244.2.0/24 of a" }],
    ["a"],
    "two claim one subnet, and the first by name has it",
  ],
  [
    [
      lease("a", "10.244.128.0/17", "192.0.2.2"),
      lease("b", "10.244.128.0/24", "192.0.2.3"),
      lease("c", "10.244.200.0/24", "192.0.2.4"),
    ],
    [{ host: "a", reason: "subnet 10.244.128.0/17 overlaps 10.244.128.0/24 of b" }],
    ["b", "c"],
    "one that claims half the network shuts out no host",
  ],
  [
    [
      lease("a", "10.244.0.0/17", "192.0.2.2"),
      lease("b", "10.244.64.0/20", "192.0.2.3"),
      lease("c", "10.244.64.0/24", "192.0.2.4"),
      lease("d", "10.244.65.0/24", "192.0.2.5"),
    ],
    [
      { host: "a", reason: "subnet 10.244.0.0/17 overlaps ours, 10.244.1.0/24" },
      { host: "b", reason: "subnet 10.244.64.0/20 overlaps 10.244.64.0/24 of c" },
    ],
    ["c", "d"],
    "prefixes lie in each other three deep",
  ],
  [
    [lease("a", "10.244.2.0/24", "192.0.2.1")],
    [{ host: "a", reason: "underlay address 192.0.2.1 is ours", isContest: true }],
    [],
    "it claims the own underlay address",
  ],
  [
    [lease("a", "10.244.2.128/25", "192.0.2.2"), lease("b", "10.244.2.0/24", "192.0.2.3")],
    [{ host: "a", reason: "subnet 10.244.2.128/25 overlaps 10.244.2.0/24 of b" }],
    ["b"],
    "one that claims half of another's subnet shuts out no host",
  ],
  [
    [lease("b", "10.244.2.0/24", "192.0.2.2"), lease("a", "10.244.3.0/24", "192.0.2.2")],
    [],
    ["a", "b"],
    "two share an underlay address, which hurts neither",
  ],
  ...([
    ["0.0.0.0", "is not the address of a host"],
    ["127.0.0.1", "is a loopback address"],
    ["224.0.0.1", "is a multicast address"],
    ["255.255.255.255", "is a reserved or broadcast address"],
  ].map(([address, what]): [Lease[], LeaseFault[], string[], string] => [
    [lease("a", "10.244.2.0/24", address!)],
    [{ host: "a", reason: `underlay address ${address} ${what}` }],
    [],
    `${address} ${what}`,
  ])),
  [
    [lease("a", "10.244.2.0/24", "10.244.2.5")],
    [{ host: "a", reason: "underlay address 10.244.2.5 lies in its own subnet 10.244.2.0/24" }],
    [],
    "its underlay would run in its own overlay",
  ],
  [
    [{
      ...lease("a", "10.244.2.0/24", "192.0.2.2"),
      parts: lease("a", "10.244.2.0/24", "2001:db8::2").parts,
    }],
    [{ host: "a", reason: "underlay address 2001:db8::2 is not of the family of subnet 10.244.2.0/24" }],
    [],
    "families are mixed",
  ],
  [
    [lease("a", "fd00::/64", "2001:db8::2")],
    [{ host: "a", reason: "no subnet in 10.244.0.0/16" }],
    [],
    "it has another family than this host",
  ],
];

for (const [leases, faults, left, why] of faulty) {
  Deno.test(`LeaseSet.remote() names the fault when ${why}, in any order`, () => {
    for (const order of [leases, leases.toReversed()]) {
      const set = setOf(...order);
      assertEquals(set.remote(OWN, NETWORKS)!.faults, faults);
      assertEquals(hosts(set), left);
    }
  });
}

Deno.test("LeaseSet.remote() names a subnet with host bits, and a second one of a family", () => {
  const bits = { address: parseAddress("10.244.2.9"), length: 24 };
  const [part] = lease("a", "10.244.2.0/24", "192.0.2.2").parts;
  const set = setOf(
    { host: "a", backendType: "vxlan", parts: [{ ...part!, subnet: bits }] },
    { ...lease("b", "10.244.3.0/24", "192.0.2.3"), parts: [part!, { ...part! }] },
  );
  assertEquals(set.remote(OWN, NETWORKS)!.faults, [
    { host: "a", reason: "subnet 10.244.2.9/24 has host bits" },
    { host: "b", reason: "subnet 10.244.2.0/24 is a second one of its family" },
  ]);
});

Deno.test("LeaseSet.remote() keeps the part of a lease that is in order", () => {
  const networks = [...NETWORKS, parsePrefix("fd00:244::/48")];
  const set = setOf(dual("a", "10.244.2.0/24", "192.0.2.1", "fd00:244:0:2::/64", "2001:db8::2"));
  const { leases, faults } = set.remote(OWN, networks)!;
  assertEquals(leases.map(({ parts }) => parts.map(({ subnet }) => formatPrefix(subnet))), [[
    "fd00:244:0:2::/64",
  ]]);
  assertEquals(faults, [{ host: "a", reason: "underlay address 192.0.2.1 is ours", isContest: true }]);
});

Deno.test("LeaseSet.remote() drops in silence the part of a family that is not in use here", () => {
  const set = setOf(dual("a", "10.244.2.0/24", "192.0.2.2", "fd00:244:0:2::/64", "2001:db8::2"));
  const { leases, faults } = set.remote(OWN, NETWORKS)!;
  assertEquals([leases[0]!.parts.length, faults], [1, []]);
});

const a = lease("a", "10.244.2.0/24", "192.0.2.2", { expiresAtMs: 1 });
const unchanged: [update: LeaseUpdate, why: string][] = [
  [{ kind: "held", lease: { ...a, expiresAtMs: 2 } }, "a lease was renewed"],
  [{ kind: "held", lease: structuredClone(a) }, "a lease was repeated"],
  [{ kind: "released", host: "nobody" }, "an unknown host was released"],
  [{ kind: "snapshot", leases: [structuredClone(a)] }, "a snapshot says the same"],
];

for (const [update, why] of unchanged) {
  Deno.test(`LeaseSet.remote() is the same object when ${why}`, () => {
    const set = setOf(a);
    const before = set.remote(OWN, NETWORKS);
    set.apply(update);
    assertStrictEquals(set.remote({ ...OWN, expiresAtMs: 9 }, [...NETWORKS]), before);
  });
}

const changed: [update: LeaseUpdate, why: string][] = [
  [{ kind: "held", lease: lease("b", "10.244.3.0/24", "192.0.2.3") }, "a host joined"],
  [{ kind: "held", lease: lease("a", "10.244.3.0/24", "192.0.2.2") }, "a subnet changed"],
  [{ kind: "held", lease: lease("a", "10.244.2.0/24", "192.0.2.3") }, "an underlay address changed"],
  [{ kind: "held", lease: { ...a, backendType: "host-gw" } }, "a backend type changed"],
  [
    { kind: "held", lease: { ...a, parts: [{ ...a.parts[0]!, backendData: { VNI: 2 } }] } },
    "backend data changed",
  ],
  [{ kind: "released", host: "a" }, "a host left"],
  [{ kind: "snapshot", leases: [] }, "all are gone"],
];

for (const [update, why] of changed) {
  Deno.test(`LeaseSet.remote() is another object when ${why}`, () => {
    const set = setOf(a);
    const before = set.remote(OWN, NETWORKS);
    set.apply(update);
    assertNotEquals(set.remote(OWN, NETWORKS), before);
  });
}

Deno.test("LeaseSet.remote() is made anew when the own lease has moved", () => {
  const set = setOf(a);
  assertEquals(hosts(set), ["a"]);
  assertEquals(set.remote(lease("me", "10.244.2.0/24", "192.0.2.1"), NETWORKS)!.leases, []);
});

Deno.test("LeaseSet takes what is remembered for all there is, until the first snapshot", () => {
  const set = new LeaseSet();
  const remembered = lease("b", "10.244.2.0/24", "192.0.2.2");
  assertEquals(set.isKnown, false);
  set.remember([remembered]);
  assertEquals(set.isKnown, true);
  assertEquals([set.remote(OWN, NETWORKS)!.isRemembered, set.remote(OWN, NETWORKS)!.leases], [true, [
    remembered,
  ]]);
  assertEquals(set.apply({ kind: "released", host: "b" }), false, "a change to the unknown is nothing");
  assertEquals(set.apply({ kind: "snapshot", leases: [remembered] }), true, "now it is known");
  assertEquals([set.remote(OWN, NETWORKS)!.isRemembered, set.remote(OWN, NETWORKS)!.leases], [false, [
    remembered,
  ]]);
  set.remember([]);
  assertEquals(set.of("b"), remembered, "memory never stands over knowledge");
});

Deno.test("LeaseSet.remote() lets the older claim on a subnet stand, whatever the hosts are called", () => {
  const first = lease("z", "10.244.2.0/24", "192.0.2.26", { since: 1 });
  const newcomer = lease("a", "10.244.2.0/24", "192.0.2.2", { since: 2 });
  const reason = "subnet 10.244.2.0/24 overlaps 10.244.2.0/24 of z";
  const seen = setOf(OWN, first);
  seen.apply({ kind: "held", lease: newcomer });
  const listed = setOf(OWN, newcomer, first);
  for (const set of [seen, listed]) {
    assertEquals(hosts(set), ["z"]);
    assertEquals(set.remote(OWN, NETWORKS)!.faults, [{ host: "a", reason }]);
  }
  // Another address, or another MAC, does not make the first one a newcomer.
  seen.apply({ kind: "held", lease: lease("z", "10.244.2.0/24", "192.0.2.99", { since: 1 }) });
  assertEquals(hosts(seen), ["z"]);
});

Deno.test("LeaseSet has who began to publish its data first stand before all others, as the registry tells it", () => {
  const mac = (host: string, since: number, dataSince: number) =>
    lease(host, `10.244.${since}.0/24`, `192.0.2.${since}`, { since, dataSince });
  // The key of `a` is older than that of `b`; what stands in it now came later.
  const [a, b] = [mac("a", 2, 9), mac("b", 3, 3)];
  const order = (set: LeaseSet) => set.all!.map(({ host }) => host);
  assertEquals(order(setOf(a, b)), ["b", "a"]);
  const later = new LeaseSet();
  later.remember([a, b]);
  assertEquals(order(later), ["b", "a"], "also as it is remembered");
  const follower = setOf(mac("a", 2, 2), b);
  assertEquals(order(follower), ["a", "b"]);
  assertEquals(follower.apply({ kind: "held", lease: a }), true);
  assertEquals(order(follower), ["b", "a"]);
  assertEquals(follower.olderThan(a).map(({ host }) => host), ["b"]);
});

Deno.test("LeaseSet.remote() says by whom the own place is contested, as far as that host says who it is", () => {
  const origin = { name: "node7", mac: "52:54:00:00:00:07" };
  const set = setOf(OWN, { ...lease("a", "10.244.2.0/24", "192.0.2.1"), origin });
  assertEquals(set.remote(OWN, NETWORKS)!.faults, [{
    host: "a",
    reason: "underlay address 192.0.2.1 is ours; it is node7 (MAC 52:54:00:00:00:07)",
    isContest: true,
  }]);
});

Deno.test("LeaseSet.remote() names an address that two other hosts publish, and builds upon both", () => {
  const set = setOf(OWN, lease("a", "10.244.2.0/24", "192.0.2.9"), lease("b", "10.244.3.0/24", "192.0.2.9"));
  assertEquals(set.remote(OWN, NETWORKS)!.doubts, ["underlay address 192.0.2.9 is published by a and by b"]);
  assertEquals(hosts(set), ["a", "b"]);
});

Deno.test("LeaseSet.olderThan() is who was there before the own lease; all hosts, while that is not in the set", () => {
  const [a, b] = [lease("a", "10.244.2.0/24", "192.0.2.2"), lease("b", "10.244.3.0/24", "192.0.2.3")];
  const set = setOf(
    { ...b, since: 3, dataSince: 3 },
    { ...OWN, since: 2, dataSince: 2 },
    { ...a, since: 1, dataSince: 1 },
  );
  const older = (own: Lease | undefined) => set.olderThan(own).map(({ host }) => host);
  assertEquals([older(OWN), older(undefined)], [["a"], ["a", "me", "b"]]);
  set.apply({
    kind: "held",
    lease: { ...a, parts: [{ ...a.parts[0]!, backendData: { VNI: 7 } }], since: 1, dataSince: 9 },
  });
  assertEquals(older(OWN), [], "a host that says something new stands behind");
});
