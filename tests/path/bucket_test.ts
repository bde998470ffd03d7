import { assertEquals } from "@std/assert";
import { Bucket } from "../../src/path/bucket.ts";

Deno.test("a bucket gives its burst at once, and then so much a second", () => {
  const bucket = new Bucket({ perSecond: 10, burst: 3 }, 0);
  const taken = (nowMs: number, tries: number) =>
    Array.from({ length: tries }, () => bucket.take(nowMs)).filter(Boolean).length;
  assertEquals(taken(0, 10), 3, "the burst");
  assertEquals(taken(100, 10), 1, "a tenth of a second later");
  assertEquals(taken(100_000, 10), 3, "no more than the burst, however long it rested");
  assertEquals(taken(50_000, 10), 0, "a clock that goes back gives nothing");
});

Deno.test("a bucket gives as much as is asked for, or nothing", () => {
  const bucket = new Bucket({ perSecond: 10, burst: 8 }, 0);
  assertEquals([bucket.take(0, 5), bucket.take(0, 5), bucket.take(0, 3)], [true, false, true]);
});
