import { assertEquals } from "@std/assert";
import { Pace, type Patience } from "../../../src/registry/http/pace.ts";

const PATIENCE: Patience = {
  beginMs: 10_000,
  idleMs: 20_000,
  graceMs: 30_000,
  bytesPerSecond: 1000,
  maxBytes: 100_000,
};

/** Waits for pieces of an answer, and says how long the next one may take. */
function leftAfter(pieces: readonly (readonly [bytes: number, afterMs: number])[]): [number, Pace] {
  const pace = new Pace(PATIENCE);
  let nowMs = 5000;
  for (const [bytes, afterMs] of pieces) {
    pace.waits(nowMs);
    pace.came(bytes, nowMs += afterMs);
  }
  return [pace.waits(nowMs), pace];
}

const cases: [name: string, pieces: [number, number][], leftMs: number, complaint: string][] = [
  ["has not begun", [], 10_000, "said nothing for 10 s"],
  ["has begun", [[0, 9000]], 20_000, "said nothing for 20 s"],
  ["came in pieces", [[0, 1], [5000, 15_000]], 20_000, "said nothing for 20 s"],
  [
    "trickles",
    [[0, 1], ...Array.from({ length: 29 }, (): [number, number] => [1, 1000])],
    1029,
    "answers too slowly: 29 bytes in 30 s",
  ],
  [
    "is slow, and long",
    [[0, 1], ...Array.from({ length: 100 }, (): [number, number] => [1000, 1200])],
    10_000,
    "answers too slowly: 100000 bytes in 130 s",
  ],
];

for (const [name, pieces, leftMs, complaint] of cases) {
  Deno.test(`Pace says how long an answer may still take that ${name}`, () => {
    const [left, pace] = leftAfter(pieces);
    assertEquals([left, pace.complaint], [leftMs, complaint]);
  });
}

Deno.test("Pace counts the time in which the server is waited for, and no other", () => {
  const pace = new Pace(PATIENCE);
  pace.waits(0);
  pace.came(0, 1);
  for (let n = 1; n <= 100; n++) {
    // The caller has had it for a minute.
    pace.waits(n * 60_000);
    pace.came(1, n * 60_000 + 1);
  }
  assertEquals(pace.waits(1e7), 20_000);
});

Deno.test("Pace tells what is too much", () => {
  const pace = new Pace(PATIENCE);
  pace.came(100_000, 0);
  assertEquals(pace.isTooMuch, false);
  pace.came(1, 0);
  assertEquals(pace.isTooMuch, true);
});
