import { assertEquals, assertStrictEquals } from "@std/assert";
import { AF_INET, AF_INET6, type Family } from "../../src/model/address.ts";
import { type Finding, PathRecord } from "../../src/path/path_record.ts";
import { PathSizes } from "../../src/path/path_sizes.ts";

const HOUR_MS = 3_600_000;
const STANDING_MS = 10_000;

/** A path to host `a` whose look has found something. */
function path(finding: Finding, family: Family = AF_INET): PathRecord {
  const record = new PathRecord("a", family, true);
  record.main.found(finding, 1450);
  return record;
}

const NARROW = path({ state: "narrow", direction: "there", foundBytes: 1380 });

const looks: [why: string, record: PathRecord, sizes: [string, number][]][] = [
  ["a path is narrow on the way there", NARROW, [["2 a", 1380]]],
  ["which way is not known", path({ state: "narrow", foundBytes: 1380 }), [["2 a", 1380]]],
  ["only the way back is narrow", path({ state: "narrow", direction: "back", foundBytes: 1380 }), []],
  ["how much gets through is not known", path({ state: "narrow" }), []],
  ["less gets through than IPv4 needs", path({ state: "narrow", foundBytes: 300 }), [["2 a", 576]]],
  ["less gets through than IPv6 needs", path({ state: "narrow", foundBytes: 1200 }, AF_INET6), [[
    "10 a",
    1280,
  ]]],
  ["the path is good", path({ state: "good" }), []],
  ["the path is broken", path({ state: "broken" }), []],
];

for (const [why, record, sizes] of looks) {
  Deno.test(`PathSizes has ${sizes.length === 0 ? "nothing" : sizes[0]![1]} when ${why}`, () => {
    const kept = new PathSizes();
    assertEquals(kept.see([record], 0), false, "it may be chance");
    assertEquals(kept.see([record], STANDING_MS), sizes.length > 0);
    assertEquals([...kept.sizes], sizes);
    assertEquals(kept.conditions.map(({ code }) => code), sizes.map(() => "route-mtu-lowered"));
  });
}

/** Has a size found for so long that it counts, by a time. */
function seen(record: PathRecord, byMs: number): PathSizes {
  const kept = new PathSizes();
  kept.see([record], byMs - STANDING_MS);
  kept.see([record], byMs);
  return kept;
}

Deno.test("what is another size at each look, or over in between, is chance", () => {
  const kept = new PathSizes();
  for (const [at, foundBytes] of [1244, 1300, 1244, 1162].entries()) {
    assertEquals(kept.see([path({ state: "narrow", foundBytes })], at * 6000), false);
  }
  kept.see([NARROW], 30_000);
  kept.see([path({ state: "good" })], 35_000);
  assertEquals(kept.see([NARROW], 41_000), false);
});

Deno.test("a size stands through silence and short recoveries, and until all has got through for an hour", () => {
  const kept = seen(NARROW, 0);
  const good = path({ state: "good" });
  const at = (minutes: number, record: PathRecord) => kept.see([record], minutes * 60_000);
  const { sizes } = kept;
  assertEquals([at(1, path({ state: "silent" })), at(2, good), at(50, good)], [false, false, false]);
  assertEquals(at(55, path({ state: "broken" })), false);
  assertEquals([at(56, good), at(115, good)], [false, false]);
  assertStrictEquals(kept.sizes, sizes);
  assertEquals([...sizes], [["2 a", 1380]]);
  assertEquals(kept.see([good], 56 * 60_000 + HOUR_MS), true);
  assertEquals(kept.sizes.size, 0);
});

Deno.test("a size follows what is found, and goes with its host", () => {
  const kept = seen(NARROW, 0);
  const smaller = path({ state: "narrow", foundBytes: 1300 });
  assertEquals(kept.see([smaller], 1), false, "what was found before stands until then");
  assertEquals(kept.see([smaller], 1 + STANDING_MS), true);
  assertEquals([...kept.sizes], [["2 a", 1300]]);
  assertEquals(kept.see([], 20_000), true);
  assertEquals(kept.sizes.size, 0);
});

Deno.test("that a peer's kernel alone has answered says nothing of sizes", () => {
  const kept = seen(NARROW, 0);
  const byKernel = path({ state: "good", isByKernel: true });
  kept.see([byKernel], 1);
  assertEquals(kept.see([byKernel], 2 * HOUR_MS), false);
  assertEquals([...kept.sizes], [["2 a", 1380]]);
});
