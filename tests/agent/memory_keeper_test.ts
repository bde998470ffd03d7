import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { MemoryKeeper } from "../../src/agent/memory_keeper.ts";
import { pass } from "../status/facts.ts";

const MIB = 2 ** 20;

/** A process whose memory a test sets; a collection brings it back to 80 MiB. */
class Rig implements Disposable {
  readonly #before = Object.getOwnPropertyDescriptor(globalThis, "gc");
  readonly flavors: string[] = [];
  trimmed = 0;
  residentMiB = 80;
  nowMs = 0;
  readonly memory = new MemoryKeeper({
    trim: () => void this.trimmed++,
    residentBytes: () => this.residentMiB * MIB,
    elapsedMs: () => this.nowMs,
  });

  constructor() {
    const value = ({ flavor }: { readonly flavor: string }) => {
      this.flavors.push(flavor);
      this.residentMiB = 80;
    };
    Object.defineProperty(globalThis, "gc", { value, configurable: true });
  }

  [Symbol.dispose](): void {
    if (this.#before === undefined) delete (globalThis as { gc?: unknown }).gc;
    else Object.defineProperty(globalThis, "gc", this.#before);
  }

  /** Lets time pass, and answers how often it was collected by then. */
  async after(time: FakeTime, ms: number): Promise<number> {
    this.nowMs += ms;
    await time.tickAsync(ms);
    await time.tickAsync(0);
    return this.flavors.length;
  }
}

Deno.test("MemoryKeeper collects once after the start, and once after each large pass has settled", () => {
  using rig = new Rig();
  const passes = [
    pass(),
    pass(),
    pass({ planned: 10 }),
    pass(),
    pass({ planned: 5000 }),
    pass({ failureCount: 1 }),
  ];
  const counts = [...passes, pass(), pass()].map((report) => {
    rig.memory.passed(report);
    return rig.flavors.length;
  });
  assertEquals(counts, [1, 1, 1, 1, 1, 1, 2, 2]);
  assertEquals(rig.trimmed, 2);
});

Deno.test("MemoryKeeper collects once more when the host has been at rest for a while, and no more until it has worked", async () => {
  using time = new FakeTime();
  using rig = new Rig();
  const abort = new AbortController();
  const running = rig.memory.run(abort).catch((error) => error);
  const after = (ms: number) => rig.after(time, ms);
  assertEquals(await after(65_000), 0, "it has not come to rest yet");
  rig.memory.passed(pass());
  assertEquals([await after(9999), await after(1), await after(3_600_000)], [1, 2, 2]);
  rig.memory.passed(pass({ planned: 5000 }));
  rig.memory.passed(pass());
  assertEquals([await after(9999), await after(1), await after(3_600_000)], [3, 4, 4]);
  rig.memory.passed(pass({ planned: 5000 }));
  rig.memory.passed(pass());
  await after(5000);
  abort.abort();
  await running;
  assertEquals(await after(60_000), 5, "it has ended");
});

Deno.test("MemoryKeeper collects what many small passes left within a minute, in a moment after which nothing was changed", async () => {
  using time = new FakeTime();
  using rig = new Rig();
  const abort = new AbortController();
  const running = rig.memory.run(abort).catch((error) => error);
  const after = (ms: number) => rig.after(time, ms);
  rig.memory.passed(pass());
  assertEquals(await after(10_000), 2);

  rig.residentMiB = 87;
  assertEquals(await after(600_000), 2, "it is little");
  rig.residentMiB = 88;
  assertEquals([await after(59_999), await after(1)], [2, 3]);
  assertEquals([await after(600_000), rig.residentMiB], [3, 80]);

  rig.residentMiB = 100;
  for (let time = 0; time < 120_000; time += 400) {
    assertEquals(await after(400), 3, "something has just been changed");
    rig.memory.passed(pass({ planned: 2 }));
  }
  assertEquals(await after(1200), 4, "it is quiet");
  assertEquals(rig.flavors, ["last-resort", "last-resort", "regular", "regular"]);
  abort.abort();
  await running;
});
