import { assertEquals, assertGreaterOrEqual, assertLess, assertRejects } from "@std/assert";
import { Trigger } from "../../src/loop/trigger.ts";

const FOREVER_MS = 60_000;
const never = () => new AbortController().signal;

Deno.test("Trigger.next() takes any number of nudges as one", async () => {
  const trigger = new Trigger();
  for (let nudge = 0; nudge < 1000; nudge++) trigger.nudge();
  await trigger.next(FOREVER_MS, { signal: never() });
  const startedMs = performance.now();
  await trigger.next(20, { signal: never() });
  assertGreaterOrEqual(performance.now() - startedMs, 15);
});

Deno.test("Trigger.next() ends when a nudge comes", async () => {
  const trigger = new Trigger();
  const waiting = trigger.next(FOREVER_MS, { signal: never() });
  trigger.nudge();
  await waiting;
});

Deno.test("Trigger.next() remembers a nudge that came while nobody waited", async () => {
  const trigger = new Trigger();
  await trigger.next(1, { signal: never() });
  trigger.nudge();
  const startedMs = performance.now();
  await trigger.next(FOREVER_MS, { signal: never() });
  assertLess(performance.now() - startedMs, 5000);
});

Deno.test("Trigger.next() ends with the signal's reason", async () => {
  const controller = new AbortController();
  const waiting = new Trigger().next(FOREVER_MS, { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assertRejects(() => waiting, Error, "enough");
  await assertRejects(() => new Trigger().next(1, { signal: controller.signal }), Error, "enough");
});

/** Counts the listeners that a signal has. */
function watched(signal: AbortSignal): { readonly signal: AbortSignal; readonly listeners: () => number } {
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  return { signal, listeners: () => listeners };
}

Deno.test("Trigger.next() leaves no listener at a signal that lives as long as the agent", async () => {
  const { signal, listeners } = watched(new AbortController().signal);
  const trigger = new Trigger();
  const nudged = trigger.next(FOREVER_MS, { signal });
  assertEquals(listeners(), 1);
  trigger.nudge();
  await nudged;
  assertEquals(listeners(), 0);
  await trigger.next(1, { signal });
  trigger.nudge();
  await trigger.next(FOREVER_MS, { signal });
  assertEquals(listeners(), 0);
});

Deno.test("Trigger.next() keeps a nudge that comes during the pass for the one after it", async () => {
  const trigger = new Trigger();
  trigger.nudge();
  await trigger.next(FOREVER_MS, { signal: never() });
  // The pass is under way.
  trigger.nudge();
  trigger.nudge();
  await trigger.next(FOREVER_MS, { signal: never() });
  const startedMs = performance.now();
  await trigger.next(20, { signal: never() });
  assertGreaterOrEqual(performance.now() - startedMs, 15);
});

Deno.test("Trigger.clear() forgets the nudges before it, and none after it", async () => {
  const trigger = new Trigger();
  trigger.nudge();
  trigger.clear();
  const startedMs = performance.now();
  await trigger.next(20, { signal: never() });
  assertGreaterOrEqual(performance.now() - startedMs, 15);
  trigger.clear();
  trigger.nudge();
  await trigger.next(FOREVER_MS, { signal: never() });
});
