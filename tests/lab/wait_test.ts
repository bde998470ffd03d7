import { assertEquals, assertRejects } from "@std/assert";
import { waitUntil } from "../../src/lab/wait.ts";

const signal = new AbortController().signal;

Deno.test("waitUntil() returns what is found, and looks until then", async () => {
  let looks = 0;
  const found = await waitUntil("count", () => ++looks === 3 ? "three" : undefined, {
    deadlineMs: 5000,
    signal,
  });
  assertEquals([found, looks], ["three", 3]);
});

Deno.test("waitUntil() looks once more than never, and names what it waited for when time is up", async () => {
  let looks = 0;
  const look = () => void looks++;
  const state = () => `it is ${looks}`;
  await assertRejects(
    () => waitUntil("reach h2", look, { deadlineMs: 0, signal }, state),
    Error,
    "Cannot reach h2 within 0 s: it is 1",
  );
});

Deno.test("waitUntil() ends with the signal's reason when it aborts between two looks", async () => {
  const controller = new AbortController();
  const look = () => void queueMicrotask(() => controller.abort(new Error("enough")));
  const options = { deadlineMs: 60_000, signal: controller.signal };
  await assertRejects(() => waitUntil("reach h2", look, options), Error, "enough");
});
