import { assertEquals } from "@std/assert";
import {
  agoWords,
  countWords,
  momentWords,
  spanWords,
  tableLines,
  twoColumns,
} from "../../../src/command/status/words.ts";

const spans: [ms: number, words: string][] = [
  [-5, "0 s"],
  [1499, "1 s"],
  [119_000, "119 s"],
  [120_000, "2 min"],
  [7_199_000, "119 min"],
  [7_200_000, "2 h"],
  [172_800_000, "2 d"],
];

for (const [ms, words] of spans) {
  Deno.test(`spanWords() says ${ms} ms as "${words}"`, () => assertEquals(spanWords(ms), words));
}

Deno.test("agoWords() says how long ago a moment was, and that a text is none", () => {
  const now = new Date("2026-01-01T00:00:10Z");
  assertEquals(agoWords("2026-01-01T00:00:00Z", now), "10 s ago");
  // The clock of the agent's moment may have been set back since.
  assertEquals(agoWords("2026-01-01T00:01:00Z", now), "0 s ago");
  assertEquals([agoWords("x", now), agoWords(null, now)], ["at an unknown time", "at an unknown time"]);
});

Deno.test("momentWords() is to the second, in UTC", () => {
  assertEquals(momentWords(new Date("2026-01-01T00:00:10.987Z")), "2026-01-01T00:00:10Z");
});

Deno.test("countWords() knows one from many", () => {
  assertEquals([countWords(1, "route"), countWords(2, "route")], ["1 route", "2 routes"]);
  assertEquals(countWords(0, "FDB entry", "FDB entries"), "0 FDB entries");
});

Deno.test("columns are as wide as their widest cell, and no line ends with blanks", () => {
  assertEquals(twoColumns([["a", "x"], ["long", ""]]), ["  a     x", "  long"]);
  assertEquals(tableLines([["A", "BB", "C"], ["aaa", "b", ""]]), ["A    BB  C", "aaa  b"]);
});
