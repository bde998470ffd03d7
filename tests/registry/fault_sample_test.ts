import { assertEquals, assertStrictEquals } from "@std/assert";
import { FaultSample, NAMED_FAULTS } from "../../src/registry/fault_sample.ts";

Deno.test("FaultSample names hosts until their entries are in order, and is the same array meanwhile", () => {
  const faults = new FaultSample();
  faults.set("a", '"a"', "no JSON");
  faults.set("b", "b", "no address");
  const { all } = faults;
  assertEquals(all, [{ host: '"a"', reason: "no JSON" }, { host: "b", reason: "no address" }]);
  faults.set("a", '"a"', "no JSON");
  faults.set("c", "c", undefined);
  assertStrictEquals(faults.all, all);
  faults.set("a", '"a"', undefined);
  assertEquals(faults.all, [{ host: "b", reason: "no address" }]);
  faults.clear();
  assertEquals(faults.all, []);
});

Deno.test("FaultSample counts what is too much to be named, and what else there is comes last", () => {
  const faults = new FaultSample();
  for (let at = 0; at < 30_000; at++) faults.set(`h${at}`, `h${at}`, "no JSON");
  faults.others = [{ host: "notes", reason: "no key" }];
  const { all } = faults;
  assertEquals(all.length, NAMED_FAULTS + 2);
  assertEquals(all.slice(-2), [
    { host: "29900 more hosts", reason: "their entries can't be read", count: 29_900 },
    { host: "notes", reason: "no key" },
  ]);
});

Deno.test("a change of FaultSample costs the same, however many there are", () => {
  const faults = new FaultSample();
  let longestMs = 0;
  for (let round = 0; round < 20; round++) {
    const startedMs = performance.now();
    for (let at = 0; at < 5000; at++) {
      faults.set(`h${round * 5000 + at}`, "h", "no JSON");
      if (at % 5 === 0) void faults.all;
    }
    longestMs = Math.max(longestMs, performance.now() - startedMs);
  }
  // Built whole at each of 20,000 looks it would take a minute.
  assertEquals(longestMs < 2000, true, `${longestMs} ms`);
});
