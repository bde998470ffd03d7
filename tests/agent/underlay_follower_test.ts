import { assertEquals, assertRejects, assertStrictEquals, assertStringIncludes } from "@std/assert";
import { UnderlayFollower } from "../../src/agent/underlay_follower.ts";
import type { Log } from "../../src/log/log.ts";
import { formatAddress, parseAddress } from "../../src/model/address.ts";
import type { Underlay, UnderlayAddress } from "../../src/model/underlay.ts";
import type { AddressMove, Proof } from "../../src/host/address_proof.ts";
import type { EarlierChoice } from "../../src/overlay/underlay/choice_inputs.ts";
import { type UnderlayChoice, UnderlayError } from "../../src/overlay/underlay/underlay.ts";
import { RecordedLog } from "../double/recorded_log.ts";

const SILENT: Log = { write: () => {} };
const MAX_AGE_MS = 30_000;

function underlayAddress(text: string): UnderlayAddress {
  const address = parseAddress(text);
  const family = typeof address === "number" ? 2 : 10;
  return { family, address, advertised: address, mtuBytes: 1500, segments: [] };
}

function underlay(addresses: string, linkIndex = 2): Underlay {
  return {
    linkIndex,
    linkName: "eth0",
    mtuBytes: 1500,
    addresses: addresses.split(" ").map(underlayAddress),
  };
}

/** A choice that leaves nothing of the one before. */
const alone = (underlay: Underlay): UnderlayChoice => ({ underlay, carriers: new Set([underlay.linkIndex]) });
const unasked = () => Promise.reject(new Error("nobody is to be asked"));

const shown = ({ addresses }: Underlay) => addresses.map(({ address }) => formatAddress(address)).join(" ");

/** A follower of a host that changes under it. */
async function following(first: Underlay) {
  const host = { now: first as Underlay | undefined, changes: 0, looks: 0, nowMs: 0 };
  const deps = {
    choose: () => {
      host.looks++;
      if (host.now === undefined) throw new UnderlayError("no link fits");
      return alone(host.now);
    },
    prove: unasked,
    changed: () => host.changes++,
    elapsedMs: () => host.nowMs,
    log: SILENT,
  };
  const follower = await UnderlayFollower.open(deps, {
    waiting: () => {},
    maxAgeMs: MAX_AGE_MS,
    signal: new AbortController().signal,
  });
  const look = () => {
    follower.nudge();
    follower.follow();
  };
  return { host, follower, look };
}

Deno.test("UnderlayFollower waits for the network to come, and says what it waits for", async () => {
  const reasons: string[] = [];
  const follower = await UnderlayFollower.open({
    choose: () => {
      if (reasons.length < 2) throw new UnderlayError("no link fits");
      return alone(underlay("192.0.2.1"));
    },
    prove: unasked,
    changed: () => {},
    elapsedMs: () => 0,
    log: SILENT,
  }, {
    waiting: ({ code, sentence }) => void reasons.push(`${code}: ${sentence}`),
    maxAgeMs: MAX_AGE_MS,
    signal: new AbortController().signal,
  });
  assertEquals([reasons, shown(follower.current)], [[
    "underlay-missing: no link fits",
    "underlay-missing: no link fits",
  ], "192.0.2.1"]);
});

Deno.test("UnderlayFollower does not wait where a person is at fault, nor when it must end", async () => {
  const open = (error: Error, signal: AbortSignal) =>
    UnderlayFollower.open({
      choose: () => {
        throw error;
      },
      prove: unasked,
      changed: () => {},
      elapsedMs: () => 0,
      log: SILENT,
    }, { waiting: () => {}, maxAgeMs: MAX_AGE_MS, signal });
  await assertRejects(() => open(new SyntaxError("no regex"), new AbortController().signal), SyntaxError);
  await assertRejects(
    () => open(new UnderlayError("no link fits"), AbortSignal.abort(new Error("ended"))),
    Error,
  );
});

Deno.test("UnderlayFollower looks only after a nudge, and keeps what has not changed", async () => {
  const { host, follower, look } = await following(underlay("2001:db8::1"));
  const before = follower.current;
  follower.follow();
  assertEquals(host.looks, 1);
  host.now = underlay("2001:db8::1");
  look();
  assertEquals([host.looks, host.changes], [2, 0]);
  assertStrictEquals(follower.current, before);
});

