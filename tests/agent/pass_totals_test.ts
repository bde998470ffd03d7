import { assertEquals } from "@std/assert";
import { PassTotals } from "../../src/agent/pass_totals.ts";
import { pass } from "../status/facts.ts";

Deno.test("PassTotals adds up passes, their planned steps and their failures", () => {
  const totals = new PassTotals();
  for (const report of [pass(), pass({ planned: 3 }), pass({ planned: 2, failureCount: 1 })]) {
    totals.count(report);
  }
  assertEquals([totals.passes, totals.planned, totals.failed], [3, 5, 1]);
});
