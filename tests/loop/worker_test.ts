import { assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import fc from "fast-check";
import type { Log } from "../../src/log/log.ts";
import { aborted, pause } from "../../src/loop/pause.ts";
import { inTurns, Workers } from "../../src/loop/worker.ts";
import { Trigger } from "../../src/loop/trigger.ts";

const SILENT: Log = { write: () => {} };

/** A trigger that never makes its caller wait; it remembers what it was asked for, and ends the loop. */
class HastyTrigger extends Trigger {
  readonly waits: number[] = [];
  readonly #controller = new AbortController();
  readonly signal = this.#controller.signal;

  constructor(readonly turns: number) {
    super();
  }

  override next(maxWaitMs: number): Promise<void> {
    this.waits.push(maxWaitMs);
    if (this.waits.length === this.turns) this.#controller.abort();
    return Promise.resolve();
  }
}

const still = () => 0;

const retries: [turns: (boolean | undefined)[], periodMs: number, waits: number[], why: string][] = [
  [
    [true, undefined, true],
    30_000,
    [30_000, 30_000, 30_000],
    "a turn that did all is repeated once a period",
  ],
  [
    [false, false, false, false],
    30_000,
    [100, 200, 400, 800],
    "one that did not is taken again, later each time",
  ],
  [[false, false, false, false, false], 500, [100, 200, 400, 500, 500], "but at least once a period"],
  [[false, false], 50, [50, 50], "the period may be shorter than the first retry"],
  [[false, false, true, false], 30_000, [100, 200, 30_000, 100], "and success starts over"],
];

for (const [turns, periodMs, waits, why] of retries) {
  Deno.test(`inTurns() waits ${waits.join(", ")} ms at most: ${why}`, async () => {
    const trigger = new HastyTrigger(turns.length);
    const answers = [...turns];
    const pace = { trigger, periodMs, elapsedMs: still, random: () => 1 };
    await inTurns(() => answers.shift(), pace)({ signal: trigger.signal });
    assertEquals(trigger.waits, waits);
  });
}

Deno.test("inTurns(): the waits double after each turn that fell short, and start anew after one that did not", async () => {
  const seed = Number(Deno.env.get("LODEN_SEED") ?? Date.now() % 2 ** 31);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 1, max: 60_000 }),
      async (turns, periodMs) => {
        const trigger = new HastyTrigger(turns.length);
        const answers = [...turns];
        const pace = { trigger, periodMs, elapsedMs: still, random: () => 1 };
        await inTurns(() => answers.shift(), pace)({ signal: trigger.signal });
        const expected = turns.map((isDone, at) => {
          const lastDone = turns.slice(0, at + 1).lastIndexOf(true);
          return isDone ? periodMs : Math.min(100 * 2 ** (at - lastDone - 1), periodMs);
        });
        assertEquals(trigger.waits, expected, `seed ${seed}`);
      },
    ),
    { seed },
  );
});

Deno.test("inTurns() spreads what is taken again, and never what is taken once a period", async () => {
  const trigger = new HastyTrigger(3);
  const answers = [false, false, true];
  const pace = { trigger, periodMs: 30_000, elapsedMs: still, random: () => 0.5 };
  await inTurns(() => answers.shift(), pace)({ signal: trigger.signal });
  assertEquals(trigger.waits, [75, 150, 30_000]);
});

Deno.test("inTurns() asks for the period anew after each turn", async () => {
  const trigger = new HastyTrigger(3);
  let periodMs = 0;
  await inTurns(() => {}, { trigger, periodMs: () => periodMs += 10, elapsedMs: still })({
    signal: trigger.signal,
  });
  assertEquals(trigger.waits, [10, 20, 30]);
});

Deno.test("inTurns() rests as each turn asks for, however many nudges come", async () => {
  const turnMs = 30;
  let elapsedMs = 0;
  const trigger = new HastyTrigger(4);
  const startedMs = performance.now();
  await inTurns(() => {}, {
    trigger,
    periodMs: 30_000,
    restMs: (tookMs) => tookMs,
    elapsedMs: () => elapsedMs += turnMs,
  })({
    signal: trigger.signal,
  });
  // A timer may come a little early, as clocks round.
  assertGreaterOrEqual(performance.now() - startedMs, 4 * turnMs - 4);
});

Deno.test("inTurns() rests the same after each turn", async () => {
  const trigger = new HastyTrigger(4);
  const startedMs = performance.now();
  await inTurns(() => {}, { trigger, periodMs: 30_000, restMs: 20, elapsedMs: still })({
    signal: trigger.signal,
  });
  // After the last one the signal has aborted, and nobody waits any more.
  assertGreaterOrEqual(performance.now() - startedMs, 4 * 20 - 4);
});

Deno.test("inTurns() takes one turn for a flood of nudges during the one before, and loses none", async () => {
  const controller = new AbortController();
  const trigger = new Trigger();
  let turns = 0;
  await inTurns(() => {
    turns++;
    if (turns === 1) { for (let nudge = 0; nudge < 1000; nudge++) trigger.nudge(); }
    if (turns === 2) setTimeout(() => controller.abort(), 20);
  }, { trigger, periodMs: 60_000 })({ signal: controller.signal });
  assertEquals(turns, 2);
});

