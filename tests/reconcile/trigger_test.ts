import { assert, assertEquals, assertGreaterOrEqual, assertLess, assertRejects } from "@std/assert";
import { delay, Trigger } from "../../src/reconcile/trigger.ts";

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

Deno.test("delay() ends at once when its signal has aborted, and leaves no timer behind", async () => {
  const startedMs = performance.now();
  await delay(FOREVER_MS, { signal: AbortSignal.abort() });
  const controller = new AbortController();
  const waiting = delay(FOREVER_MS, { signal: controller.signal });
  controller.abort();
  await waiting;
  assert(performance.now() - startedMs < 5000);
  assertEquals(await delay(0, { signal: never() }), undefined);
});
