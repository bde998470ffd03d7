import { assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { UsageError } from "../../../src/config/usage_error.ts";
import type { Output } from "../../../src/command/output.ts";
import type { Place } from "../../../src/command/command.ts";
import { statusOf } from "../../../src/command/status/status.ts";
import type { Look, LookOptions } from "../../../src/command/status/look.ts";
import { lookOf } from "./looks.ts";

/** Runs the command on looks that come one after another, the last one again and again. */
async function run(
  args: readonly string[],
  looks: readonly Look[],
  { isRoot = true, place = {} }: { readonly isRoot?: boolean; readonly place?: Partial<Place> } = {},
): Promise<{ code: number; said: string[]; asked: LookOptions[] }> {
  const said: string[] = [];
  const asked: LookOptions[] = [];
  const output = { say: (text: string) => said.push(text) } as unknown as Output;
  const { signal } = new AbortController();
  const code = await statusOf(args, { output, signal, ...place }, {
    isTerminal: false,
    isRoot,
    elapsedMs: Date.now,
    look: (options) => {
      asked.push(options);
      return Promise.resolve(looks[Math.min(asked.length, looks.length) - 1]!);
    },
  });
  return { code, said, asked };
}

const codes: [what: string, look: Look, code: number][] = [
  ["ready", lookOf({ ready: true }), 0],
  ["not ready", lookOf({ ready: false }), 1],
  ["without an agent", lookOf(undefined), 3],
];

for (const [what, look, code] of codes) {
  Deno.test(`status of a host that is ${what} ends with ${code}`, async () => {
    const ended = await run([], [look]);
    assertEquals([ended.code, ended.said.length], [code, 1]);
  });
}

Deno.test("status asks for peers as its flags say, at the agent of the subnet file that they name", async () => {
  const options = async (...args: string[]) => (await run(args, [lookOf({ ready: true })])).asked[0];
  assertEquals(await options(), { subnetFilePath: "/run/flannel/subnet.env", peers: "none" });
  assertEquals((await options("--peers"))?.peers, "some");
  assertEquals((await options("--all"))?.peers, "all");
  assertEquals((await options("--subnet-file=/x/y.env"))?.subnetFilePath, "/x/y.env");
});

Deno.test("status --wait looks until the host is ready, and prints that look alone", async () => {
  using time = new FakeTime();
  const ended = run(["--wait"], [lookOf(undefined), lookOf({ ready: false }), lookOf({ ready: true })]);
  for (let turn = 0; turn < 3; turn++) await time.tickAsync(500);
  const { code, said, asked } = await ended;
  assertEquals([code, said.length, asked.length], [0, 1, 3]);
});

Deno.test("status --wait ends with 1 when the time is over, though no agent answers", async () => {
  using time = new FakeTime();
  const ended = run(["--wait=3s"], [lookOf(undefined)]);
  for (let turn = 0; turn < 6; turn++) await time.tickAsync(500);
  assertEquals((await ended).code, 1);
});

Deno.test("status --watch without a terminal prints only what changes, until it is told to end", async () => {
  using time = new FakeTime();
  const controller = new AbortController();
  const looks = [
    lookOf({ ready: true }),
    lookOf({ ready: true }),
    lookOf({ ready: false, conditions: [["lease-missing", "no lease"]] }),
    lookOf(undefined),
    lookOf({ ready: true }),
  ];
  const ended = run(["--watch"], looks, { place: { signal: controller.signal } });
  for (let turn = 0; turn < 6; turn++) await time.tickAsync(2000);
  controller.abort();
  await time.tickAsync(2000);
  const { code, said } = await ended;
  assertEquals(code, 0);
  assertEquals(said.slice(1), [
    "2026-01-01T00:00:00Z - ready",
    "2026-01-01T00:00:00Z + NOT READY: lease-missing",
    "2026-01-01T00:00:00Z + blocking: lease-missing: no lease",
    "2026-01-01T00:00:00Z - NOT READY: lease-missing",
    "2026-01-01T00:00:00Z - blocking: lease-missing: no lease",
    "2026-01-01T00:00:00Z + no agent runs on this host",
    "2026-01-01T00:00:00Z - no agent runs on this host",
    "2026-01-01T00:00:00Z + ready",
  ]);
});

Deno.test("status refuses a user who is not root, other words and durations that are none", async () => {
  const look = [lookOf({ ready: true })];
  await assertRejects(
    () => run([], look, { isRoot: false }),
    Error,
    "Cannot look at this host: only root may ask its agent; run it as root, as with sudo",
  );
  await assertRejects(() => run(["h1"], look), UsageError, 'Cannot read "h1": status takes flags alone');
  await assertRejects(() => run(["--wait=x"], look), UsageError, "must be a duration");
});

Deno.test("status tells its help to any user", async () => {
  const { code, said } = await run(["--help"], [], { isRoot: false });
  assertEquals([code, said[0]!.split("\n")[0]], [0, "Usage: loden status [FLAGS]"]);
});
