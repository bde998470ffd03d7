import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
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

Deno.test("MemoryKeeper collects once more when the host has been at rest for a while, and no more until it has worked", async () => {
  using time = new FakeTime();
  let trimmed = 0;
  const memory = new MemoryKeeper(() => trimmed++);
  const abort = new AbortController();
  const running = memory.run(abort).catch((error) => error);
  const after = async (ms: number) => {
    await time.tickAsync(ms);
    await time.tickAsync(0);
    return trimmed;
  };
  assertEquals(await after(60_000), 0, "it has not come to rest yet");
  memory.passed(pass());
  assertEquals([await after(9999), await after(1), await after(3_600_000)], [1, 2, 2]);
  memory.passed(pass({ planned: 5000 }));
  memory.passed(pass());
  assertEquals([await after(9999), await after(1), await after(3_600_000)], [3, 4, 4]);
  memory.passed(pass({ planned: 5000 }));
  memory.passed(pass());
  await after(5000);
  abort.abort();
  await running;
  assertEquals(await after(60_000), 5, "it has ended");
});
