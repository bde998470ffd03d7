import { assertEquals } from "@std/assert";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import { findOwnTaken, isBesidePods } from "../../src/reconcile/own_routes.ts";
import { routeTable, type RouteText } from "../netlink/golden.ts";

const KERNEL = 2;
const STATIC = 4;
const BLACKHOLE = 6;
const BRIDGE = 9;
const OTHER = 3;
const UPLINK = 2;
const LINKS = { name: () => undefined, isBeside: (linkIndex: number) => linkIndex === UPLINK };

interface Stack {
  readonly own: string;
  readonly bridge: RouteText;
  readonly halves: readonly [string, string];
  readonly pod: string;
  readonly via: string;
}

const STACKS: Readonly<Record<string, Stack>> = {
  IPv4: {
    own: "10.244.1.0/24",
    bridge: { to: "10.244.1.0/24", slot: BRIDGE, protocol: KERNEL },
    halves: ["10.244.1.0/25", "10.244.1.128/25"],
    pod: "10.244.1.7/32",
    via: "192.0.2.9",
  },
  IPv6: {
    own: "fd00:10:244:1::/64",
    bridge: { to: "fd00:10:244:1::/64", slot: BRIDGE, protocol: KERNEL, metric: 256 },
    halves: ["fd00:10:244:1::/65", "fd00:10:244:1:8000::/65"],
    pod: "fd00:10:244:1::7/128",
    via: "2001:db8::9",
  },
};

for (const [name, { own, bridge, halves: [first, second], pod, via }] of Object.entries(STACKS)) {
  const drop = (to: string, more: Partial<RouteText> = {}): RouteText => ({
    to,
    slot: 0,
    type: BLACKHOLE,
    protocol: STATIC,
    ...more,
  });
  const cases: [what: string, routes: RouteText[], isBlocking: boolean | undefined][] = [
    ["the bridge's own route", [bridge], undefined],
    ["a route over a link to a pod", [bridge, { to: pod, slot: 5, protocol: STATIC }], undefined],
    ["a black hole in one half", [bridge, drop(first)], false],
    ["black holes in both halves", [bridge, drop(first), drop(second)], true],
    ["a gateway for one half", [bridge, { to: first, via, slot: OTHER, protocol: STATIC }], false],
    ["a black hole for one pod", [bridge, drop(pod)], false],
    ["a black hole behind the bridge's route", [bridge, drop(own, { metric: 5000 })], undefined],
    ["a black hole before the bridge's route", [drop(own, { metric: bridge.metric ?? 0 }), bridge], true],
    ["another link before the bridge's", [{ to: own, slot: OTHER, protocol: STATIC }, bridge], true],
    ["a black hole where there is no bridge yet", [drop(own)], undefined],
    ["a black hole for some packets", [bridge, drop(first, { isSelective: true })], false],
    ["black holes for some packets in all", [
      bridge,
      drop(first, { isSelective: true }),
      drop(second, { isSelective: true }),
    ], false],
    [
      "a route over the underlay's link to one half",
      [bridge, { to: first, slot: UPLINK, protocol: 3 }],
      false,
    ],
    ["routes over the underlay's link to both halves", [
      bridge,
      { to: first, slot: UPLINK, protocol: 3 },
      { to: second, slot: UPLINK, protocol: 3 },
    ], true],
    ["a route over the underlay's link to one pod", [bridge, { to: pod, slot: UPLINK, protocol: 3 }], false],
    ["a route to a pod over the bridge", [bridge, { to: pod, slot: BRIDGE, protocol: 3 }], undefined],
    ["the kernel's route to an address of the VTEP", [
      bridge,
      { to: pod, slot: UPLINK, protocol: KERNEL },
    ], undefined],
    ["a local address", [bridge, { to: pod, slot: BRIDGE, type: 2, protocol: KERNEL }], undefined],
  ];

  for (const [what, routes, isBlocking] of cases) {
    const verdict = isBlocking === undefined ? "minds no" : isBlocking ? "stops the host for" : "names";
    Deno.test(`findOwnTaken() ${verdict} ${what}, ${name}`, () => {
      const found = findOwnTaken([parsePrefix(own)], routeTable(routes), LINKS);
      assertEquals(
        found.map(({ code }) => code),
        isBlocking === undefined ? [] : [isBlocking ? "own-subnet-taken" : "own-subnet-partly-taken"],
      );
    });
  }
}

Deno.test("findOwnTaken() says which route it is, and how many more there are", () => {
  const foreign = routeTable([
    { to: "10.244.1.0/24", slot: BRIDGE, protocol: KERNEL },
    { to: "10.244.1.0/26", slot: 0, type: BLACKHOLE, protocol: 12 },
    { to: "10.244.1.64/26", slot: 0, type: BLACKHOLE, protocol: 12 },
  ]);
  assertEquals(findOwnTaken([parsePrefix("10.244.1.0/24")], foreign, LINKS), [{
    code: "own-subnet-partly-taken",
    sentence:
      "route blackhole 10.244.1.0/26 proto bird, which is not ours, and 1 more like it, takes a part of this " +
      "host's own subnet 10.244.1.0/24: pods there are cut off; delete it",
  }]);
});

const UNIVERSE = 0;
const ON_LINK = 253;

/** A link, its addresses with their scopes, and whether it is beside pods. */
const KINDS_OF_LINKS: readonly (readonly [
  what: string,
  link: { linkIndex: number; kind: string | undefined },
  addresses: readonly (readonly [string, number])[],
  isBeside: boolean,
])[] = [
  ["lo", { linkIndex: 1, kind: undefined }, [], true],
  ["the underlay's, though it is a veth without addresses", { linkIndex: UPLINK, kind: "veth" }, [], true],
  ["a VTEP", { linkIndex: 8, kind: "vxlan" }, [["10.244.1.0", UNIVERSE]], true],
  ["a second uplink", { linkIndex: OTHER, kind: "veth" }, [["198.51.100.7", UNIVERSE]], true],
  ["a pod's, which has no address", { linkIndex: 5, kind: "veth" }, [], false],
  ["a pod's, which has one of the link alone", { linkIndex: 5, kind: "veth" }, [["fe80::1", ON_LINK]], false],
  ["a pod's, which has the gateway", { linkIndex: 5, kind: "veth" }, [["10.244.1.1", UNIVERSE]], false],
  ["a bridge of pods with one more network", { linkIndex: 5, kind: "bridge" }, [
    ["10.244.1.1", UNIVERSE],
    ["192.0.2.1", UNIVERSE],
  ], false],
];

for (const [what, link, addresses, isBeside] of KINDS_OF_LINKS) {
  Deno.test(`isBesidePods() says ${isBeside ? "that no pods are" : "nothing of pods that are"} behind ${what}`, () => {
    const on = addresses.map(([text, scope]) => ({ address: parseAddress(text), scope }));
    const own = [parsePrefix("10.244.1.0/24"), parsePrefix("fd00:10:244:1::/64")];
    assertEquals(isBesidePods(link, on, { own, underlayIndex: UPLINK }), isBeside);
  });
}
