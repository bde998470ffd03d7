import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { UnderlayFollower } from "../../src/cli/underlay_follower.ts";
import type { Log } from "../../src/log/log.ts";
import { formatAddress, parseAddress } from "../../src/model/address.ts";
import type { Underlay, UnderlayAddress } from "../../src/model/underlay.ts";
import { UnderlayError } from "../../src/underlay/underlay.ts";

const SILENT: Log = { write: () => {}, with: () => SILENT };
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

const shown = ({ addresses }: Underlay) => addresses.map(({ address }) => formatAddress(address)).join(" ");

/** A follower of a host that changes under it. */
async function following(first: Underlay) {
  const host = { now: first as Underlay | undefined, changes: 0, looks: 0, nowMs: 0 };
  const deps = {
    choose: () => {
      host.looks++;
      if (host.now === undefined) throw new UnderlayError("no link fits");
      return host.now;
    },
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
      return underlay("192.0.2.1");
    },
    changed: () => {},
    elapsedMs: () => 0,
    log: SILENT,
  }, {
    waiting: (reason) => void reasons.push(reason),
    maxAgeMs: MAX_AGE_MS,
    signal: new AbortController().signal,
  });
  assertEquals([reasons, shown(follower.current)], [["no link fits", "no link fits"], "192.0.2.1"]);
});

Deno.test("UnderlayFollower does not wait where a person is at fault, nor when it must end", async () => {
  const open = (error: Error, signal: AbortSignal) =>
    UnderlayFollower.open({
      choose: () => {
        throw error;
      },
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
