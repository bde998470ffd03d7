import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { UnderlayFollower } from "../../src/cli/underlay_follower.ts";
import type { Log } from "../../src/log/log.ts";
import { parseAddress } from "../../src/model/address.ts";
import type { Underlay } from "../../src/model/underlay.ts";

const SILENT: Log = { write: () => {}, with: () => SILENT };

function underlay(address: string, linkIndex = 2): Underlay {
  const parsed = parseAddress(address);
  const family = typeof parsed === "number" ? 2 : 10;
  return {
    linkIndex,
    linkName: "eth0",
    mtuBytes: 1500,
    addresses: [{ family, address: parsed, advertised: parsed, mtuBytes: 1500, segments: [] }],
  };
}

/** A follower of a host that changes under it. */
function following(first: Underlay) {
  const host = { now: first as Underlay | undefined, changes: 0, looks: 0 };
  const choose = () => {
    host.looks++;
    if (host.now === undefined) throw new Error("no link fits");
    return host.now;
  };
  return { host, follower: new UnderlayFollower(choose, { log: SILENT, changed: () => host.changes++ }) };
}

Deno.test("UnderlayFollower needs an underlay at the start", () => {
  const choose = () => {
    throw new Error("no link fits");
  };
  assertThrows(() => new UnderlayFollower(choose, { log: SILENT, changed: () => {} }), Error, "no link fits");
});

Deno.test("UnderlayFollower looks only after a nudge, and keeps what has not changed", () => {
  const { host, follower } = following(underlay("2001:db8::1"));
  const before = follower.current;
  follower.follow();
  assertEquals(host.looks, 1);
  host.now = underlay("2001:db8::1");
  follower.nudge();
  follower.follow();
  assertEquals([host.looks, host.changes], [2, 0]);
  assertStrictEquals(follower.current, before);
});

Deno.test("UnderlayFollower tells once that an address or a link has changed", () => {
  const { host, follower } = following(underlay("192.0.2.1"));
  host.now = underlay("192.0.2.7", 9);
  follower.nudge();
  follower.follow();
  follower.follow();
  assertEquals([follower.current, follower.linkIndex, host.changes], [host.now, 9, 1]);
});

Deno.test("UnderlayFollower keeps the last choice while nothing fits, and looks until something does", () => {
  const first = underlay("192.0.2.1");
  const { host, follower } = following(first);
  host.now = undefined;
  follower.nudge();
  follower.follow();
  assertEquals([follower.current, follower.linkIndex], [first, 0]);
  host.now = underlay("192.0.2.1", 12);
  follower.follow();
  assertEquals([follower.linkIndex, host.changes], [12, 1]);
});
