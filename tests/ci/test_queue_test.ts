import { assertEquals, assertThrows } from "@std/assert";
import { ALONE, type Job, LONG, makeJobs, runQueue, workersOf } from "../../.ci/test_queue.ts";

/** A run of a queue: what has started and not ended, and with whom each job was. */
class Run {
  readonly started: string[] = [];
  readonly #beside = new Map<string, Set<string>>();
  readonly #ends = new Map<string, () => void>();

  readonly run = async ({ path }: Job): Promise<void> => {
    this.started.push(path);
    this.#beside.set(path, new Set());
    for (const other of this.#ends.keys()) {
      this.#beside.get(other)!.add(path);
      this.#beside.get(path)!.add(other);
    }
    await new Promise<void>((resolve) => this.#ends.set(path, resolve));
  };

  /** Ends the job that has run longest; returns it, or `undefined` if none runs. */
  async endOne(): Promise<string | undefined> {
    const [path, end] = this.#ends.entries().next().value ?? [];
    if (path === undefined) return undefined;
    this.#ends.delete(path);
    end!();
    // All that follows from it starts before the next task.
    await new Promise((resolve) => setTimeout(resolve, 0));
    return path;
  }

  get running(): number {
    return this.#ends.size;
  }

  beside(path: string): string[] {
    return [...this.#beside.get(path)!].sort();
  }
}

const job = (path: string, isAlone = false): Job => ({ path, isAlone });

Deno.test("runQueue() runs every job once, in order, and as many side by side as there are workers", async () => {
  const paths = Array.from({ length: 7 }, (_, index) => `t${index}`);
  const run = new Run();
  const queue = runQueue(paths.map((path) => job(path)), 3, run.run);
  const ended: string[] = [];
  for (const left of [7, 6, 5, 4, 3, 2, 1]) {
    assertEquals(run.running, Math.min(left, 3));
    ended.push(await run.endOne() ?? "none");
  }
  await queue;
  assertEquals(run.started, paths);
  assertEquals(ended, paths);
});

Deno.test("runQueue() runs a job that must be alone beside no other", async () => {
  const run = new Run();
  const jobs = [job("a1", true), job("s1"), job("a2", true), job("s2"), job("s3")];
  const queue = runQueue(jobs, 3, run.run);
  while (await run.endOne() !== undefined);
  await queue;
  assertEquals(run.started, ["s1", "s2", "s3", "a1", "a2"]);
  assertEquals(run.started.map((path) => run.beside(path)), [
    ["s2", "s3"],
    ["s1", "s3"],
    ["s1", "s2"],
    [],
    [],
  ]);
});

Deno.test("runQueue() needs no more jobs than there are", async () => {
  const run = new Run();
  const queue = runQueue([job("one")], 8, run.run);
  assertEquals([await run.endOne(), await run.endOne()], ["one", undefined]);
  await queue;
  await runQueue([], 8, run.run);
  assertEquals(run.started, ["one"]);
});

Deno.test("makeJobs() has what takes long first, the rest by name, and knows what must be alone", () => {
  const [alone] = Object.keys(ALONE) as [string];
  const paths = ["tests/z_test.ts", alone, LONG[1]!, "tests/a_test.ts", LONG[0]!];
  assertEquals(
    makeJobs(paths).map(({ path, isAlone }) => [path, isAlone]),
    [
      [LONG[0], false],
      [LONG[1], false],
      ["tests/a_test.ts", false],
      [alone, true],
      ["tests/z_test.ts", false],
    ],
  );
});

Deno.test("workersOf() is what LODEN_TEST_JOBS says, else two for each processor", () => {
  assertEquals(workersOf("3"), 3);
  for (const nothing of [undefined, ""]) assertEquals(workersOf(nothing), 2 * navigator.hardwareConcurrency);
  for (const text of ["0", "-1", "1.5", "many"]) {
    assertThrows(() => workersOf(text), Error, `set LODEN_TEST_JOBS to a number from 1`);
  }
});
