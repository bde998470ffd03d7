import { assertEquals, assertGreater, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";

Deno.test("FakeTime stands still until it is told to go on", () => {
  using time = new FakeTime("2026-01-01T00:00:00Z");
  assertEquals(new Date().toISOString(), "2026-01-01T00:00:00.000Z");
  assertEquals([Date.now(), new Date() instanceof Date], [time.now, true]);
  time.tick(1500);
  assertEquals(new Date().toISOString(), "2026-01-01T00:00:01.500Z");
  assertEquals(new Date(0).toISOString(), "1970-01-01T00:00:00.000Z");
});

Deno.test("FakeTime begins now where nothing else is said, and real time is back after it", () => {
  const before = Date.now();
  {
    using time = new FakeTime();
    assertGreater(time.now, before - 1);
    time.tick(1_000_000);
  }
  assertGreater(before + 1_000_000, Date.now());
});

Deno.test("tick() calls what is due, in the order of time, each at its time", () => {
  using time = new FakeTime(0);
  const said: string[] = [];
  const say = (word: string) => said.push(`${word} at ${time.now}`);
  setTimeout(say, 30, "thirty");
  setTimeout(say, 10, "ten");
  setTimeout(say, 10, "ten again");
  setTimeout(() => setTimeout(say, 5, "nested"), 10);
  setTimeout(say, 31, "later");
  clearTimeout(setTimeout(say, 10, "cleared"));
  time.tick(30);
  assertEquals(said, ["ten at 10", "ten again at 10", "nested at 15", "thirty at 30"]);
});

Deno.test("tick() calls an interval each time, until it is cleared", () => {
  using time = new FakeTime(0);
  const atMs: number[] = [];
  const interval = setInterval(() => {
    if (atMs.push(time.now) === 3) clearInterval(interval);
  }, 10);
  time.tick(100);
  assertEquals(atMs, [10, 20, 30]);
});

Deno.test("tickAsync() lets what waits for a promise set its timer first", async () => {
  using time = new FakeTime(0);
  let isOver = false;
  const waiting = (async () => {
    await Promise.resolve();
    await new Promise((resolve) => setTimeout(resolve, 10));
    isOver = true;
  })();
  await time.tickAsync(9);
  await time.tickAsync();
  assertEquals(isOver, false);
  await time.tickAsync(1);
  await waiting;
});

Deno.test("next() goes from timer to timer, and says when there is none", async () => {
  using time = new FakeTime(0);
  setTimeout(() => {}, 10);
  setTimeout(() => {}, 70);
  assertEquals([time.next(), time.now, await time.nextAsync(), time.now], [true, 10, true, 70]);
  assertEquals([time.next(), time.now, await time.nextAsync()], [false, 70, false]);
});

Deno.test("FakeTime is one at a time, and restored once", () => {
  const time = new FakeTime();
  try {
    assertThrows(() => new FakeTime(), Error, "Cannot fake time: it is faked already");
  } finally {
    time.restore();
  }
  assertThrows(() => time.restore(), Error, "Cannot restore time: it is real already");
});
