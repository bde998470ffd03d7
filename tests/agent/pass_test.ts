import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { Pass, type Stage, type StageNeed } from "../../src/agent/pass.ts";
import { FDB, NEIGHBOUR, ROUTE } from "../../src/model/rows.ts";
import { Table } from "../../src/model/table.ts";
import type { PassReport } from "../../src/reconcile/report.ts";
import { pass as reportOf } from "../status/facts.ts";

/** A pass whose stages note that they were run; `broken` ones fail, and `links` makes the report. */
function passOf(
  stages: readonly (readonly [name: string, needs: StageNeed])[],
  { report, broken = [] }: { readonly report?: PassReport; readonly broken?: readonly string[] },
) {
  const ran: string[] = [];
  const brokenNow = new Set(broken);
  const pass = new Pass(
    stages.map(([name, needs]): Stage => ({
      name,
      needs,
      run: () => {
        ran.push(name);
        if (brokenNow.has(name)) throw new Error(`${name} has no disk`);
        return name === "links" ? report : undefined;
      },
    })),
  );
  return { pass, ran, brokenNow };
}

const STAGES = [
  ["underlay", "nothing"],
  ["links", "nothing"],
  ["boot", "report"],
  ["pod files", "forwarding"],
] as const;

const cases: [what: string, report: PassReport | undefined, ran: string[], isDone: boolean][] = [
  ["it is unknown what this host must hold", undefined, ["underlay", "links"], true],
  ["the links can't forward", reportOf({ isForwarding: false, failureCount: 1 }), [
    "underlay",
    "links",
    "boot",
  ], false],
  ["all is as it must be", reportOf(), ["underlay", "links", "boot", "pod files"], true],
  [
    "a peer's row was refused",
    reportOf({ failureCount: 1 }),
    ["underlay", "links", "boot", "pod files"],
    false,
  ],
];

for (const [what, report, expected, isDone] of cases) {
  Deno.test(`Pass runs ${expected.join(", ")} when ${what}`, () => {
    const { pass, ran } = passOf(STAGES, report === undefined ? {} : { report });
    assertEquals([pass.run(), ran, pass.last], [isDone, expected, report]);
    assertEquals(pass.conditions, []);
  });
}

Deno.test("Pass runs what comes after a stage that fails, names it, and forgets it when it is right again", () => {
  const { pass, ran, brokenNow } = passOf(STAGES, { report: reportOf(), broken: ["underlay", "boot"] });
  assertEquals(pass.run(), false);
  assertEquals(ran, ["underlay", "links", "boot", "pod files"]);
  assertEquals(pass.conditions, [
    { code: "stage-failed", sentence: 'the stage "underlay" of the last pass failed: underlay has no disk' },
    { code: "stage-failed", sentence: 'the stage "boot" of the last pass failed: boot has no disk' },
  ]);
  brokenNow.clear();
  assertEquals([pass.run(), pass.conditions], [true, []]);
});

Deno.test("Pass keeps the last report while it is unknown again what this host must hold", () => {
  const reports = [reportOf({ planned: 7 }), undefined];
  const pass = new Pass([{ name: "links", needs: "nothing", run: () => reports.shift() }]);
  pass.run();
  pass.run();
  assertEquals(pass.last?.planned, 7);
});

Deno.test("Pass tells how long each stage that was run has taken, and whether it failed", () => {
  let nowMs = 0;
  const told: unknown[] = [];
  const stage = (name: string, tookMs: number, isBroken = false): Stage => ({
    name,
    needs: "nothing",
    run: () => {
      nowMs += tookMs;
      if (isBroken) throw new Error("no");
    },
  });
  const skipped: Stage = { name: "boot", needs: "report", run: () => {} };
  const pass = new Pass([stage("underlay", 2), stage("links", 5, true), skipped, stage("ways", 1)], {
    elapsedMs: () => nowMs,
    staged: (...facts) => told.push(facts),
  });
  pass.run();
  assertEquals(told, [["underlay", 2, false], ["links", 5, true], ["ways", 1, false]]);
});

/** A partial pass of stages that note what they did. */
function partOf(part: () => PassReport | undefined) {
  const ran: string[] = [];
  const note = (name: string) => () => void ran.push(name);
  const rows = { neighbours: new Table(NEIGHBOUR), fdb: new Table(FDB), routes: new Table(ROUTE) };
  const pass = new Pass([
    { name: "underlay", needs: "nothing", run: note("underlay") },
    {
      name: "links",
      needs: "nothing",
      run: () => reportOf(),
      runPart: (given) => {
        assertStrictEquals(given, rows);
        return part();
      },
    },
    { name: "boot", needs: "report", run: note("boot") },
    { name: "totals", needs: "report", run: note("totals"), afterPart: note("totals of a part") },
    { name: "cache", needs: "forwarding", run: note("cache"), afterPart: note("cache after a part") },
  ]);
  return { pass, ran, runPart: () => pass.runPart(rows) };
}

const parts: [
  what: string,
  part: () => PassReport | undefined,
  ran: string[],
  isDone: boolean | undefined,
][] = [
  ["rows are brought to what is wanted", () => reportOf(), ["totals of a part", "cache after a part"], true],
  [
    "a row is refused",
    () => reportOf({ failureCount: 1 }),
    ["totals of a part", "cache after a part"],
    false,
  ],
  ["all is to be looked at", () => undefined, [], undefined],
  [
    "it fails",
    () => {
      throw new Error("the disk is gone");
    },
    [],
    undefined,
  ],
];

for (const [what, part, expected, isDone] of parts) {
  Deno.test(`Pass.runPart() runs what follows from single rows, and asks for a whole pass if need be: ${what}`, () => {
    const { ran, runPart } = partOf(part);
    assertEquals([runPart(), ran], [isDone, expected]);
  });
}

Deno.test("Pass.runPart() asks for a whole pass after one of which a stage has failed", () => {
  const { pass, ran, runPart } = partOf(() => reportOf());
  const broken = new Pass([{ name: "boot", needs: "nothing", run: () => assert(false) }]);
  assertEquals([broken.run(), broken.runPart({} as never)], [false, undefined]);
  assertEquals([pass.run(), runPart()], [true, true]);
  assertEquals(ran.slice(-2), ["totals of a part", "cache after a part"]);
});
