import { assertEquals } from "@std/assert";
import { WayKeeper } from "../../src/agent/way_keeper.ts";
import { type Address, familyOf, formatAddress, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import { NetlinkError } from "../../src/linux/errno.ts";
import type { RouteLookup } from "../../src/rtnetlink/route_lookup.ts";

const ETH0 = 2;
const VTEP = 7;
const CUT = "this host reaches none of the other hosts, so that its pods are cut off from theirs: ";

function peer(host: string, addresses: readonly string[], backendType = "vxlan"): Lease {
  return {
    host,
    backendType,
    parts: addresses.map((text) => ({
      subnet: parsePrefix(text.includes(":") ? "fd00:10:244:9::/64" : "10.244.9.0/24"),
      underlayAddress: parseAddress(text),
      backendData: null,
    })),
  };
}

function way(changes: Partial<RouteLookup> = {}): RouteLookup {
  return {
    linkIndex: ETH0,
    source: undefined,
    mtuBytes: 0,
    isMtuLearnt: false,
    protocol: 2,
    type: 1,
    gateway: undefined,
    ...changes,
  };
}

/** A keeper, the ways that the kernel knows by address, and what it was asked. */
function world(peers: Lease[], own: readonly string[] = ["192.0.2.1"]) {
  const ways = new Map<string, RouteLookup | NetlinkError>();
  const state = { peers, isLost: false, asked: [] as string[], ways };
  const keeper = new WayKeeper({
    ask: (address: Address) => {
      const text = formatAddress(address);
      state.asked.push(text);
      const found = ways.get(text);
      if (found instanceof NetlinkError) throw found;
      return found;
    },
    peers: () => state.peers,
    leaseType: "vxlan",
    underlay: () =>
      ({
        addresses: own.map((text) => ({ family: familyOf(parseAddress(text)), address: parseAddress(text) })),
      }) as unknown as Underlay,
    isLost: () => state.isLost,
    isOverlay: (linkIndex) => linkIndex === VTEP,
  });
  const look = () => {
    state.asked.length = 0;
    keeper.passed();
    return keeper.conditions.map(({ sentence }) => sentence);
  };
  return { keeper, state, ways, look };
}

const refused: [what: string, found: RouteLookup | undefined, why: string][] = [
  ["no route leads to it", undefined, "this host has no route to it"],
  ["its route is unreachable", way({ type: 7 }), "its route refuses packets"],
  ["its route leads into a VTEP", way({ linkIndex: VTEP }), "its route leads into the overlay itself"],
];

for (const [what, found, why] of refused) {
  Deno.test(`a host is not ready when ${what}, of its only peer`, () => {
    const { ways, look } = world([peer("b", ["192.0.2.2"])]);
    if (found !== undefined) ways.set("192.0.2.2", found);
    assertEquals(look(), [`${CUT}b is at 192.0.2.2, and ${why}; see "ip route get 192.0.2.2"`]);
    ways.set("192.0.2.2", way({ gateway: parseAddress("192.0.2.254") }));
    assertEquals(look(), []);
  });
}

Deno.test("one peer that is reached is enough, and a look costs one question", () => {
  const peers = Array.from({ length: 100 }, (_, n) => peer(`h${n}`, [`192.0.2.${n + 100}`]));
  const { state, ways, look } = world(peers);
  ways.set("192.0.2.150", way());
  assertEquals(look(), []);
  assertEquals(state.asked.length, 51);
  assertEquals(look(), []);
  assertEquals(state.asked, ["192.0.2.150"]);
  ways.clear();
  assertEquals(look(), [
    `${CUT}h0 is at 192.0.2.100, and this host has no route to it; see "ip route get 192.0.2.100"; the 99 others ` +
    "likewise",
  ]);
  ways.set("192.0.2.199", way());
  assertEquals(look(), []);
});

Deno.test("of a host with both families it is said in which nobody is reached", () => {
  const { ways, look } = world([peer("b", ["192.0.2.2", "2001:db8::2"])], ["192.0.2.1", "2001:db8::1"]);
  ways.set("192.0.2.2", way());
  assertEquals(look(), [
    "this host reaches none of the other hosts in IPv6, so that its pods are cut off from theirs: b is at " +
    '2001:db8::2, and this host has no route to it; see "ip route get 2001:db8::2"',
  ]);
});

Deno.test("who has another backend or family, or is at this host's own address, is not asked for or told of", () => {
  const { state, ways, look } = world([
    peer("b", ["192.0.2.2"], "host-gw"),
    peer("c", ["2001:db8::3"]),
    peer("d", ["192.0.2.1"]),
  ]);
  ways.set("192.0.2.1", way({ type: 2, linkIndex: 1 }));
  assertEquals(look(), []);
  assertEquals(state.asked, ["192.0.2.1"]);
});

Deno.test("a host that is alone, or has no underlay, is not told that it reaches nobody", () => {
  const { state, look } = world([]);
  assertEquals(look(), []);
  state.peers = [peer("b", ["192.0.2.2"])];
  assertEquals(look().length, 1);
  state.isLost = true;
  assertEquals(look(), []);
});

Deno.test("what was found stands while the kernel does not answer", () => {
  const { ways, look } = world([peer("b", ["192.0.2.2"])]);
  assertEquals(look().length, 1);
  ways.set("192.0.2.2", new NetlinkError("look up a route", 12, undefined));
  assertEquals(look().length, 1);
});

Deno.test("a route is of interest that leads to who was asked for, and any while nobody is reached", () => {
  const { keeper, ways, look } = world([peer("b", ["192.0.2.2"])]);
  ways.set("192.0.2.2", way());
  look();
  const isOfInterest = ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"].map((text) =>
    keeper.concerns(parsePrefix(text))
  );
  assertEquals(isOfInterest, [true, false, false]);
  ways.clear();
  look();
  assertEquals(keeper.concerns(parsePrefix("198.51.100.0/24")), true);
});