Deno.test("UnderlayFollower looks again after a while, for what nobody told it", async () => {
  const { host, follower } = await following(underlay("192.0.2.1"));
  host.now = underlay("192.0.2.7");
  host.nowMs = MAX_AGE_MS - 1;
  follower.follow();
  assertEquals(host.changes, 0);
  host.nowMs = MAX_AGE_MS;
  follower.follow();
  follower.follow();
  assertEquals([shown(follower.current), host.changes, host.looks], ["192.0.2.7", 1, 2]);
});

Deno.test("UnderlayFollower tells once that an address or a link has changed", async () => {
  const { host, follower, look } = await following(underlay("192.0.2.1"));
  host.now = underlay("192.0.2.7", 9);
  look();
  follower.follow();
  assertEquals([follower.current, follower.linkIndex, host.changes], [host.now, 9, 1]);
});

Deno.test("UnderlayFollower keeps the last choice while nothing fits, and looks until something does", async () => {
  const first = underlay("192.0.2.1");
  const { host, follower, look } = await following(first);
  host.now = undefined;
  look();
  assertEquals([follower.current, follower.linkIndex, follower.reason], [first, 0, "no link fits"]);
  host.now = underlay("192.0.2.1", 12);
  follower.follow();
  assertEquals([follower.linkIndex, follower.reason, host.changes], [12, undefined, 1]);
});

const lost: [now: string, kept: string, shortfalls: string[], why: string][] = [
  ["192.0.2.7", "192.0.2.7 2001:db8::1", ["link eth0 has lost 2001:db8::1"], "the other family goes on"],
  ["2001:db8::7", "192.0.2.1 2001:db8::7", ["link eth0 has lost 192.0.2.1"], "IPv4 stays first"],
  [
    "192.0.2.1 fe80::1",
    "192.0.2.1 2001:db8::1",
    ["link eth0 has lost 2001:db8::1"],
    "a link-local address is no substitute",
  ],
];

for (const [now, kept, shortfalls, why] of lost) {
  Deno.test(`UnderlayFollower makes ${kept} of ${now} after 192.0.2.1 2001:db8::1: ${why}`, async () => {
    const { host, follower, look } = await following(underlay("192.0.2.1 2001:db8::1"));
    host.now = underlay(now);
    look();
    assertEquals([shown(follower.current), follower.current.shortfalls], [kept, shortfalls]);
    assertEquals(shown(follower.usable), now.replace(" fe80::1", ""), "only these are built upon");
    host.now = underlay("192.0.2.1 2001:db8::1");
    look();
    assertEquals([shown(follower.current), follower.current.shortfalls], [
      "192.0.2.1 2001:db8::1",
      undefined,
    ]);
    assertEquals(shown(follower.usable), "192.0.2.1 2001:db8::1");
  });
}

/** A follower in whose host another choice has come up while what is in use goes on, and who answers what. */
async function deciding(...answers: Proof[]) {
  const first: Underlay = { ...underlay("192.0.2.1 2001:db8::1"), chosenBy: "-iface eth1" };
  const better: Underlay = {
    ...underlay("198.51.100.1 2001:db8::1", 3),
    linkName: "eth1",
    chosenBy: "-iface eth0",
    reason: "it is back",
  };
  const host = {
    now: { ...alone(better), stays: first } as UnderlayChoice,
    asked: [] as AddressMove[][],
    answers: [] as PromiseWithResolvers<Proof>[],
    changes: 0,
    nowMs: 0,
    standing: [] as EarlierChoice[],
  };
  const log = new RecordedLog();
  const controller = new AbortController();
  const follower = await UnderlayFollower.open({
    choose: (standing) => {
      host.standing.push(standing);
      return standing.inUse === undefined ? alone(first) : host.now;
    },
    prove: (moves, { signal }) => {
      host.asked.push([...moves]);
      const answer = Promise.withResolvers<Proof>();
      signal.addEventListener("abort", () => answer.reject(signal.reason));
      host.answers.push(answer);
      if (answers.length > 0) answer.resolve(answers.shift()!);
      return answer.promise;
    },
    changed: () => host.changes++,
    elapsedMs: () => host.nowMs,
    log,
  }, { waiting: () => {}, maxAgeMs: MAX_AGE_MS, signal: controller.signal });
  const running = follower.run(controller);
  const end = async () => {
    controller.abort();
    await running;
  };
  return { host, follower, first, better, log, end };
}

