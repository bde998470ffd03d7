import { assertEquals } from "@std/assert";
import { vxlanBackend } from "../../src/overlay/backend/vxlan.ts";
import type { Log } from "../../src/log/log.ts";
import {
  AF_INET,
  type Mac,
  parseAddress,
  parsePrefix,
  type Prefix,
  prefixEquals,
} from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { FDB, NEIGHBOUR, ROUTE } from "../../src/model/rows.ts";
import type { ObservedAddress, ObservedLink } from "../../src/model/state.ts";
import { Table } from "../../src/model/table.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { ENODEV, EPERM } from "../../src/linux/errno.ts";
import { RTM_NEWNEIGH } from "../../src/rtnetlink/neighbour.ts";
import { RTM_NEWROUTE } from "../../src/rtnetlink/route_header.ts";
import { RTM_NEWLINK } from "../../src/rtnetlink/link_header.ts";
import type { Observer } from "../../src/reconcile/observe.ts";
import { ForeignFaults } from "../../src/reconcile/foreign_faults.ts";
import { observeDrift } from "../../src/reconcile/drift.ts";
import { reconcileOnce, type ReconcilerDeps } from "../../src/reconcile/reconciler.ts";
import { routeTable } from "../netlink/golden.ts";
import { answering } from "./answering.ts";

const RTM_GETLINK = 18;

