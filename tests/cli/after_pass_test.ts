import { assertEquals } from "@std/assert";
import { MemoryKeeper, tellOfNewFaults, tellOfNewFindings } from "../../src/cli/after_pass.ts";
import type { Log } from "../../src/log/log.ts";
import { pass } from "../status/facts.ts";

Deno.test("tellOfNewFaults() names each peer that is left out once, and again when it comes back with another fault", () => {
  const said: unknown[] = [];
  const log: Log = { write: (_, __, fields) => said.push([fields?.host, fields?.reason]), with: () => log };
  const tell = tellOfNewFaults(log);
  const a = { host: "a", reason: "overlaps" };
  tell(pass({ faults: [a] }));
  tell(pass({ faults: [a, { host: "b", reason: "x".repeat(1000) }] }));
  tell(pass({ faults: [] }));
  tell(pass({ faults: [{ host: "a", reason: "is ours" }] }));
  assertEquals(said, [["a", "overlaps"], ["b", "x".repeat(300)], ["a", "is ours"]]);
});

Deno.test("tellOfNewFindings() says each sentence once, and once that there is none any more", () => {
  const said: unknown[] = [];
  const log: Log = { write: (level, event, fields) => said.push([level, event, fields]), with: () => log };
  const tell = tellOfNewFindings(log, "host cut off");
  for (const sentence of [undefined, "a", "a", "b", undefined, undefined]) {
    tell(sentence === undefined ? [] : [{ isBlocking: true, sentence }]);
  }
  assertEquals(said, [
    ["warn", "host cut off", { reason: "a" }],
    ["warn", "host cut off", { reason: "b" }],
    ["info", "host cut off no more", undefined],
  ]);
});

Deno.test("tellOfNewFaults() does not flood the log with thousands", () => {
  let said = 0;
  const log: Log = { write: () => said++, with: () => log };
  tellOfNewFaults(log)(
    pass({ faults: Array.from({ length: 5000 }, (_, n) => ({ host: `h${n}`, reason: "no" })) }),
  );
  assertEquals(said, 20);
});

Deno.test("MemoryKeeper collects once after the start, once after each large pass has settled, and after a large write", () => {
  let collected = 0;
  let trimmed = 0;
  const before = Object.getOwnPropertyDescriptor(globalThis, "gc");
  Object.defineProperty(globalThis, "gc", { value: () => collected++, configurable: true });
  try {
    const memory = new MemoryKeeper(() => trimmed++);
    const passes = [
      pass(),
      pass(),
      pass({ planned: 10 }),
      pass(),
      pass({ planned: 5000 }),
      pass({ failureCount: 1 }),
    ];
    const counts = [...passes, pass(), pass()].map((report) => {
      memory.passed(report);
      return collected;
    });
    assertEquals(counts, [1, 1, 1, 1, 1, 1, 2, 2]);
    memory.wrote(10);
    memory.wrote(5000);
    assertEquals([collected, trimmed], [3, 3]);
  } finally {
    if (before === undefined) delete (globalThis as { gc?: unknown }).gc;
    else Object.defineProperty(globalThis, "gc", before);
  }
});
