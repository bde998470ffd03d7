import { assert, assertEquals } from "@std/assert";
import { Watcher } from "../../../src/command/status/watch.ts";
import { lookOf } from "./looks.ts";

function watch(isTerminal: boolean, isJson: boolean): { watcher: Watcher; said: string[] } {
  const said: string[] = [];
  return { watcher: new Watcher({ say: (text) => said.push(text), isTerminal, isJson }), said };
}

Deno.test("Watcher paints a terminal anew each time, from its upper left", () => {
  const { watcher, said } = watch(true, false);
  watcher.see(lookOf({ ready: true }));
  watcher.see(lookOf({ ready: true }));
  assertEquals(said.length, 2);
  for (const text of said) assert(text.startsWith("\x1b[H\x1b[J2026-01-01T00:00:00Z ready\n"));
});

Deno.test("Watcher prints one JSON document for each change", () => {
  const { watcher, said } = watch(true, true);
  for (const ready of [true, true, false]) watcher.see(lookOf({ ready }));
  assertEquals(said.map((text) => JSON.parse(text).ready), [true, false]);
});
