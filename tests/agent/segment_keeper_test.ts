import { assertEquals, assertStrictEquals } from "@std/assert";
import { SegmentKeeper } from "../../src/agent/segment_keeper.ts";
import { type Address, formatAddress, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import type { RouteLookup } from "../../src/rtnetlink/route_lookup.ts";
import { leaseOf, underlay, underlayAddress } from "../overlay/backend/values.ts";

const BOTH = underlay(underlayAddress("192.0.2.1"), underlayAddress("2001:db8::1"));
const MAX_AGE_MS = 60_000;
const peer = (host: string, ...addresses: string[]) =>
  leaseOf(
    "vxlan",
    host,
    ...addresses.map((address): [string, string] => [
      address.includes(":") ? "fd00:10:244:2::/64" : "10.244.2.0/24",
      address,
    ]),
  );
const PEERS = [peer("b", "192.0.2.2", "2001:db8::2"), peer("c", "198.51.100.3"), peer("d", "fe80::4")];

/** A keeper, the kernel that it asks, and a clock that is set by hand. */
function world(peers: readonly Lease[] = PEERS, hasTunnel = true) {
  const state = {
    peers,
    nowMs: 0,
    isLost: false,
    changed: 0,
    asked: [] as string[],
    logged: [] as unknown[],
    error: undefined as Error | undefined,
    /** Addresses that are reached through a gateway. */
    away: ["198.51.100.3"],
    /** Addresses that are reached over another link. */
    beyond: [] as string[],
  };
  const log = {
    write: (_: unknown, event: string, fields: unknown) => void state.logged.push([event, fields]),
  };
  const way = (address: Address): RouteLookup => ({
    linkIndex: state.beyond.includes(formatAddress(address)) ? 3 : 2,
    source: undefined,
    mtuBytes: 0,
    isMtuLearnt: false,
    protocol: 3,
    type: 1,
    gateway: state.away.includes(formatAddress(address)) ? parseAddress("192.0.2.254") : undefined,
  });
  const keeper = new SegmentKeeper({
    ask: (address, linkIndex) => {
      if (state.error !== undefined) throw state.error;
      state.asked.push(`${formatAddress(address)}${linkIndex === 0 ? "" : ` over ${linkIndex}`}`);
      return way(address);
    },
    peers: () => state.peers,
    leaseType: "vxlan",
    hasTunnel,
    isLost: () => state.isLost,
    changed: () => void state.changed++,
    maxAgeMs: MAX_AGE_MS,
    elapsedMs: () => state.nowMs,
    log: log as never,
  });
  /** Looks, and says where peers are: those on the segment. */
  const look = (at: Underlay = BOTH) => {
    state.asked = [];
    const [first] = keeper.look(at).addresses;
    return [...first!.reaches!].filter(([, { place }]) => place === "segment").map(([address]) =>
      formatAddress(address)
    );
  };
  return { state, keeper, look };
}

Deno.test("look() asks once for each peer of the backend, a link-local one over the link", () => {
  const { state, keeper, look } = world([...PEERS, { ...peer("x", "192.0.2.9"), backendType: "host-gw" }]);
  assertEquals(look(), ["192.0.2.2", "2001:db8::2", "fe80::4"]);
  assertEquals(state.asked, ["192.0.2.2", "2001:db8::2", "198.51.100.3", "fe80::4 over 2"]);
  const seen = keeper.look(BOTH);
  assertStrictEquals(keeper.look(BOTH), seen);
  state.peers = [...state.peers, peer("e", "192.0.2.5")];
  assertEquals(look(), ["192.0.2.2", "2001:db8::2", "fe80::4", "192.0.2.5"]);
  assertEquals(state.asked, ["192.0.2.5"]);
});

const routes: [prefix: string, asked: string[]][] = [
  ["192.0.2.0/24", ["192.0.2.2"]],
  ["192.0.2.2/32", ["192.0.2.2"]],
  ["192.0.0.0/8", ["192.0.2.2"]],
  ["0.0.0.0/0", ["192.0.2.2", "198.51.100.3"]],
  ["::/0", ["2001:db8::2", "fe80::4 over 2"]],
  ["2001:db8::/64", ["2001:db8::2"]],
  ["192.0.2.4/30", []],
  ["203.0.113.0/24", []],
  ["2001:db8:1::/64", []],
];

for (const [prefix, asked] of routes) {
  Deno.test(`a route to ${prefix} has ${asked.length === 0 ? "nobody" : asked.join(" and ")} asked for again`, () => {
    const { state, keeper, look } = world();
    look();
    assertEquals([keeper.nudge(parsePrefix(prefix)), state.changed], [
      asked.length > 0,
      Number(asked.length > 0),
    ]);
    look();
    assertEquals(state.asked, asked);
    look();
    assertEquals(state.asked, []);
  });
}

Deno.test("all are asked for again after a nudge, at the resync, and on another link", () => {
  const { state, keeper, look } = world();
  look();
  keeper.nudge();
  assertEquals([state.changed, look().length, state.asked.length], [1, 3, 4]);
  state.nowMs += MAX_AGE_MS;
  assertEquals([look().length, state.asked.length], [3, 4]);
  state.away = [];
  // What was known of the other link says nothing: no answer is held back.
  assertEquals(look({ ...BOTH, linkIndex: 7 }), []);
  assertEquals(look({ ...BOTH, resolvesNothing: true }), []);
  assertEquals(look().length, 4);
});

Deno.test("those who are not reached over the underlay's link, and no others, are asked for again when another one has changed", () => {
  const { state, keeper, look } = world();
  look();
  assertEquals([keeper.nudgeBeyond(), state.changed], [false, 0]);
  state.beyond = ["192.0.2.2"];
  keeper.nudge(parsePrefix("192.0.2.2/32"));
  look();
  state.beyond = [];
  assertEquals(keeper.nudgeBeyond(), true);
  look();
  assertEquals(state.asked, ["192.0.2.2"]);
  assertEquals(keeper.nudgeBeyond(), false);
});

Deno.test("a way that goes is looked at again until it is believed, and comes back likewise", () => {
  const { state, keeper, look } = world();
  look();
  state.away = ["192.0.2.2"];
  keeper.nudge(parsePrefix("192.0.2.2/32"));
  assertEquals(look(), ["192.0.2.2", "2001:db8::2", "fe80::4"]);
  state.nowMs = 1000;
  assertEquals(look(), ["2001:db8::2", "fe80::4"]);
  assertEquals(state.asked, ["192.0.2.2"]);
  assertEquals(state.logged, [["segment changed", { moved: 1, onSegment: 2, addresses: 4 }]]);
  look();
  assertEquals(state.asked, []);
});

Deno.test("run() has those looked at again that are not believed yet", async () => {
  const { state, keeper, look } = world();
  look();
  state.away = ["192.0.2.2"];
  keeper.nudge(parsePrefix("192.0.2.2/32"));
  look();
  const before = state.changed;
  state.nowMs = 1000;
  const controller = new AbortController();
  const running = keeper.run({ signal: controller.signal }).catch(() => {});
  controller.abort();
  await running;
  assertEquals([state.changed > before, look()], [true, ["2001:db8::2", "fe80::4"]]);
});

Deno.test("while the underlay is lost nobody is asked for, and what is back counts at once", () => {
  const { state, keeper, look } = world();
  look();
  state.isLost = true;
  state.away = ["192.0.2.2", "2001:db8::2"];
  keeper.nudge();
  assertEquals([look(), state.asked], [["192.0.2.2", "2001:db8::2", "fe80::4"], []]);
  state.isLost = false;
  assertEquals(look(), ["198.51.100.3", "fe80::4"]);
});

Deno.test("a family that has lost its address is not asked for, and what is known of it stays", () => {
  const { state, keeper, look } = world();
  look();
  state.away = ["2001:db8::2"];
  keeper.nudge();
  assertEquals(look(underlay(underlayAddress("192.0.2.1"))).includes("2001:db8::2"), true);
  assertEquals(state.asked, ["192.0.2.2", "198.51.100.3"]);
});

Deno.test("a kernel that does not answer changes nothing, is named once, and asked again", () => {
  const { state, keeper, look } = world();
  look();
  state.error = new Error("Cannot look up a route: ENOBUFS");
  keeper.nudge();
  for (let turn = 0; turn < 3; turn++) assertEquals(look(), ["192.0.2.2", "2001:db8::2", "fe80::4"]);
  assertEquals(keeper.conditions, [{
    code: "ways-unreadable",
    sentence:
      "the kernel does not say by which ways it reaches the other hosts: Cannot look up a route: ENOBUFS",
  }]);
  assertEquals(state.logged, []);
  state.error = undefined;
  look();
  assertEquals(keeper.conditions, []);
  assertEquals(state.asked.length, 4);
});

Deno.test("withAdvertised() asks for what is no address of the link, and for nothing else", () => {
  const { state, keeper } = world();
  keeper.withAdvertised(BOTH);
  assertEquals(state.asked, []);
  const nat = underlay(underlayAddress("192.0.2.1", { advertised: parseAddress("198.51.100.3") }));
  const [address] = keeper.withAdvertised(nat).addresses;
  assertEquals(address!.reaches?.get(parseAddress("198.51.100.3"))?.place, "elsewhere");
});

Deno.test("a way that comes and goes again and again is used only after half a minute", () => {
  const { state, keeper, look } = world([peer("b", "192.0.2.2")]);
  const isNear = () => look().includes("192.0.2.2");
  const turn = (away: string[]) => {
    state.away = away;
    keeper.nudge();
    look();
    state.nowMs += 1000;
    return isNear();
  };
  turn([]);
  for (let round = 0; round < 3; round++) assertEquals([turn(["192.0.2.2"]), turn([])], [false, true]);
  assertEquals([turn(["192.0.2.2"]), turn([])], [false, false]);
  state.nowMs += 28_000;
  assertEquals(isNear(), false);
  state.nowMs += 1000;
  assertEquals(isNear(), true);
});
