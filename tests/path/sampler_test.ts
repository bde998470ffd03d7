import { assert, assertEquals } from "@std/assert";
import { ringOf, roundPeriods, sample, sampleSize } from "../../src/path/sampler.ts";

/** Hosts as a cluster names them. */
const named = (count: number) => Array.from({ length: count }, (_, at) => `node-${at}`);

const sizes: [members: number, budget: number, size: number, why: string][] = [
  [1, 20, 0, "nobody else is there"],
  [2, 20, 1, "there is one other"],
  [10, 20, 9, "few are seen whole"],
  [100, 20, 14, "2 · log₂ 100"],
  [1000, 20, 20, "2 · log₂ 1000"],
  [5000, 20, 20, "the budget is smaller than 2 · log₂ 5000"],
  [5000, 1000, 25, "2 · log₂ 5000"],
  [10, 4, 4, "the budget counts among few too"],
  [10, 0.5, 0, "there is no budget for one"],
];

for (const [members, budget, size, why] of sizes) {
  Deno.test(`of ${members} hosts each asks ${size} with ${budget} probes: ${why}`, () => {
    assertEquals(sampleSize(members, budget), size);
  });
}

for (const members of [2, 10, 100, 1000, 5000]) {
  Deno.test(`among ${members} hosts each is asked by as many as it asks, and each pair within a round`, () => {
    const ring = ringOf(named(members));
    const size = sampleSize(members, 20);
    const periods = roundPeriods(members, size);
    const first = ring.slice(0, Math.min(members, 100));
    const asked = new Map<string, number>();
    for (const own of ring) {
      const chosen = sample(ring, own, { period: 7, size });
      assertEquals([new Set(chosen).size, chosen.includes(own)], [size, false]);
      for (const host of chosen) asked.set(host, (asked.get(host) ?? 0) + 1);
    }
    assertEquals(new Set(asked.values()), new Set([size]), "each is asked by so many");
    assertEquals(asked.size, members);
    for (const own of first.slice(0, members > 1000 ? 3 : 20)) {
      const seen = new Set<string>();
      for (let period = 3 * periods; period < 4 * periods; period++) {
        for (const host of sample(ring, own, { period, size })) seen.add(host);
      }
      assertEquals(seen.size, members - 1, "each pair within a round");
    }
  });
}

Deno.test("rounds differ, so that no two hosts always ask a third at the same time", () => {
  const ring = ringOf(named(100));
  const periods = roundPeriods(100, 14);
  const rounds = [0, 1, 2].map((round) =>
    sample(ring, ring[0]!, { period: round * periods, size: 14 }).join()
  );
  assertEquals(new Set(rounds).size, 3);
});

Deno.test("the ring is the same whatever the order, and a name that is there twice stands once", () => {
  const hosts = named(50);
  assertEquals(ringOf([...hosts, hosts[3]!].toReversed()), ringOf(hosts));
  assert(ringOf(hosts).join() !== hosts.join(), "it is not the order of the names");
});

Deno.test("who is not in the ring, or alone in it, asks nobody", () => {
  assertEquals(sample(["a", "b"], "c", { period: 1, size: 1 }), []);
  assertEquals(sample(["a"], "a", { period: 1, size: 1 }), []);
  assertEquals(sample(["a", "b"], "a", { period: 1, size: 0 }), []);
});
