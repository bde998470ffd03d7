import { assert, assertEquals } from "@std/assert";
import { BackOff } from "../../src/lease/back_off.ts";
import { Contact } from "../../src/lease/contact.ts";
import { pause } from "../../src/lease/pause.ts";
import type { Log } from "../../src/log/log.ts";

Deno.test("BackOff doubles its pauses up to the last, and begins anew when told to", () => {
  const backOff = new BackOff({ firstMs: 100, lastMs: 500, random: () => 1 });
  assertEquals([1, 2, 3, 4, 5].map(() => backOff.next()), [100, 200, 400, 500, 500]);
  backOff.reset();
  assertEquals(backOff.next(), 100);
});

Deno.test("BackOff never pauses for less than half, so that nobody storms", () => {
  const backOff = new BackOff({ firstMs: 100, lastMs: 500, random: () => 0 });
  assertEquals([1, 2, 3, 4].map(() => backOff.next()), [50, 100, 200, 250]);
});

Deno.test("pause() ends with its signal, before, during and after", async () => {
  const controller = new AbortController();
  const waits = pause(60_000, controller);
  controller.abort();
  await waits;
  await pause(60_000, controller);
  const startedMs = performance.now();
  await pause(20, { signal: new AbortController().signal });
  assert(performance.now() - startedMs >= 18);
});

Deno.test("Contact says once that a registry is away, and once that it is back", () => {
  const said: unknown[] = [];
  const log: Log = {
    write: (level, event, fields) => said.push([level, event, fields?.reason]),
    with: () => log,
  };
  let nowMs = 1000;
  const contact = new Contact({ log, now: () => nowMs });
  assertEquals([contact.heardAtMs, contact.reason], [undefined, "the registry is not followed yet"]);
  contact.heard();
  contact.heard();
  assertEquals([contact.heardAtMs, contact.reason, said], [1000, undefined, []]);
  nowMs = 2000;
  contact.lost("refused");
  contact.lost("refused");
  assertEquals([contact.heardAtMs, contact.reason], [1000, "refused"]);
  contact.lost("timed out");
  contact.heard();
  contact.heard();
  assertEquals([contact.heardAtMs, contact.reason], [2000, undefined]);
  assertEquals(said, [
    ["warn", "registry not followed", "refused"],
    ["warn", "registry not followed", "timed out"],
    ["info", "registry followed again", undefined],
  ]);
});
