import { assertEquals } from "@std/assert";
import { Revisions } from "../../src/registry/revisions.ts";
import { pick, SEED, seededRandom } from "../double/random.ts";

Deno.test("Revisions takes an entry for news once, and never an older one", () => {
  const revisions = new Revisions();
  assertEquals([1, 1, 3, 2, 3, 4].map((revision) => revisions.isNews("a", revision)), [
    true,
    false,
    true,
    false,
    false,
    true,
  ]);
});

Deno.test("Revisions remembers a deletion: what is older does not bring the entry back", () => {
  const revisions = new Revisions();
  revisions.isNews("a", 1);
  assertEquals(revisions.isDeletion("a", 5), true);
  assertEquals([revisions.isNews("a", 3), revisions.isDeletion("a", 5), revisions.isNews("a", 6)], [
    false,
    false,
    true,
  ]);
});

Deno.test("Revisions takes what comes before an own write for old, and its echo for news", () => {
  const revisions = new Revisions();
  revisions.ignoreBefore("a", 5);
  assertEquals([4, 5, 5].map((revision) => revisions.isNews("a", revision)), [false, true, false]);
});

Deno.test("Revisions forgets the oldest of very many deletions", () => {
  const revisions = new Revisions();
  for (let n = 0; n <= 10_000; n++) revisions.isDeletion(`h${n}`, 10);
  assertEquals([revisions.isNews("h0", 9), revisions.isNews("h10000", 9)], [true, false]);
});

Deno.test("Revisions begins anew with a whole list", () => {
  const revisions = new Revisions();
  revisions.isNews("a", 9);
  revisions.isDeletion("b", 9);
  revisions.reset([["a", 5]]);
  assertEquals([revisions.isNews("a", 5), revisions.isNews("a", 6), revisions.isNews("b", 1)], [
    false,
    true,
    true,
  ]);
});

Deno.test(`Revisions ends with the last state, in whatever order and how often it is told, seed ${SEED}`, () => {
  const random = seededRandom(SEED);
  for (let round = 0; round < 500; round++) {
    const truth = new Map<string, number>();
    const events = Array.from({ length: 30 }, (_, revision) => ({
      name: pick(random, ["a", "b", "c"]),
      revision: revision + 1,
      isDeletion: random() < 0.3,
    }));
    for (const { name, revision, isDeletion } of events) {
      if (isDeletion) truth.delete(name);
      else truth.set(name, revision);
    }
    const told = [...events, ...events.filter(() => random() < 0.5)].sort(() => random() - 0.5);
    const seen = new Map<string, number>();
    const revisions = new Revisions();
    for (const { name, revision, isDeletion } of told) {
      if (isDeletion && revisions.isDeletion(name, revision)) seen.delete(name);
      if (!isDeletion && revisions.isNews(name, revision)) seen.set(name, revision);
    }
    assertEquals([...seen].sort(), [...truth].sort(), `round ${round} of seed ${SEED}`);
  }
});

Deno.test("Revisions knows how many entries there are, and which was told of last; an own write is not told yet", () => {
  const revisions = new Revisions();
  assertEquals([revisions.size, revisions.latest], [0, undefined]);
  revisions.reset([["a", 5], ["b", 7], ["c", 6]]);
  revisions.ignoreBefore("d", 9);
  assertEquals([revisions.size, revisions.latest], [3, { name: "b", revision: 7 }]);
  assertEquals([revisions.of("b"), revisions.of("d")], [7, undefined]);
  assertEquals([revisions.isNews("d", 8), revisions.isNews("d", 9)], [false, true]);
  revisions.isDeletion("d", 10);
  assertEquals([revisions.size, revisions.latest], [3, { name: "b", revision: 7 }]);
});
