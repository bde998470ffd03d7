import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../../../src/config/usage_error.ts";
import { parseDuration } from "../../../src/command/status/duration.ts";

const durations: [text: string, ms: number][] = [
  ["30", 30_000],
  ["30s", 30_000],
  ["500ms", 500],
  ["1.5s", 1500],
  ["5m", 300_000],
  ["1h30m", 5_400_000],
  ["0", 0],
];

for (const [text, ms] of durations) {
  Deno.test(`parseDuration() reads "${text}" as ${ms} ms`, () => {
    assertEquals(parseDuration("wait", text), ms);
  });
}

for (const text of ["", "s", "-5s", "5 m", "5d", "true", "1m2"]) {
  Deno.test(`parseDuration() refuses "${text}"`, () => {
    assertThrows(
      () => parseDuration("wait", text),
      UsageError,
      "Cannot read --wait: must be a duration, as 30s",
    );
  });
}