Deno.test("inTurns() ends at once wherever its signal comes: in a turn, in the rest, in the wait", async () => {
  for (const at of ["turn", "rest", "wait"]) {
    const controller = new AbortController();
    const abort = () => controller.abort();
    const turn = () => {
      if (at === "turn") abort();
      else setTimeout(abort, 5);
    };
    const restMs = at === "rest" ? 60_000 : 0;
    await inTurns(turn, { periodMs: 60_000, restMs })({ signal: controller.signal });
    assertEquals(controller.signal.aborted, true, at);
  }
});

/** Runs a worker whose runs take and do what `runs` says; answers with how long it waited, and what held, after each. */
async function kept(
  runs: readonly { readonly tookMs: number; readonly fails?: string }[],
): Promise<[waitedMs: number, sentence: string | undefined][]> {
  using time = new FakeTime(0);
  const controller = new AbortController();
  const elapsedMs = () => time.now;
  const workers = new Workers({ log: SILENT, elapsedMs });
  const after: [number, string | undefined][] = [];
  const ended = { atMs: 0 };
  const todo = [...runs];
  const run = async () => {
    if (todo.length < runs.length) after.push([elapsedMs() - ended.atMs, workers.conditions[0]?.sentence]);
    const { tookMs, fails } = todo.shift()!;
    if (tookMs > 0) await pause(tookMs);
    ended.atMs = elapsedMs();
    if (todo.length === 0) controller.abort();
    if (fails !== undefined) throw new Error(fails);
  };
  const running = workers.run({ name: "registry watch", run }, controller);
  while (!controller.signal.aborted) await time.nextAsync();
  await running;
  assertEquals(workers.conditions, [], "one that has ended has no fault");
  return after;
}

const failed = (reason: string) => `the loop "registry watch" failed: ${reason}; it is started again`;

Deno.test("Workers starts one again that failed, says why, and ends with its signal", async () => {
  const after = await kept([{ tookMs: 1, fails: "the disk is gone" }, { tookMs: 1 }, { tookMs: 1 }]);
  assertEquals(after.map(([, sentence]) => sentence), Array(2).fill(failed("the disk is gone")));
});

Deno.test("Workers waits longer each time, and as short as ever after a run that was good for a while", async () => {
  const after = await kept([
    { tookMs: 1, fails: "a" },
    { tookMs: 1, fails: "b" },
    { tookMs: 60_000, fails: "c" },
    { tookMs: 1, fails: "d" },
    { tookMs: 1 },
  ]);
  const limits = [100, 200, 100, 200];
  for (const [at, [waitedMs]] of after.entries()) {
    assertEquals(waitedMs >= limits[at]! / 2 && waitedMs <= limits[at]!, true, `${at}: ${waitedMs} ms`);
  }
  assertEquals(after.map(([, sentence]) => sentence), ["a", "b", "c", "d"].map(failed));
});

Deno.test("Workers starts one that failed seven times in a year as soon as after the first", async () => {
  const monthMs = 30 * 24 * 3_600_000;
  const after = await kept([
    ...Array.from({ length: 7 }, () => ({ tookMs: monthMs, fails: "a" })),
    { tookMs: 1 },
  ]);
  assertEquals(after.length, 7);
  for (const [waitedMs] of after) assertLessOrEqual(waitedMs, 100);
});

Deno.test("Workers takes what one throws at its end for its end", async () => {
  assertEquals(await kept([{ tookMs: 1, fails: "enough" }]), []);
});

Deno.test("Workers says that a loop has failed until it has run for a while", async () => {
  let [nowMs, runs] = [0, 0];
  const workers = new Workers({ log: SILENT, elapsedMs: () => nowMs });
  const again = Promise.withResolvers<void>();
  const run = async ({ signal }: { readonly signal: AbortSignal }) => {
    if (++runs === 1) throw new Error("no");
    again.resolve();
    await aborted(signal);
  };
  await using _loop = workers.start({ name: "pass", run }, { signal: new AbortController().signal });
  await again.promise;
  nowMs = 9999;
  assertEquals(workers.conditions, [{
    code: "loop-failed",
    sentence: 'the loop "pass" failed: no; it is started again',
  }]);
  nowMs = 10_000;
  assertEquals(workers.conditions, []);
});

Deno.test("Workers runs all at a time, and one that fails again and again keeps no other from running", async () => {
  const controller = new AbortController();
  let turns = 0;
  await new Workers({ log: SILENT }).runAll([
    { name: "broken", run: () => Promise.reject(new Error("no")) },
    undefined,
    { name: "good", run: inTurns(() => void (++turns === 3 && controller.abort()), { periodMs: 1 }) },
  ], controller);
  assertEquals(turns, 3);
});

Deno.test("Workers ends one that was started when it is disposed of", async () => {
  let isRunning = false;
  {
    const run = async ({ signal }: { readonly signal: AbortSignal }) => {
      isRunning = true;
      await aborted(signal);
      isRunning = false;
    };
    const { signal } = new AbortController();
    await using _loop = new Workers({ log: SILENT }).start({ name: "loop", run }, { signal });
    assertEquals(isRunning, true);
  }
  assertEquals(isRunning, false);
});
