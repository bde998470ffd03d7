import { assertEquals } from "@std/assert";
import { countRun } from "../../.ci/test.ts";

const cases: [name: string, line: string, exitCode: number, passed: number, failed: number][] = [
  ["all passed", "ok | 12 passed | 0 failed (3s)", 0, 12, 0],
  ["steps are part of their test", "ok | 12 passed (16 steps) | 0 failed (3s)", 0, 12, 0],
  ["some failed", "FAILED | 9 passed (1 step) | 2 failed (3 steps) (32s)", 1, 9, 2],
  ["a skipped test has failed", "ok | 5 passed | 0 failed | 2 ignored (1ms)", 0, 5, 2],
  ["a skipped step has failed", "ok | 5 passed | 0 failed | 0 ignored (1 step) (1ms)", 0, 5, 1],
  ["what was filtered out is not counted", "ok | 5 passed | 0 failed | 7 filtered out (1ms)", 0, 5, 0],
  ["a run that failed behind its summary has failed", "ok | 5 passed | 0 failed (1ms)", 1, 5, 1],
  ["a run without a summary has failed", "error: Type checking failed.", 1, 0, 1],
  ["a run that says nothing has failed", "", 0, 0, 1],
];

for (const [name, line, exitCode, passed, failed] of cases) {
  Deno.test(`countRun(): ${name}`, () => {
    assertEquals(countRun(["running 12 tests", line, ""], exitCode), { passed, failed });
  });
}

Deno.test("countRun() goes by the last summary, since a test may print one", () => {
  const lines = ["ok | 99 passed | 0 failed (1ms)", "FAILED | 1 passed | 1 failed (1ms)"];
  assertEquals(countRun(lines, 1), { passed: 1, failed: 1 });
});
