import { assertEquals, assertStringIncludes } from "@std/assert";
import { errorText, keepRunning } from "../../src/cli/keep_running.ts";
import type { Log } from "../../src/log/log.ts";

Deno.test("keepRunning() starts a loop again that failed, says why, and ends with its signal", async () => {
  const controller = new AbortController();
  const said: unknown[] = [];
  const log: Log = { write: (level, event, fields) => said.push([level, event, fields]), with: () => log };
  let runs = 0;
  await keepRunning("registry watch", () => {
    runs++;
    if (runs === 3) controller.abort();
    return runs === 1 ? Promise.reject(new Error("the disk is gone")) : Promise.resolve();
  }, { signal: controller.signal, log });
  assertEquals(runs, 3);
  assertEquals(said, [[
    "error",
    "loop failed",
    { loop: "registry watch", reason: "the disk is gone", retryInMs: 100 },
  ]]);
});

Deno.test("keepRunning() takes what a loop throws at its end for its end", async () => {
  const controller = new AbortController();
  const said: string[] = [];
  const log: Log = { write: (_, event) => said.push(event), with: () => log };
  await keepRunning("any", () => {
    controller.abort(new Error("enough"));
    return Promise.reject(controller.signal.reason);
  }, { signal: controller.signal, log });
  assertEquals(said, []);
});

Deno.test("errorText() says what was thrown, whatever it is", () => {
  assertEquals(errorText(new TypeError("no")), "no");
  assertStringIncludes(errorText({ toString: () => "odd" }), "odd");
});
