import { assertEquals } from "@std/assert";
import { waitUntil } from "../../src/lab/wait.ts";
import { ContestWatch } from "../../src/registry/contest_watch.ts";
import type { Log } from "../../src/log/log.ts";

const SILENT: Log = { write: () => {} };

Deno.test("ContestWatch tells who is gone from who lives, and counts whom it can't ask for as living", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  let rivals: readonly string[] = [];
  let asked = 0;
  const watch = new ContestWatch({
    registry: {
      isSilent: (host) => {
        asked++;
        return host === "away" ? Promise.reject(new Error("away")) : Promise.resolve(host === "gone");
      },
    },
    rivals: () => rivals,
    log: SILENT,
  });
  const run = watch.run({ signal });
  const until = (what: string, isSo: () => boolean) =>
    waitUntil(what, () => isSo() || undefined, { deadlineMs: 5000, signal });
  assertEquals(asked, 0, "nobody is looked at while there is no rival");
  rivals = ["gone", "alive", "away"];
  watch.nudge();
  await until("see one gone", () => watch.isSilent("gone"));
  assertEquals(["gone", "alive", "away"].map((host) => watch.isSilent(host)), [true, false, false]);
  rivals = [];
  watch.nudge();
  await until("forget who is no rival", () => !watch.isSilent("gone"));
  assertEquals(asked, 3);
  controller.abort();
  await run;
});

Deno.test("ContestWatch asks for some of very many rivals, each once", async () => {
  const controller = new AbortController();
  const asked: string[] = [];
  const watch = new ContestWatch({
    registry: {
      isSilent: (host) => {
        asked.push(host);
        return Promise.resolve(true);
      },
    },
    rivals: () => Array.from({ length: 60_000 }, (_, at) => `h${at >> 1}`),
    log: SILENT,
  });
  const run = watch.run(controller);
  await waitUntil("look", () => watch.isSilent("h19") || undefined, {
    deadlineMs: 5000,
    signal: controller.signal,
  });
  assertEquals(asked, Array.from({ length: 20 }, (_, at) => `h${at}`));
  controller.abort();
  await run;
});
