import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { BackOff } from "../../src/loop/back_off.ts";

/** How long each of so many pauses takes, in time that goes by at once. */
async function pauses(backOff: BackOff, count: number, leastMs?: number): Promise<number[]> {
  using time = new FakeTime(0);
  const took: number[] = [];
  for (let n = 0; n < count; n++) {
    const startedMs = time.now;
    const paused = backOff.pause({ signal: new AbortController().signal, leastMs });
    await time.nextAsync();
    await paused;
    took.push(time.now - startedMs);
  }
  return took;
}

Deno.test("BackOff doubles its pauses up to the last, and begins anew when told to", async () => {
  const backOff = new BackOff({ lastMs: 500, random: () => 1 });
  assertEquals(await pauses(backOff, 5), [100, 200, 400, 500, 500]);
  backOff.reset();
  assertEquals(await pauses(backOff, 1), [100]);
});

Deno.test("BackOff never pauses for less than half, so that nobody storms", async () => {
  const backOff = new BackOff({ firstMs: 80, random: () => 0 });
  assertEquals(await pauses(backOff, 8), [40, 80, 160, 320, 640, 1280, 2500, 2500]);
});

Deno.test("BackOff ends a pause when it is woken, or its signal aborts", async () => {
  const backOff = new BackOff({ firstMs: 60_000, lastMs: 60_000 });
  await backOff.pause({ woken: Promise.resolve() });
  await backOff.pause({ signal: AbortSignal.abort() });
});

Deno.test("BackOff leaves a server alone as long as it asks, and those whom it asked alike come back spread", async () => {
  for (const [random, expected] of [[0, [7000, 7000]], [0.5, [7050, 7100]]] as const) {
    assertEquals(await pauses(new BackOff({ random: () => random }), 2, 7000), [...expected]);
  }
  const late = new BackOff({ firstMs: 5000, random: () => 0 });
  assertEquals(await pauses(late, 1, 1000), [2500], "its own pause may be the longer one");
});
