import { assertEquals } from "@std/assert";
import { Pass, type Stage, type StageNeed } from "../../src/agent/pass.ts";
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
