import { assertEquals } from "@std/assert";
import { QuietLines } from "../../src/loop/quiet_lines.ts";

Deno.test("QuietLines lets each line through once a minute, and no more than sixty lines", () => {
  let nowMs = 0;
  const lines = new QuietLines(() => nowMs);
  assertEquals(["a", "a", "b"].map((line) => lines.isDue(line)), [true, false, true]);
  const many = Array.from({ length: 100 }, (_, n) => lines.isDue(`route ${n}`));
  assertEquals(many.filter(Boolean).length, 58);
  nowMs = 59_999;
  assertEquals(lines.isDue("a"), false);
  nowMs = 60_000;
  assertEquals(["a", "a", "route 99"].map((line) => lines.isDue(line)), [true, false, true]);
});
