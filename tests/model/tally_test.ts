import { assertEquals } from "@std/assert";
import { Histogram, Tally } from "../../src/model/tally.ts";

Deno.test("Tally counts by key, from zero", () => {
  const tally = new Tally();
  tally.add("route");
  tally.add("link", 3);
  tally.add("route");
  assertEquals([...tally], [["route", 2], ["link", 3]]);
  assertEquals(tally.of("rule"), 0);
});

Deno.test("Histogram counts a value that is a bound below it, and what is above all bounds behind them", () => {
  const histogram = new Histogram([0.01, 1]);
  for (const value of [0.005, 0.01, 0.5, 1, 7]) histogram.add(value);
  assertEquals(histogram.counts, [2, 2, 1]);
  assertEquals(histogram.sum, 8.515);
});
