import { assertEquals } from "@std/assert";
import { PassTrigger } from "../../src/agent/pass_trigger.ts";
import { NEIGHBOUR } from "../../src/model/rows.ts";

const row = (
  n: number,
) => ({ table: "neighbours", words: new Uint32Array(NEIGHBOUR.words).fill(n) } as const);

/** What a pass would look at: everything, or the rows of its part. */
function taken(trigger: PassTrigger): unknown {
  const scope = trigger.take();
  return scope === "all" ? scope : [...scope.neighbours.words].filter((_, at) => at % NEIGHBOUR.words === 0);
}

const cases: [what: string, ask: (trigger: PassTrigger) => void, looksAt: unknown][] = [
  ["nobody asks: its time has come", () => {}, "all"],
  ["somebody nudges", (trigger) => trigger.nudge(), "all"],
  ["other hosts' leases change", (trigger) => trigger.leasesChanged(), []],
  ["a row is changed, and another", (trigger) => [1, 2].forEach((n) => trigger.rowChanged(row(n))), [1, 2]],
  ["a row is changed, and somebody nudges", (trigger) => {
    trigger.rowChanged(row(1));
    trigger.nudge();
  }, "all"],
  ["somebody nudges, and a lease changes", (trigger) => {
    trigger.nudge();
    trigger.leasesChanged();
  }, "all"],
  ["hundreds of rows are changed", (trigger) => {
    for (let n = 0; n < 500; n++) trigger.rowChanged(row(n));
  }, "all"],
];

for (const [what, ask, looksAt] of cases) {
  Deno.test(`PassTrigger: a pass looks at ${JSON.stringify(looksAt)} when ${what}`, async () => {
    const trigger = new PassTrigger();
    assertEquals(trigger.take(), "all", "the first of all");
    ask(trigger);
    // Whoever asks wakes the loop, whatever is asked for.
    const { signal } = new AbortController();
    if (what !== cases[0]![0]) await trigger.next(60_000, { signal });
    assertEquals(taken(trigger), looksAt);
    assertEquals(taken(trigger), "all", "nothing is asked for twice");
  });
}
