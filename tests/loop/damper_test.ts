import { assertEquals } from "@std/assert";
import { Damper } from "../../src/loop/damper.ts";

const LIMITS = { freeTurns: 3, windowMs: 60_000, pauseMs: 30_000 };

Deno.test("Damper lets some turns be answered at once, and slows what comes after them", () => {
  let nowMs = 0;
  const damper = new Damper(LIMITS, () => nowMs);
  for (let turn = 1; turn <= 3; turn++) {
    damper.turn();
    assertEquals([damper.waitMs, damper.isFight], [0, false]);
  }
  damper.turn();
  assertEquals([damper.waitMs, damper.isFight], [30_000, true]);
  nowMs = 10_000;
  assertEquals(damper.waitMs, 20_000, "what has passed counts");
});

Deno.test("Damper holds its pace for as long as the fight lasts, and forgets it a minute later", () => {
  let nowMs = 0;
  let answers = 0;
  const damper = new Damper(LIMITS, () => nowMs);
  // The other side answers at once, every time.
  for (; nowMs < 600_000; nowMs += Math.max(damper.waitMs, 1)) {
    damper.turn();
    answers++;
  }
  assertEquals(answers < 40, true, `${answers} answers in ten minutes`);
  nowMs += 60_001;
  assertEquals([damper.isFight, damper.waitMs], [false, 0]);
});

Deno.test("Damper pauses ever longer while a fight goes on, and briefly again after what it puts back was at rest", () => {
  let nowMs = 0;
  const damper = new Damper({ ...LIMITS, firstPauseMs: 1000 }, () => nowMs);
  for (let turn = 1; turn <= 3; turn++) damper.turn();
  const pauses = Array.from({ length: 7 }, () => {
    damper.turn();
    const { waitMs } = damper;
    nowMs += waitMs;
    return waitMs / 1000;
  });
  assertEquals(pauses, [1, 2, 4, 8, 16, 30, 30]);
  // What comes once in a while costs a second each time, and is a fight still.
  for (const restMs of [10_000, 40_000, 50_000]) {
    nowMs += restMs;
    damper.turn();
    assertEquals([damper.waitMs, damper.isFight], [1000, true]);
    nowMs += 1000;
  }
});