const NETWORKS = [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/48")];

/** A lease of both families, `n` in all of its addresses. */
function dualLease(n: number): Lease {
  const backendData = { VNI: 1, VtepMAC: `0e:2a:00:00:00:0${n}` };
  return {
    host: `host ${n}`,
    backendType: "vxlan",
    parts: [
      {
        subnet: parsePrefix(`10.244.${n}.0/24`),
        underlayAddress: parseAddress(`192.0.2.${n}`),
        backendData,
      },
      {
        subnet: parsePrefix(`fd00:10:244:${n}::/64`),
        underlayAddress: parseAddress(`2001:db8::${n}`),
        backendData,
      },
    ],
  };
}

function desire(remote: readonly Lease[]) {
  const backend = vxlanBackend(
    { vni: 1, port: 8472, gbp: false, learning: false, directRouting: false },
    { networks: NETWORKS },
  );
  const addresses = ["192.0.2.1", "2001:db8::1"].map((text) => {
    const address = parseAddress(text);
    const family = typeof address === "number" ? 2 as const : 10 as const;
    return { family, address, advertised: address, mtuBytes: 1500, segments: [] };
  });
  const underlay = { linkIndex: 2, linkName: "eth0", mtuBytes: 1500, addresses };
  return {
    ...backend.desire(underlay, dualLease(1), remote),
    remoteLeases: remote.length,
    ownSubnets: [],
    reach: [{ family: AF_INET, peers: 1, reached: 1 }] as const,
    families: [AF_INET] as const,
    otherBackends: [],
    doubts: [],
    isRemembered: false,
    hostOf: (wanted: Prefix) =>
      remote.find(({ parts }) => parts.some(({ subnet }) => prefixEquals(subnet, wanted)))?.host,
  };
}

const IPV4_VTEP: ObservedLink = {
  linkIndex: 7,
  name: "flannel.1",
  isUp: true,
  mtuBytes: 1450,
  mac: 0x0e2a00000001 as Mac,
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
const IPV6_VTEP: ObservedLink = {
  ...IPV4_VTEP,
  linkIndex: 8,
  name: "flannel-v6.1",
  mtuBytes: 1430,
  vxlan: { ...IPV4_VTEP.vxlan!, local: parseAddress("2001:db8::1") },
};
const ADDRESSES: readonly ObservedAddress[] = [
  { linkIndex: 7, family: 2, address: parseAddress("10.244.1.0"), length: 32, scope: 0, flags: 0x80 },
  { linkIndex: 8, family: 10, address: parseAddress("fd00:10:244:1::"), length: 128, scope: 0, flags: 0x80 },
];

/** What a look at the kernel finds: the links given, and empty tables. */
function observer(links: readonly (ObservedLink | undefined)[], overrides: Partial<Observer> = {}): Observer {
  const looks: Partial<Observer> = {
    links: () => [...links],
    addresses: () => ADDRESSES.filter(({ linkIndex }) => links.some((link) => link?.linkIndex === linkIndex)),
    tables: () => ({
      neighbours: new Table(NEIGHBOUR),
      fdb: new Table(FDB),
      routes: new Table(ROUTE),
      foreignRoutes: new Table(ROUTE),
    }),
    ...overrides,
  };
  return looks as Observer;
}

interface World {
  readonly deps: ReconcilerDeps;
  /** `RTM_*` of each request. */
  readonly asked: readonly number[];
  readonly said: readonly (readonly unknown[])[];
}

function world(overrides: Partial<ReconcilerDeps> = {}, errnoOf: (type: number) => number = () => 0): World {
  const transport = answering(errnoOf);
  const said: unknown[][] = [];
  const log: Log = { write: (...line) => said.push(line) };
  const deps: ReconcilerDeps = {
    desire: () => desire([]),
    client: new NetlinkClient(transport),
    observer: observer([IPV4_VTEP, IPV6_VTEP]),
    foreignFaults: new ForeignFaults(() => "eth0"),
    linkCreated: () => {},
    now: () => new Date(0),
    elapsedMs: () => 0,
    log,
    ...overrides,
  };
  return { deps, asked: transport.asked, said };
}

/** A look that must not happen. */
function forbidden(): never {
  throw new Error("nothing was to be looked at");
}

Deno.test("reconcileOnce() touches nothing while it is unknown what this host must hold", () => {
  const { deps, asked, said } = world({
    desire: () => undefined,
    observer: observer([], { links: forbidden, addresses: forbidden, tables: forbidden }),
  });
  assertEquals(reconcileOnce(deps), undefined);
  assertEquals([asked, said], [[], []]);
});

Deno.test("reconcileOnce() reports a pass that found all in place, and says so only to who wants every pass", () => {
  const { deps, asked, said } = world();
  const report = reconcileOnce(deps);
  assertEquals(asked, []);
  assertEquals(report, {
    startedAt: new Date(0),
    durationMs: 0,
    planned: 0,
    applied: 0,
    failures: [],
    failureCount: 0,
    isForwarding: true,
    faults: [],
    remoteLeases: 0,
    reach: [{ family: AF_INET, peers: 1, reached: 1 }] as const,
    ownTaken: [],
    fights: [],
    families: [AF_INET] as const,
    otherBackends: [],
    doubts: [],
    isRemembered: false,
  });
  assertEquals(said.map(([level, event]) => [level, event]), [["debug", "pass ended"]]);
});

Deno.test("reconcileOnce() counts one change a kernel object, and says a line a table", () => {
  const { deps, asked, said } = world({ desire: () => desire([dualLease(2), dualLease(3)]) });
  const report = reconcileOnce(deps);
  // Two peers in two families: neighbour, FDB entry and route each.
  assertEquals([report?.planned, report?.failures, report?.remoteLeases], [12, [], 2]);
  assertEquals(asked, [
    ...Array(8).fill(RTM_NEWNEIGH),
    ...Array(4).fill(RTM_NEWROUTE),
  ]);
  const which = {
    neighbours: [
      "neighbour 10.244.2.0 dev flannel.1",
      "neighbour 10.244.3.0 dev flannel.1",
      "neighbour fd00:10:244:2:: dev flannel-v6.1",
    ],
    fdb: [
      "FDB entry 0e:2a:00:00:00:02 dev flannel.1",
      "FDB entry 0e:2a:00:00:00:03 dev flannel.1",
      "FDB entry 0e:2a:00:00:00:02 dev flannel-v6.1",
    ],
    routes: ["route 10.244.2.0/24", "route 10.244.3.0/24", "route fd00:10:244:2::/64"],
  };
  assertEquals(
    said.filter(([level]) => level === "info"),
    Object.entries(which).map(([table, which]) => [
      "info",
      "table changed",
      { table, operation: "add", rows: 4, which },
    ]),
  );
});

Deno.test("reconcileOnce() goes on with the other family's link when one cannot be made, and is forwarding by that", () => {
  const errnoOf = (type: number) => type === RTM_NEWLINK ? EPERM : type === RTM_GETLINK ? ENODEV : 0;
  const { deps, asked, said } = world({
    desire: () => desire([dualLease(2)]),
    observer: observer([undefined, IPV6_VTEP]),
  }, errnoOf);
  const report = reconcileOnce(deps);
  assertEquals(report?.isForwarding, true);
  assertEquals(report?.failures, [
    "Cannot create link flannel.1: EPERM",
    'Cannot use link flannel.1: ENODEV, "it does not exist"',
  ]);
  // The peer's neighbour, FDB entry and route over the IPv6 VTEP; none over the link that is not there.
  assertEquals(asked, [RTM_NEWLINK, RTM_GETLINK, RTM_NEWNEIGH, RTM_NEWNEIGH, RTM_NEWROUTE]);
  assertEquals(report?.planned, 5);
  assertEquals(said.filter(([level]) => level === "warn"), [], "it is told as a condition");
});

Deno.test("reconcileOnce() is not forwarding when no link can be made", () => {
  const { deps } = world(
    { desire: () => desire([dualLease(2)]), observer: observer([undefined, undefined]) },
    (type) => type === RTM_NEWLINK ? EPERM : type === RTM_GETLINK ? ENODEV : 0,
  );
  const report = reconcileOnce(deps);
  assertEquals([report?.isForwarding, report?.failureCount], [false, 4]);
});

Deno.test("reconcileOnce() is forwarding when a row is refused, which hurts one peer, and names the row", () => {
  const { deps } = world(
    { desire: () => desire([dualLease(2)]) },
    (type) => type === RTM_NEWROUTE ? EPERM : 0,
  );
  const report = reconcileOnce(deps);
  assertEquals(report?.isForwarding, true);
  assertEquals([report?.planned, report?.applied, report?.failureCount], [6, 4, 2]);
  assertEquals(report?.failures, [
    "Cannot add route 10.244.2.0/24 dev flannel.1: EPERM",
    "Cannot add route fd00:10:244:2::/64 dev flannel-v6.1: EPERM",
  ]);
});

const looks: [look: "links" | "addresses" | "tables", isForwarding: boolean, why: string][] = [
  ["links", false, "they may not be there"],
  ["addresses", false, "they may not be there"],
  ["tables", true, "the links are in place"],
];

for (const [look, isForwarding, why] of looks) {
  const verdict = isForwarding ? "forwarding" : "not forwarding";
  Deno.test(`reconcileOnce() reports that it could not read the ${look}, and is ${verdict}: ${why}`, () => {
    const fail = () => {
      throw new Error("Cannot read the kernel");
    };
    const { deps, asked } = world({ observer: observer([IPV4_VTEP, IPV6_VTEP], { [look]: fail }) });
    const report = reconcileOnce(deps);
    assertEquals([report?.isForwarding, report?.failures], [isForwarding, ["Cannot read the kernel"]]);
    // It is no change that has failed, and /status must not say -1.
    assertEquals([report?.planned, report?.applied, report?.failureCount], [0, 0, 1]);
    assertEquals(asked, []);
  });
}

Deno.test("reconcileOnce() hands on who was left out", () => {
  const twin = { ...dualLease(3), host: "twin", parts: dualLease(2).parts };
  const { deps } = world({ desire: () => desire([dualLease(2), twin]) });
  assertEquals([...new Set(reconcileOnce(deps)!.faults.map(({ host }) => host))], ["twin"]);
});

/** A look that finds another program's route in the place of that to host 2. */
const occupied = observer([IPV4_VTEP, IPV6_VTEP], {
  tables: () => ({
    neighbours: new Table(NEIGHBOUR),
    fdb: new Table(FDB),
    routes: new Table(ROUTE),
    foreignRoutes: routeTable([
      { to: "10.244.2.0/24", via: "192.0.2.9", slot: 2, metric: 3, protocol: 4 },
    ]),
  }),
});

Deno.test("reconcileOnce() says whose packets a foreign route takes, and is content but for that", () => {
  const { deps, asked } = world({ desire: () => desire([dualLease(2), dualLease(3)]), observer: occupied });
  const report = reconcileOnce(deps)!;
  assertEquals(report.faults, [{
    host: "host 2",
    reason:
      "route 10.244.2.0/24 via 192.0.2.9 dev eth0 proto static metric 3, which is not ours, takes the " +
      "packets for 10.244.2.0/24; delete it, or let ours take its place with -take-foreign-routes",
    family: AF_INET,
    taken: "whole",
  }]);
  assertEquals([report.failureCount, report.isForwarding], [0, true]);
  assertEquals(asked.filter((type) => type === RTM_NEWROUTE).length, 3);
  assertEquals(observeDrift(deps).tables.at(-1)?.indices.length, 3);
});

Deno.test("reconcileOnce() takes the place of a foreign route where it is told to", () => {
  const overrides = { desire: () => desire([dualLease(2)]), observer: occupied, takesForeign: true };
  const { deps, asked, said } = world(overrides);
  assertEquals(reconcileOnce(deps)!.failures, []);
  assertEquals(asked.filter((type) => type === RTM_NEWROUTE).length, 2);
  assertEquals(
    said.filter(([, , fields]) => (fields as { table?: string } | undefined)?.table === "routes"),
    [
      ["info", "table changed", {
        table: "routes",
        operation: "add",
        rows: 1,
        which: ["route fd00:10:244:2::/64"],
      }],
      ["info", "table changed", {
        table: "routes",
        operation: "replace",
        rows: 1,
        which: ["route 10.244.2.0/24"],
      }],
    ],
  );
});

Deno.test("observeDrift() says what a pass would do, and changes nothing", () => {
  const { deps, asked, said } = world({
    desire: () => desire([dualLease(2)]),
    observer: observer([undefined, IPV6_VTEP]),
    linkCreated: forbidden,
  });
  const { links, tables } = observeDrift(deps);
  assertEquals(links.map(({ kind }) => kind), ["create link", "add address"]);
  assertEquals(tables.map(({ table, indices }) => [table, indices.length]), [
    ["neighbours", 2],
    ["fdb", 2],
    ["routes", 2],
  ]);
  assertEquals([asked, said], [[], []]);
});

Deno.test("observeDrift() plans nothing while it is unknown what this host must hold", () => {
  const { deps } = world({ desire: () => undefined });
  const { links, tables, report } = observeDrift(deps);
  assertEquals([links, tables, report], [[], [], undefined]);
});
