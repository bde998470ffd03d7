import { assertEquals } from "@std/assert";
import { LinkedAbort } from "../../src/loop/linked_abort.ts";
import { aborted } from "../../src/loop/pause.ts";

const FOREVER_MS = 2 ** 40;
const never = () => new AbortController().signal;

Deno.test("LinkedAbort aborts with its source, before and after it was made, until it is disposed of", () => {
  const source = new AbortController();
  using linked = new LinkedAbort(source.signal);
  const gone = new LinkedAbort(source.signal);
  gone[Symbol.dispose]();
  source.abort("enough");
  assertEquals([linked.signal.reason, new LinkedAbort(source.signal).signal.reason], ["enough", "enough"]);
  assertEquals((gone.signal.reason as DOMException).name, "AbortError");
});

Deno.test("LinkedAbort aborts with the reason that its limit has, when the time is over", async () => {
  using linked = new LinkedAbort(never());
  linked.limit(1, "late");
  await aborted(linked.signal);
  assertEquals(linked.signal.reason, "late");
});

Deno.test("LinkedAbort goes by the last limit, a shorter, a longer or none, and leaves no timer behind", async () => {
  using short = new LinkedAbort(never());
  short.limit(FOREVER_MS, "long");
  short.limit(1, "short");
  await aborted(short.signal);
  assertEquals(short.signal.reason, "short");

  using long = new LinkedAbort(never());
  using none = new LinkedAbort(never());
  for (const linked of [long, none]) linked.limit(1, "short");
  long.limit(60, "long");
  none.limit(Infinity);
  const startedMs = performance.now();
  await aborted(long.signal);
  assertEquals([long.signal.reason, performance.now() - startedMs > 50], ["long", true]);
  assertEquals(none.signal.aborted, false);
  none.limit(FOREVER_MS);
});
