import { assertEquals } from "@std/assert";
import { type Ipv4, parseAddress } from "../../src/model/address.ts";
import { NO_SLOT } from "../../src/model/rows.ts";
import type { DesiredState, StateTables } from "../../src/model/state.ts";
import { planTables } from "../../src/reconcile/plan.ts";
import { fdbTable, neighbourTable, nextHopTable, routeTable, type RouteText } from "../netlink/golden.ts";
import { desired, noTables, OWN, VTEP } from "./desired.ts";

const RTPROT_KERNEL = 2;
const RTPROT_BOOT = 3;
const RTPROT_STATIC = 4;
const RTPROT_LODEN = 76;

/** What one peer takes, `third` in the third octet of its subnet. */
function peer(third: number, mac: string): StateTables {
  const gateway = `10.244.${third}.0`;
  return {
    neighbours: neighbourTable([{ address: gateway, mac }]),
    fdb: fdbTable([{ mac, to: `192.0.2.${third}` }]),
    nextHops: nextHopTable([{ id: 0x0af40000 + third * 256, via: gateway, onlink: true }]),
    routes: routeTable([{ to: `${gateway}/24`, nextHopId: 0x0af40000 + third * 256 }]),
  };
}

function steps(state: DesiredState, found: StateTables): string[] {
  return planTables(state, found).map(({ table, operation, rows, indices }) => {
    const side = rows === state[table] ? "desired" : rows === found[table] ? "observed" : "neither";
    return `${operation} ${table} ${side} ${[...indices]}`;
  });
}

Deno.test("planTables() adds what a route needs before it, and deletes the other way round behind all additions", () => {
  const wanted = desired(VTEP, OWN, peer(2, "0e:2a:00:00:00:0a"));
  assertEquals(steps(wanted, peer(3, "0e:2a:00:00:00:0b")), [
    "add neighbours desired 0",
    "add fdb desired 0",
    "add nextHops desired 0",
    "add routes desired 0",
    "delete routes observed 0",
    "delete nextHops observed 0",
    "delete fdb observed 0",
    "delete neighbours observed 0",
  ]);
});

Deno.test("planTables() replaces in place what has another value, and never deletes it first", () => {
  const wanted = desired(VTEP, OWN, {
    ...peer(2, "0e:2a:00:00:00:0a"),
    fdb: fdbTable([{ mac: "0e:2a:00:00:00:0a", to: "192.0.2.77" }]),
    routes: routeTable([{ to: "10.244.2.0/24", via: "10.244.2.0", onlink: true }]),
  });
  assertEquals(steps(wanted, peer(2, "0e:2a:00:00:00:0a")), [
    "replace fdb desired 0",
    "replace routes desired 0",
  ]);
});

Deno.test("planTables() plans nothing for a settled kernel", () => {
  const settled = peer(2, "0e:2a:00:00:00:0a");
  assertEquals(steps(desired(VTEP, OWN, settled), peer(2, "0e:2a:00:00:00:0a")), []);
});

const pruneCases: [route: RouteText, isDeleted: boolean, why: string][] = [
  [{ to: "10.244.9.0/24", protocol: RTPROT_LODEN }, true, "it is ours, and its peer has left"],
  [{ to: "10.244.9.0/24", protocol: RTPROT_BOOT }, true, "flanneld left it on the VTEP"],
  [{ to: "10.244.9.0/24", protocol: RTPROT_STATIC }, false, "an administrator set it"],
  [{ to: "10.244.9.0/24", protocol: RTPROT_KERNEL }, false, "the kernel made it for an address"],
  [{ to: "10.244.9.0/24", slot: 1, protocol: RTPROT_LODEN }, true, "it is a direct route of ours"],
  [{ to: "10.244.9.0/24", slot: 1, protocol: RTPROT_BOOT }, false, "on the underlay anybody says `boot`"],
  [
    { to: "10.244.9.0/24", slot: NO_SLOT, protocol: RTPROT_LODEN },
    true,
    "a former backend or underlay left it",
  ],
  [{ to: "10.244.9.0/24", slot: NO_SLOT, protocol: RTPROT_BOOT }, false, "anybody may have made it"],
  [
    { to: "10.244.1.0/24", slot: NO_SLOT, metric: 0xffff_ffff, type: 6, protocol: RTPROT_LODEN },
    true,
    "it is a blackhole that nobody asks for any more",
  ],
  [{ to: "203.0.113.0/24", protocol: RTPROT_LODEN }, false, "it is outside the cluster networks"],
  [{ to: "10.244.0.0/15", protocol: RTPROT_LODEN }, false, "it is wider than the cluster network"],
  [{ to: "10.244.0.0/16", protocol: RTPROT_BOOT }, true, "it takes the whole cluster network"],
  [{ to: "fd00:10:244:9::/64", metric: 1024, protocol: RTPROT_LODEN }, true, "IPv6 is no different"],
  [{ to: "fd00:10:999::/64", metric: 1024, protocol: RTPROT_LODEN }, false, "it is outside in IPv6, too"],
];

for (const [route, isDeleted, why] of pruneCases) {
  const { to, slot = 0, protocol } = route;
  const where = `proto ${protocol} on ${["the VTEP", "the underlay"][slot] ?? "something else"}`;
  Deno.test(`planTables() ${isDeleted ? "deletes" : "keeps"} a route to ${to} ${where}: ${why}`, () => {
    const found = { ...noTables(), routes: routeTable([route]) };
    assertEquals(steps(desired(VTEP, OWN), found), isDeleted ? ["delete routes observed 0"] : []);
  });
}

const nextHopCases: [id: string, protocol: number, slot: number, isDeleted: boolean, why: string][] = [
  ["10.244.8.0", RTPROT_LODEN, 0, true, "its peer has left"],
  ["10.244.8.0", RTPROT_LODEN, NO_SLOT, true, "it is of a backend or underlay that was given up"],
  ["10.244.8.0", RTPROT_STATIC, 0, false, "others may stand on our link"],
  ["0.0.0.7", RTPROT_LODEN, 1, false, "its id is not of this cluster network, so perhaps of another's agent"],
];

for (const [id, protocol, slot, isDeleted, why] of nextHopCases) {
  const name = `next hop ${id} proto ${protocol} over ${slot === NO_SLOT ? "another link" : `link ${slot}`}`;
  Deno.test(`planTables() ${isDeleted ? "deletes" : "keeps"} ${name}: ${why}`, () => {
    const nextHops = nextHopTable([{ id: parseAddress(id) as Ipv4, via: "192.0.2.9", slot, protocol }]);
    const found = { ...noTables(), nextHops };
    assertEquals(steps(desired(VTEP, OWN), found), isDeleted ? ["delete nextHops observed 0"] : []);
  });
}
