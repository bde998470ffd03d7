import { assertEquals } from "@std/assert";
import { NO_SLOT } from "../../src/model/rows.ts";
import type { DesiredState, ObservedTables, StateTables } from "../../src/model/state.ts";
import type { Table } from "../../src/model/table.ts";
import { findForeign, isTakable } from "../../src/reconcile/foreign_routes.ts";
import { planTables } from "../../src/reconcile/plan.ts";
import { fdbTable, neighbourTable, routeTable, type RouteText } from "../netlink/golden.ts";
import { desired, noTables, OWN, VTEP } from "./desired.ts";

const RTPROT_KERNEL = 2;
const RTPROT_STATIC = 4;

/** What one peer takes, `third` in the third octet of its subnet. */
function peer(third: number, mac: string): StateTables {
  const gateway = `10.244.${third}.0`;
  return {
    neighbours: neighbourTable([{ address: gateway, mac }]),
    fdb: fdbTable([{ mac, to: `192.0.2.${third}` }]),
    routes: routeTable([{ to: `${gateway}/24`, via: gateway, onlink: true, metric: third + 1 }]),
  };
}

function steps(
  state: DesiredState,
  tables: StateTables,
  foreignRoutes: Table = routeTable([]),
  takesForeign = false,
): string[] {
  const found: ObservedTables = { ...tables, foreignRoutes };
  const foreign = findForeign(state.routes, foreignRoutes, []);
  const taken = new Set(foreign.filter((hit) => takesForeign && isTakable(foreignRoutes, hit)));
  return planTables(state, found, { foreign, taken }).map(({ table, operation, rows, indices }) => {
    const side = rows === state[table] ? "desired" : rows === found[table] ? "observed" : "neither";
    return `${operation} ${table} ${side} ${[...indices]}`;
  });
}

Deno.test("planTables() adds what a route needs before it, and deletes the other way round behind all additions", () => {
  const wanted = desired(VTEP, OWN, peer(2, "0e:2a:00:00:00:0a"));
  assertEquals(steps(wanted, peer(3, "0e:2a:00:00:00:0b")), [
    "add neighbours desired 0",
    "add fdb desired 0",
    "add routes desired 0",
    "delete routes observed 0",
    "delete fdb observed 0",
    "delete neighbours observed 0",
  ]);
});

Deno.test("planTables() replaces in place what has another value, and never deletes it first", () => {
  const wanted = desired(VTEP, OWN, {
    ...peer(2, "0e:2a:00:00:00:0a"),
    fdb: fdbTable([{ mac: "0e:2a:00:00:00:0a", to: "192.0.2.77" }]),
    routes: routeTable([{ to: "10.244.2.0/24", via: "192.0.2.2", slot: 1, metric: 3 }]),
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

Deno.test("planTables() puts a route with our metric beside one with another, and then deletes that", () => {
  const gone = { ...noTables(), routes: routeTable([{ to: "10.244.2.0/24", objectId: 0x0af40200 }]) };
  const wanted = desired(VTEP, OWN, { routes: peer(2, "0e:2a:00:00:00:0a").routes });
  assertEquals(steps(wanted, gone), ["add routes desired 0", "delete routes observed 0"]);
});

const FOREIGN: RouteText = { to: "10.244.2.0/24", via: "192.0.2.9", slot: 1, protocol: RTPROT_STATIC };
const SAME: RouteText = { ...FOREIGN, metric: 3 };
const OURS: RouteText = { to: "10.244.2.0/24", via: "10.244.2.0", onlink: true, metric: 3 };

const foreignCases: [
  why: string,
  ours: RouteText[],
  foreign: RouteText[],
  kept: string[],
  taken: string[],
][] = [
  ["it has the place of ours", [], [SAME], [], ["replace routes desired 0"]],
  [
    "it has the place of ours, which stays as it is",
    [OURS],
    [SAME],
    [],
    // As `ip route prepend` puts it before ours.
    ["delete routes neither 0"],
  ],
  ["it is preferred", [], [FOREIGN], ["add routes desired 0"], [
    "add routes desired 0",
    "delete routes neither 0",
  ]],
  [
    "two are in the way",
    [],
    [FOREIGN, SAME],
    [],
    ["replace routes desired 0", "delete routes neither 0"],
  ],
  ["it is behind ours", [], [{ ...FOREIGN, metric: 4 }], ["add routes desired 0"], ["add routes desired 0"]],
  [
    "it is to a part",
    [],
    [{ ...FOREIGN, to: "10.244.2.0/25" }],
    ["add routes desired 0"],
    ["add routes desired 0"],
  ],
  ["the kernel made it", [], [{ ...SAME, protocol: RTPROT_KERNEL }], [], []],
  [
    "the kernel made it, and prefers it",
    [],
    [{ ...FOREIGN, protocol: RTPROT_KERNEL }],
    ["add routes desired 0"],
    ["add routes desired 0"],
  ],
];

for (const [why, ours, foreign, kept, taken] of foreignCases) {
  for (const [takesForeign, expected] of [[false, kept], [true, taken]] as const) {
    const verb = takesForeign ? "takes what it may of" : "leaves";
    Deno.test(`planTables() ${verb} another program's route to a peer's subnet where ${why}`, () => {
      const wanted = desired(VTEP, OWN, { routes: peer(2, "0e:2a:00:00:00:0a").routes });
      const found = { ...noTables(), routes: routeTable(ours) };
      assertEquals(steps(wanted, found, routeTable(foreign), takesForeign), expected);
    });
  }
}

Deno.test("planTables() deletes a foreign route without naming its link, which is in no slot", () => {
  const wanted = desired(VTEP, OWN, { routes: peer(2, "0e:2a:00:00:00:0a").routes });
  // In `slot` of foreign routes is the kernel's index of the link.
  const foreignRoutes = routeTable([{ ...FOREIGN, slot: 0 }]);
  const foreign = findForeign(wanted.routes, foreignRoutes, []);
  const [, deletion] = planTables(wanted, { ...noTables(), foreignRoutes }, {
    foreign,
    taken: new Set(foreign),
  });
  assertEquals(deletion!.rows.words, routeTable([{ ...FOREIGN, slot: NO_SLOT }]).words);
});

Deno.test("planTables() deletes a route of ours that is not as wanted rather than replace it where another has its place", () => {
  const wanted = desired(VTEP, OWN, {
    ...noTables(),
    routes: routeTable([
      { to: "fd00:10:244:2::/64", via: "2001:db8::2", metric: 1024 },
      { to: "fd00:10:244:3::/64", via: "2001:db8::3", metric: 1024 },
    ]),
  });
  const found = {
    ...noTables(),
    routes: routeTable([
      { to: "fd00:10:244:3::/64", via: "2001:db8::7", metric: 1024 },
      { to: "fd00:10:244:2::/64", via: "2001:db8::7", metric: 1024 },
    ]),
  };
  const beside = routeTable([
    { to: "fd00:10:244:2::/64", via: "2001:db8::9", metric: 1024, protocol: 0, isShared: true },
  ]);
  assertEquals(steps(wanted, found, beside), ["replace routes desired 1", "delete routes observed 1"]);
});
