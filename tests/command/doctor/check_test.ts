import { assert, assertEquals } from "@std/assert";
import { type Check, check, runChecks } from "../../../src/command/doctor/check.ts";
import { ok, UnseenError, wrong } from "../../../src/command/doctor/finding.ts";
import { findingLine, reportOf } from "../../../src/command/doctor/doctor.ts";
import type { DoctorPlace } from "../../../src/command/doctor/place.ts";

const { signal } = new AbortController();
const NOWHERE = {} as DoctorPlace;
const never = () => new Promise<never>(() => {});

async function run(checks: readonly Check[], allMs?: number) {
  const found = await Array.fromAsync(
    runChecks(checks, NOWHERE, { signal, ...allMs !== undefined && { allMs } }),
  );
  return found.map(({ check, verdict, text }) => `${check} ${verdict}: ${text}`);
}

Deno.test("a check that throws or hangs is told as not looked at, and hides no other", async () => {
  const lines = await run([
    check("first", () => 1, () => ok("well")),
    check("throws", () => {
      throw new Error("broken");
    }, () => ok("")),
    check("hangs", never, () => ok(""), { limitMs: 10 }),
    check("unseen", () => Promise.reject(new UnseenError("only root sees it")), () => ok("")),
    check("judge", () => 1, () => {
      throw new TypeError("no");
    }),
    check("last", () => 2, () => [ok("one"), wrong("two", "mend it")]),
  ]);
  assertEquals(lines, [
    "first ok: well",
    "throws unseen: broken",
    "hangs unseen: it was not seen within 0.01 s",
    "unseen unseen: only root sees it",
    "judge unseen: no",
    "last ok: one",
    "last wrong: two",
  ]);
});

const blockFor = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

Deno.test("a check that holds the process up takes no time of the others, and what answers at once is asked first", async () => {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    () => new Response("x"),
  );
  const ask = async () => await (await fetch(`http://127.0.0.1:${server.addr.port}`)).text();
  let hasAsked = false;
  const lines = await run([
    check(
      "asks",
      async () => {
        hasAsked = true;
        return await ask();
      },
      ok,
      { limitMs: 300, isFirst: true },
    ),
    check("blocks", () => void blockFor(900), () => ok(String(hasAsked))),
    check("asks too", ask, ok, { limitMs: 300 }),
    check("blocks as well", () => void blockFor(900), () => ok("")),
  ]);
  assertEquals(lines, ["asks ok: x", "blocks ok: true", "asks too ok: x", "blocks as well ok: "]);
});

Deno.test("all checks together have an end, however many hang", async () => {
  const startedMs = performance.now();
  const lines = await run(
    Array.from({ length: 30 }, (_, at) => check(`c${at}`, never, () => ok(""), { limitMs: 10_000 })),
    50,
  );
  assertEquals(lines.length, 30);
  assert(lines.every((line) => line.endsWith("not seen within 0.05 s")));
  assert(performance.now() - startedMs < 5000);
});

Deno.test("what the others wait for those that are asked first is no longer than all may take", async () => {
  const startedMs = performance.now();
  const lines = await run([
    check("first", never, () => ok(""), { limitMs: 10_000, isFirst: true }),
    check("other", never, () => ok(""), { limitMs: 10_000 }),
  ], 1000);
  assertEquals(lines.map((line) => line.split(":")[0]), ["first unseen", "other unseen"]);
  assert(performance.now() - startedMs < 1350, `${performance.now() - startedMs} ms`);
});

Deno.test("a finding is one line, with its remedy behind it", () => {
  assertEquals(
    findingLine({ check: "mtu", ...wrong("it is small", "raise it") }),
    "WRONG mtu: it is small; raise it",
  );
  assertEquals(findingLine({ check: "mtu", ...ok("1500") }), "ok    mtu: 1500");
  assertEquals(reportOf([{ check: "mtu", ...ok("1500") }]), {
    well: true,
    findings: [{ check: "mtu", ...ok("1500") }],
  });
});
