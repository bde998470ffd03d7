import { assert, assertEquals, assertGreaterOrEqual, assertLess } from "@std/assert";
import { vxlanBackend } from "../../src/backend/vxlan.ts";
import type { Log } from "../../src/log/log.ts";
import { type Mac, parseAddress, parsePrefix, type Prefix, prefixEquals } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { FDB, NEIGHBOUR, ROUTE } from "../../src/model/rows.ts";
import type { ObservedAddress, ObservedLink } from "../../src/model/state.ts";
import { Table } from "../../src/model/table.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { ENODEV, EPERM } from "../../src/netlink/errno.ts";
import { RTM_NEWLINK } from "../../src/netlink/link.ts";
import { RTM_NEWNEIGH } from "../../src/netlink/neighbour.ts";
import { RTM_NEWROUTE } from "../../src/netlink/route.ts";
import type { Observer } from "../../src/reconcile/observe.ts";
import { ForeignFaults } from "../../src/reconcile/foreign_faults.ts";
import { observeDrift, reconcileForever, reconcileOnce } from "../../src/reconcile/reconciler.ts";
import type { ReconcilerDeps } from "../../src/reconcile/reconciler.ts";
import type { PassReport } from "../../src/reconcile/report.ts";
import { Trigger } from "../../src/reconcile/trigger.ts";
import { routeTable } from "../netlink/golden.ts";
import { answering } from "./answering.ts";

const RTM_GETLINK = 18;
const DEADLINE_MS = 5000;

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
    reached: 1,
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
  readonly reports: readonly PassReport[];
  readonly said: readonly (readonly unknown[])[];
}

function world(overrides: Partial<ReconcilerDeps> = {}, errnoOf: (type: number) => number = () => 0): World {
  const transport = answering(errnoOf);
  const reports: PassReport[] = [];
  const said: unknown[][] = [];
  const log: Log = { write: (...line) => said.push(line), with: () => log };
  const deps: ReconcilerDeps = {
    desire: () => desire([]),
    client: new NetlinkClient(transport),
    observer: observer([IPV4_VTEP, IPV6_VTEP]),
    foreignFaults: new ForeignFaults(() => "eth0"),
    linkCreated: () => {},
    report: (report) => reports.push(report),
    now: () => new Date(0),
    elapsedMs: () => 0,
    log,
    ...overrides,
  };
  return { deps, asked: transport.asked, reports, said };
}

/** A look that must not happen. */
function forbidden(): never {
  throw new Error("nothing was to be looked at");
}

Deno.test("reconcileOnce() touches nothing while it is unknown what this host must hold", () => {
  const { deps, asked, reports, said } = world({
    desire: () => undefined,
    observer: observer([], { links: forbidden, addresses: forbidden, tables: forbidden }),
  });
  assertEquals(reconcileOnce(deps), undefined);
  assertEquals([asked, reports, said], [[], [], []]);
});

