import { assertEquals, assertStrictEquals } from "@std/assert";
import { type Address, parseAddress } from "../../../src/model/address.ts";
import type { Reach } from "../../../src/model/reach.ts";
import { ON_SEGMENT } from "../../../src/overlay/underlay/reach.ts";
import { ReachMemory } from "../../../src/overlay/underlay/reach_memory.ts";

const B = parseAddress("192.0.2.2");
const C = parseAddress("2001:db8::3");
const AWAY: Reach = { place: "elsewhere", why: "it is reached through the gateway 192.0.2.254" };
const NO_WAY: Reach = { place: "elsewhere", why: "this host has no route to it" };
const NOBODY: Reach = { place: "nobody", why: "is this host's own" };

function memory(hasTunnel = true) {
  const damping = { turns: 0, waitMs: 0, turn: () => void damping.turns++ };
  const it = new ReachMemory(damping, { hasTunnel });
  /** Takes one answer about `address`, and says what is believed then. */
  const hear = (reach: Reach, nowMs: number, address: Address = B) => {
    it.take(new Map([[address, reach]]), new Set([B, C]), nowMs);
    return it.reaches.get(address)?.place;
  };
  return { it, hear, damping };
}

Deno.test("the first answer about an address is believed", () => {
  for (const reach of [ON_SEGMENT, AWAY, NOBODY]) {
    assertEquals(memory().hear(reach, 0), reach.place);
  }
});

Deno.test("that one has left the segment is believed once it has stood for a second", () => {
  for (const hasTunnel of [true, false]) {
    const { it, hear, damping } = memory(hasTunnel);
    hear(ON_SEGMENT, 0);
    assertEquals([hear(AWAY, 100), it.waitMs(100), [...it.doubted]], ["segment", 1000, [B]]);
    assertEquals([hear(AWAY, 1000), it.waitMs(1000)], ["segment", 100]);
    // Another way to the same end is no new beginning.
    assertEquals([hear(NO_WAY, 1100), it.waitMs(1100), damping.turns], ["elsewhere", undefined, 1]);
  }
});

Deno.test("a way that was lost for a moment was not lost", () => {
  const { it, hear, damping } = memory();
  hear(ON_SEGMENT, 0);
  const before = it.reaches;
  hear(AWAY, 100);
  assertEquals([hear(ON_SEGMENT, 900), it.waitMs(900)], ["segment", undefined]);
  hear(AWAY, 1500);
  assertEquals([hear(AWAY, 2400), damping.turns], ["segment", 0]);
  assertStrictEquals(it.reaches, before);
});

Deno.test("that one has come onto the segment is believed after a second where it is reached meanwhile, else at once", () => {
  const { hear } = memory(true);
  hear(AWAY, 0);
  assertEquals([hear(ON_SEGMENT, 100), hear(ON_SEGMENT, 1100)], ["elsewhere", "segment"]);
  const plain = memory(false);
  plain.hear(AWAY, 0);
  assertEquals(plain.hear(ON_SEGMENT, 100), "segment");
});

Deno.test("a way that comes and goes is used again only after a pause, and lost as before", () => {
  const { it, hear, damping } = memory();
  hear(AWAY, 0);
  damping.waitMs = 30_000;
  assertEquals([hear(ON_SEGMENT, 100), hear(ON_SEGMENT, 5000), it.waitMs(5000)], [
    "elsewhere",
    "elsewhere",
    30_000,
  ]);
  damping.waitMs = 0;
  assertEquals(hear(ON_SEGMENT, 35_000), "segment");
  damping.waitMs = 30_000;
  hear(AWAY, 36_000);
  assertEquals(hear(AWAY, 37_000), "elsewhere");
});

Deno.test("another reason, and an address that becomes this host's own or ceases to be, count at once", () => {
  const { hear, it } = memory();
  hear(AWAY, 0);
  hear(NO_WAY, 1);
  assertEquals(it.reaches.get(B), NO_WAY);
  assertEquals(hear(NOBODY, 2), "nobody");
  assertEquals(hear(AWAY, 3), "elsewhere");
});

Deno.test("take() counts those that move, keeps what it was not told of, and forgets who has left", () => {
  const { it } = memory(false);
  const both = new Set([B, C]);
  assertEquals(it.take(new Map([[B, AWAY], [C, ON_SEGMENT]]), both, 0), 0);
  const before = it.reaches;
  assertEquals(it.take(new Map(), both, 1), 0);
  assertStrictEquals(it.reaches, before);
  assertEquals(it.take(new Map([[B, ON_SEGMENT], [C, AWAY]]), both, 2), 1);
  assertEquals([...it.doubted], [C]);
  it.take(new Map(), new Set([B]), 3);
  assertEquals([[...it.reaches.keys()], [...it.doubted], it.waitMs(3)], [[B], [], undefined]);
  it.forget();
  assertEquals(it.reaches.size, 0);
});
