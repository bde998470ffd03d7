import { assertEquals } from "@std/assert";
import { parseAddress } from "../../../src/model/address.ts";
import { OWN, type Reach } from "../../../src/model/reach.ts";
import { isSameReach, ON_SEGMENT, reachBy } from "../../../src/overlay/underlay/reach.ts";

const ETH0 = { linkIndex: 2, linkName: "eth0" };
const TUN0 = { linkIndex: 2, linkName: "tun0", resolvesNothing: true } as const;
const [UNICAST, LOCAL, BROADCAST, ANYCAST, MULTICAST, BLACKHOLE, UNREACHABLE] = [
  1,
  2,
  3,
  4,
  5,
  6,
  7,
] as const;
const by = (linkIndex: number, type: number = UNICAST, gateway?: string) => ({
  linkIndex,
  type,
  gateway: gateway === undefined ? undefined : parseAddress(gateway),
});

const cases: [what: string, way: ReturnType<typeof by> | undefined, underlay: typeof ETH0, reach: Reach][] = [
  ["the link itself", by(2), ETH0, ON_SEGMENT],
  ["a gateway", by(2, UNICAST, "192.0.2.254"), ETH0, {
    place: "elsewhere",
    why: "it is reached through the gateway 192.0.2.254",
  }],
  ["a gateway of the other family", by(2, UNICAST, "fe80::1"), ETH0, {
    place: "elsewhere",
    why: "it is reached through the gateway fe80::1",
  }],
  ["another link", by(3), ETH0, { place: "elsewhere", why: "it is reached over another link" }],
  ["a tunnel", by(2), TUN0, {
    place: "elsewhere",
    why: "tun0 is a point-to-point link or has NOARP set, so that nobody can be chosen on it",
  }],
  ["no way", undefined, ETH0, { place: "elsewhere", why: "this host has no route to it" }],
  ["an address of this host", by(1, LOCAL), ETH0, { place: "nobody", why: OWN }],
  ["an address of this host on a tunnel", by(1, LOCAL), TUN0, { place: "nobody", why: OWN }],
  ...[BROADCAST, ANYCAST, MULTICAST].map((type): typeof cases[number] => [
    `a route of type ${type}`,
    by(2, type),
    ETH0,
    { place: "nobody", why: "is not one of a host" },
  ]),
  ...[BLACKHOLE, UNREACHABLE].map((type): typeof cases[number] => [
    `a route of type ${type}`,
    by(1, type),
    ETH0,
    { place: "elsewhere", why: "its route refuses packets" },
  ]),
];

for (const [what, way, underlay, reach] of cases) {
  Deno.test(`reachBy() says ${reach.place} of who is reached by ${what} from ${underlay.linkName}`, () => {
    assertEquals(reachBy(way, underlay), reach);
  });
}

Deno.test("isSameReach() compares place and reason", () => {
  const [near, far] = [reachBy(by(2), ETH0), reachBy(by(3), ETH0)];
  assertEquals(isSameReach(near, { ...ON_SEGMENT }), true);
  assertEquals(isSameReach(near, far), false);
  assertEquals(isSameReach(far, reachBy(undefined, ETH0)), false);
});
