import { assertEquals } from "@std/assert";
import { RepairTimes } from "../../src/reconcile/repair_times.ts";

const REST = { planned: 0, failureCount: 0 };

function rig(): { times: RepairTimes; at: (ms: number) => void; total: () => number } {
  let nowMs = 0;
  const times = new RepairTimes(() => nowMs);
  return {
    times,
    at: (ms) => nowMs = ms,
    total: () => times.seconds.counts.reduce((sum, count) => sum + count, 0),
  };
}

Deno.test("RepairTimes counts from the first notification to the end of the pass that has put it right", () => {
  const { times, at, total } = rig();
  times.heard();
  at(3);
  times.heard();
  at(20);
  times.passed({ planned: 2, failureCount: 0 });
  assertEquals([total(), times.seconds.sum], [1, 0.02]);
});

Deno.test("RepairTimes counts a repair that the kernel has refused from its first notification on, and once", () => {
  const { times, at, total } = rig();
  times.heard();
  at(10);
  times.passed({ planned: 1, failureCount: 1 });
  at(5000);
  times.passed(REST);
  times.passed(REST);
  assertEquals([total(), times.seconds.sum], [1, 5]);
});

Deno.test("RepairTimes counts neither what needed no repair nor what no notification has asked for", () => {
  const { times, total } = rig();
  times.heard();
  times.passed(REST);
  times.passed({ planned: 7, failureCount: 0 });
  assertEquals(total(), 0);
});
