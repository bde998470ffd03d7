import { assertEquals } from "@std/assert";
import { Failures } from "../../src/reconcile/report.ts";

Deno.test("Failures names the first twenty and counts all, so that a report stays short", () => {
  const failures = new Failures();
  assertEquals([failures.count, failures.sentences], [0, []]);
  for (let step = 1; step <= 5000; step++) failures.add(`Cannot apply step ${step}`);
  assertEquals(failures.count, 5000);
  assertEquals(failures.sentences, Array.from({ length: 20 }, (_, at) => `Cannot apply step ${at + 1}`));
});