Deno.test("reconcileOnce() reports a pass that found all in place, and says so only to who wants every pass", () => {
  const { deps, asked, reports, said } = world();
  const report = reconcileOnce(deps);
  assertEquals(reports, [report!]);
  assertEquals(asked, []);
  assertEquals(report, {
    startedAt: new Date(0),
    durationMs: 0,
    planned: 0,
    failures: [],
    failureCount: 0,
    isForwarding: true,
    faults: [],
    remoteLeases: 0,
    reached: 1,
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
  assertEquals(said.filter(([level]) => level === "info"), [
    ["info", "table changed", { table: "neighbours", operation: "add", rows: 4 }],
    ["info", "table changed", { table: "fdb", operation: "add", rows: 4 }],
    ["info", "table changed", { table: "routes", operation: "add", rows: 4 }],
  ]);
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
  assertEquals(
    said.filter(([level]) => level === "warn"),
    report!.failures.map((reason) => ["warn", "step failed", { reason }]),
  );
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
  assertEquals([report?.planned, report?.failureCount], [6, 2]);
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
    const { deps, reports, asked } = world({ observer: observer([IPV4_VTEP, IPV6_VTEP], { [look]: fail }) });
    const report = reconcileOnce(deps);
    assertEquals([report?.isForwarding, report?.failures], [isForwarding, ["Cannot read the kernel"]]);
    assertEquals(reports.length, 1);
    assertEquals(asked, []);
  });
}

Deno.test("reconcileOnce() hands on who was left out", () => {
  const twin = { ...dualLease(3), host: "twin", parts: dualLease(2).parts };
  const { deps } = world({ desire: () => desire([dualLease(2), twin]) });
  assertEquals([...new Set(reconcileOnce(deps)!.faults.map(({ host }) => host))], ["twin"]);
});

/** A look that finds somebody else's route in the place of that to host 2. */
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

Deno.test("reconcileOnce() says whose packets somebody else's route takes, and is content but for that", () => {
  const { deps, asked } = world({ desire: () => desire([dualLease(2), dualLease(3)]), observer: occupied });
  const report = reconcileOnce(deps)!;
  assertEquals(report.faults, [{
    host: "host 2",
    reason:
      "route 10.244.2.0/24 via 192.0.2.9 dev eth0 proto static metric 3, which is not ours, takes the " +
      "packets for 10.244.2.0/24; delete it, or let ours take its place with -take-foreign-routes",
  }]);
  assertEquals([report.failureCount, report.isForwarding], [0, true]);
  assertEquals(asked.filter((type) => type === RTM_NEWROUTE).length, 3);
  assertEquals(observeDrift(deps, deps.desire()!.state).tables.at(-1)?.indices.length, 3);
});

Deno.test("reconcileOnce() takes the place of somebody else's route where it is told to", () => {
  const overrides = { desire: () => desire([dualLease(2)]), observer: occupied, takesForeign: true };
  const { deps, asked, said } = world(overrides);
  assertEquals(reconcileOnce(deps)!.failures, []);
  assertEquals(asked.filter((type) => type === RTM_NEWROUTE).length, 2);
  assertEquals(
    said.filter(([, , fields]) => (fields as { table?: string } | undefined)?.table === "routes"),
    [
      ["info", "table changed", { table: "routes", operation: "add", rows: 1 }],
      ["info", "table changed", { table: "routes", operation: "replace", rows: 1 }],
    ],
  );
});

Deno.test("observeDrift() says what a pass would do, and changes nothing", () => {
  const { deps, asked } = world({ observer: observer([undefined, IPV6_VTEP]) });
  const { links, tables } = observeDrift(deps, desire([dualLease(2)]).state);
  assertEquals(links.map(({ kind }) => kind), ["create link", "add address"]);
  assertEquals(tables.map(({ table, indices }) => [table, indices.length]), [
    ["neighbours", 2],
    ["fdb", 2],
    ["routes", 2],
  ]);
  assertEquals(asked, []);
});

/** A trigger that never makes anybody wait; it remembers what it was asked for, and ends the loop. */
class HastyTrigger extends Trigger {
  readonly waits: number[] = [];
  readonly #controller = new AbortController();
  readonly #passes: number;
  readonly signal = this.#controller.signal;

  constructor(passes: number) {
    super();
    this.#passes = passes;
  }

  override next(maxWaitMs: number): Promise<void> {
    this.waits.push(maxWaitMs);
    if (this.waits.length === this.#passes) this.#controller.abort();
    return Promise.resolve();
  }
}

/** Looks that fail or not, one a pass. */
function failing(passes: readonly boolean[]): Observer {
  let pass = 0;
  return observer([IPV4_VTEP, IPV6_VTEP], {
    tables: (...args) => {
      if (passes[pass++]) throw new Error("Cannot read the kernel");
      return observer([]).tables(...args);
    },
  });
}

const retries: [passes: boolean[], resyncMs: number, waits: number[], why: string][] = [
  [[false, false, false], 30_000, [30_000, 30_000, 30_000], "a whole pass is repeated once a period"],
  [[true, true, true, true], 30_000, [100, 200, 400, 800], "a failed one is tried again, later each time"],
  [[true, true, true, true, true], 500, [100, 200, 400, 500, 500], "but at least once a period"],
  [[true, true], 50, [50, 50], "the period may be shorter than the first retry"],
  [[true, true, false, true], 30_000, [100, 200, 30_000, 100], "and success starts over"],
];

for (const [passes, resyncMs, waits, why] of retries) {
  Deno.test(`reconcileForever() waits ${waits.join(", ")} ms at most: ${why}`, async () => {
    const trigger = new HastyTrigger(passes.length);
    const { deps, reports } = world({ observer: failing(passes) });
    await reconcileForever(deps, trigger, { resyncMs, signal: trigger.signal });
    assertEquals(trigger.waits, waits);
    assertEquals(reports.map(({ failureCount }) => failureCount > 0), passes);
  });
}

Deno.test("reconcileForever() looks again soon while what follows a pass is not done", async () => {
  const trigger = new HastyTrigger(4);
  const { deps } = world({});
  let looks = 0;
  const isDone = () => ++looks > 2;
  await reconcileForever(deps, trigger, { resyncMs: 30_000, isDone, signal: trigger.signal });
  assertEquals(trigger.waits, [100, 200, 30_000, 30_000]);
});

Deno.test("reconcileForever() looks again once a period while nothing is known", async () => {
  const trigger = new HastyTrigger(3);
  const { deps } = world({ desire: () => undefined });
  await reconcileForever(deps, trigger, { resyncMs: 30_000, signal: trigger.signal });
  assertEquals(trigger.waits, [30_000, 30_000, 30_000]);
});

Deno.test("reconcileForever() rests as long as each pass took, however many nudges come", async () => {
  const passMs = 30;
  let elapsedMs = 0;
  const trigger = new HastyTrigger(4);
  const { deps } = world({ elapsedMs: () => elapsedMs += passMs });
  const startedMs = performance.now();
  await reconcileForever(deps, trigger, { resyncMs: 30_000, signal: trigger.signal });
  // A timer may come a little early, as clocks round.
  assertGreaterOrEqual(performance.now() - startedMs, 4 * passMs - 4);
});

Deno.test("reconcileForever() makes one pass of a flood of nudges during the one before", async () => {
  const controller = new AbortController();
  const trigger = new Trigger();
  let passes = 0;
  const { deps } = world({
    report: () => {
      passes++;
      if (passes === 1) { for (let nudge = 0; nudge < 1000; nudge++) trigger.nudge(); }
      if (passes === 2) setTimeout(() => controller.abort(), 20);
    },
  });
  await reconcileForever(deps, trigger, { resyncMs: 60_000, signal: controller.signal });
  assertEquals(passes, 2);
});

const ends: [where: string, passMs: number][] = [
  ["waits for a nudge", 0],
  ["rests after a long pass", 60_000],
];

for (const [where, passMs] of ends) {
  Deno.test(`reconcileForever() ends promptly with its signal while it ${where}`, async () => {
    const controller = new AbortController();
    let elapsedMs = 0;
    let passes = 0;
    const { deps } = world({
      elapsedMs: () => elapsedMs += passMs,
      report: () => {
        passes++;
        setTimeout(() => controller.abort(), 5);
      },
    });
    const startedMs = performance.now();
    await reconcileForever(deps, new Trigger(), { resyncMs: 60_000, signal: controller.signal });
    assertLess(performance.now() - startedMs, DEADLINE_MS);
    assertEquals(passes, 1);
  });
}

Deno.test("reconcileForever() makes no pass when its signal has aborted before", async () => {
  const { deps, reports } = world();
  await reconcileForever(deps, new Trigger(), { resyncMs: 1, signal: AbortSignal.abort() });
  assert(reports.length === 0);
});

Deno.test("reconcileForever() fails with what the desired state fails with, for its keeper to say", async () => {
  const { deps } = world({
    desire: () => {
      throw new Error("Cannot tell");
    },
  });
  const failed = await reconcileForever(deps, new Trigger(), {
    resyncMs: 1,
    signal: new AbortController().signal,
  }).catch((error) => error.message);
  assertEquals(failed, "Cannot tell");
});