/** Waits until a condition holds, for at most some seconds. */
async function until(condition: () => boolean): Promise<void> {
  const endsAt = performance.now() + 5000;
  while (!condition()) {
    if (performance.now() > endsAt) throw new Error("Cannot see the condition come about: it did not in 5 s");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

for (const proof of ["answered", "silent"] as const) {
  Deno.test(`UnderlayFollower changes where the old address works once peers are asked, and it is ${proof}`, async () => {
    const { host, follower, first, better, log, end } = await deciding();
    follower.nudge();
    follower.follow();
    assertEquals([follower.current, host.changes], [first, 0], "nothing is proved yet");
    await until(() => host.asked.length === 1);
    assertEquals(host.asked, [[{
      from: { address: parseAddress("192.0.2.1"), linkName: "eth0" },
      to: { address: parseAddress("198.51.100.1"), linkName: "eth1" },
    }]]);
    host.answers[0]!.resolve(proof);
    await until(() => host.changes === 1);
    assertEquals([follower.current, follower.linkIndex, follower.note], [better, 3, undefined]);
    assertStringIncludes(log.lines.at(-1)!, 'info underlay changed {"underlayLink":"eth1"');
    assertStringIncludes(log.lines.at(-1)!, '"reason":"it is back"');
    await end();
  });
}

Deno.test("UnderlayFollower stays where only the old address is answered, says so, and asks again in time", async () => {
  const { host, follower, first, better, end } = await deciding("worse", "worse", "answered");
  follower.nudge();
  await until(() => follower.note !== undefined);
  assertEquals(
    follower.note,
    "198.51.100.1 on eth1 would carry the overlay (it is back), but no peer answers from there: " +
      "192.0.2.1 on eth0 stays",
  );
  assertEquals([follower.current, host.changes, host.asked.length], [first, 0, 1]);
  host.nowMs += MAX_AGE_MS;
  follower.nudge();
  await until(() => host.asked.length === 2);
  host.nowMs += MAX_AGE_MS;
  follower.nudge();
  await until(() => host.changes === 1);
  assertEquals([follower.current, follower.note], [better, undefined]);
  await end();
});

Deno.test("UnderlayFollower does not wait for a proof when what is in use is lost, nor when there is nothing to prove", async () => {
  const { host, follower, first, better, end } = await deciding();
  follower.nudge();
  await until(() => host.asked.length === 1);
  host.now = alone(first);
  follower.nudge();
  follower.follow();
  await assertRejects(() => host.answers[0]!.promise, DOMException);
  assertEquals([follower.current, host.changes], [first, 0]);
  host.now = { ...alone(better), stays: first };
  follower.nudge();
  await until(() => host.asked.length === 2);
  host.now = alone(better);
  follower.nudge();
  follower.follow();
  assertEquals([follower.current, host.changes], [better, 1]);
  await end();
});

Deno.test("UnderlayFollower looks by itself after a nudge, few times for many, and hears of carriers only", async () => {
  const { host, follower, first, end } = await deciding();
  host.now = { ...alone({ ...first, mtuBytes: 1400 }), carriers: new Set([2, 7]) };
  for (let count = 0; count < 100; count++) follower.nudge();
  await until(() => host.changes === 1);
  assertEquals([host.standing.length, follower.isCarrier(7), follower.isCarrier(8)], [2, true, false]);
  await end();
});

Deno.test("UnderlayFollower tells a choice what is in use and what each way led to first", async () => {
  const { host, follower, first, better, end } = await deciding();
  host.now = alone(better);
  follower.nudge();
  follower.follow();
  follower.nudge();
  follower.follow();
  assertEquals(host.standing, [{}, { inUse: first, first: [first] }, {
    inUse: better,
    first: [first, better],
  }]);
  await end();
});
