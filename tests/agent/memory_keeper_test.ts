import { assertEquals } from "@std/assert";
import { MemoryKeeper } from "../../src/agent/memory_keeper.ts";
import { pass } from "../status/facts.ts";

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
