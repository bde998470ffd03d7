import { assertEquals, assertGreaterOrEqual, assertLess } from "@std/assert";
import { aborted, pause, within, withinHearing } from "../../src/loop/pause.ts";

const FOREVER_MS = 60_000;

Deno.test("pause() ends with its signal, before and during, and leaves no timer behind", async () => {
  const startedMs = performance.now();
  await pause(FOREVER_MS, { signal: AbortSignal.abort() });
  const controller = new AbortController();
  const waiting = pause(FOREVER_MS, controller);
  controller.abort();
  await waiting;
  assertLess(performance.now() - startedMs, 5000);
});

Deno.test("pause() waits for its time, and not at all for one that is past", async () => {
  const startedMs = performance.now();
  await pause(20);
  assertGreaterOrEqual(performance.now() - startedMs, 18);
  await pause(-FOREVER_MS);
});

Deno.test("pause() ends when it is woken", async () => {
  await pause(FOREVER_MS, { woken: Promise.resolve() });
});

Deno.test("within() gives up on a promise that takes too long, and leaves no timer behind", async () => {
  assertEquals(await within(Promise.resolve(7), FOREVER_MS), 7);
  assertEquals(await within(new Promise(() => {}), 1), undefined);
});

Deno.test("withinHearing() hears what came while the thread was held up, and gives up in the end", async () => {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    () => new Response("x"),
  );
  const answer = fetch(`http://127.0.0.1:${server.addr.port}`).then((response) => response.text());
  const heard = withinHearing(answer, 200);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600);
  assertEquals(await heard, "x");
  assertEquals(await withinHearing(new Promise(() => {}), 1), undefined);
});

Deno.test("aborted() waits for a signal, also for one that has aborted already", async () => {
  const controller = new AbortController();
  const waiting = aborted(controller.signal);
  controller.abort();
  await waiting;
  await aborted(controller.signal);
});
