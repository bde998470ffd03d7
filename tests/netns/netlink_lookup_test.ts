import { assertEquals } from "@std/assert";
import { AF_INET, AF_INET6, type Family, formatAddress, parseAddress } from "../../src/model/address.ts";
import {
  decodeDefaultRoute,
  decodeRouteLookup,
  type DefaultRoute,
  encodeDefaultRouteDump,
  encodeRouteLookup,
  type RouteLookup,
} from "../../src/rtnetlink/route_lookup.ts";
import { RTM_NEWROUTE } from "../../src/rtnetlink/route_header.ts";
import type { Reach } from "../../src/model/reach.ts";
import { askWay } from "../../src/overlay/underlay/host_network.ts";
import { reachBy } from "../../src/overlay/underlay/reach.ts";
import { MessageReader, MessageWriter } from "../../src/netlink/message.ts";
import { Host } from "./netlink_host.ts";

const RTA_METRICS = 8;
const RTA_CACHEINFO = 12;
const RTAX_MTU = 2;

function defaultRoutes(host: Host, family: Family): DefaultRoute[] {
  const routes: DefaultRoute[] = [];
  host.client.dump(
    "read default routes",
    (writer, sequence) => encodeDefaultRouteDump(writer, sequence, family),
    () => routes.splice(0),
    (message) => {
      const route = decodeDefaultRoute(message);
      if (route !== undefined) routes.push(route);
    },
  );
  return routes;
}

Deno.test("decodeDefaultRoute() reads the default routes of the main table, and no others", async () => {
  await using host = await Host.open();
  const { netns } = host;
  const linkIndex = host.underlayLinkIndex;
  await netns.ip("route", "add", "default", "via", "192.0.2.254", "metric", "100", "mtu", "1400");
  await netns.ip("route", "add", "blackhole", "default", "metric", "5");
  await netns.ip("route", "add", "default", "via", "192.0.2.253", "table", "100");
  await netns.ip("route", "add", "10.0.0.0/8", "via", "192.0.2.253");
  assertEquals(defaultRoutes(host, AF_INET), [
    { family: AF_INET, linkIndex, metric: 0, mtuBytes: 0 },
    { family: AF_INET, linkIndex, metric: 100, mtuBytes: 1400, gateway: parseAddress("192.0.2.254") },
  ]);
  assertEquals(defaultRoutes(host, AF_INET6), [{ family: AF_INET6, linkIndex, metric: 1024, mtuBytes: 0 }]);
  const legs = ["nexthop", "via", "192.0.2.253", "nexthop", "via", "192.0.2.254"];
  await netns.ip("route", "replace", "default", "metric", "100", ...legs);
  const several: DefaultRoute = {
    family: AF_INET,
    linkIndex: 0,
    metric: 100,
    mtuBytes: 0,
    hops: ["192.0.2.253", "192.0.2.254"].map((gateway) => ({ linkIndex, gateway: parseAddress(gateway) })),
  };
  assertEquals(defaultRoutes(host, AF_INET)[1], several);
  const other = (address: string) => ["nexthop", "via", "inet6", address, "dev", "eth0"];
  await netns.ip(
    "-4",
    "route",
    "replace",
    "default",
    "metric",
    "100",
    ...other("fe80::7"),
    ...other("fe80::8"),
  );
  assertEquals(defaultRoutes(host, AF_INET)[1]?.hops, [
    { linkIndex, gateway: parseAddress("fe80::7") },
    { linkIndex, gateway: parseAddress("fe80::8") },
  ]);
});

Deno.test("a route lookup says what `ip route get` says", async () => {
  await using host = await Host.open();
  await host.netns.ip("route", "add", "198.51.100.0/24", "via", "192.0.2.254", "mtu", "1300");
  for (const target of ["203.0.113.9", "192.0.2.7", "198.51.100.1", "127.0.0.1", "2001:db8:7::1", "::1"]) {
    const found: RouteLookup[] = [];
    host.client.request(
      `look up ${target}`,
      (writer, sequence) => encodeRouteLookup(writer, sequence, parseAddress(target)),
      (message) => {
        const lookup = decodeRouteLookup(message);
        if (lookup !== undefined) found.push(lookup);
      },
    );
    const [shown] = await host.netns.ipJson("route", "get", target);
    const [{ mtu } = { mtu: 0 }] = (shown!.metrics ?? []) as { mtu: number }[];
    assertEquals(
      found.map(({ linkIndex, source, mtuBytes, gateway }) => ({
        gateway: gateway === undefined ? undefined : formatAddress(gateway),
        link: linkIndex === host.underlayLinkIndex ? "eth0" : "lo",
        source: source === undefined ? undefined : formatAddress(source),
        mtuBytes,
      })),
      [{
        gateway: shown!.gateway as string | undefined,
        link: shown!.dev as string,
        source: shown!.prefsrc as string,
        mtuBytes: mtu ?? 0,
      }],
      target,
    );
  }
});

const ways: [what: string, address: string, place: Reach["place"], why: RegExp][] = [
  ["the link's own prefix", "192.0.2.7", "segment", /^$/],
  ["the link's own prefix of IPv6", "2001:db8::7", "segment", /^$/],
  ["a route over the link", "10.9.0.7", "segment", /^$/],
  ["a route of a table that a rule leads to", "10.8.0.7", "segment", /^$/],
  ["the peer of an address", "172.16.0.2", "segment", /^$/],
  ["the peer of an address of IPv6", "2001:db8:5::2", "segment", /^$/],
  ["a link-local address", "fe80::77", "segment", /^$/],
  ["a gateway", "198.51.100.1", "elsewhere", /through the gateway 192\.0\.2\.254$/],
  ["a gateway of the other family", "10.7.0.7", "elsewhere", /through the gateway fe80::9$/],
  ["a gateway for one address of a segment", "10.9.0.9", "elsewhere", /gateway 192\.0\.2\.254$/],
  ["a next-hop object", "10.6.0.7", "elsewhere", /gateway 192\.0\.2\.253$/],
  ["another link", "10.5.0.7", "elsewhere", /over another link$/],
  ["a blackhole", "10.4.0.1", "elsewhere", /no route|refuses/],
  ["an unreachable route", "10.4.1.1", "elsewhere", /no route|refuses/],
  ["a prohibited route", "10.4.2.1", "elsewhere", /no route|refuses/],
  ["a blackhole of IPv6", "2001:db8:a::1", "elsewhere", /no route|refuses/],
  ["an unreachable route of IPv6", "2001:db8:b::1", "elsewhere", /no route|refuses/],
  ["an address of the link", "192.0.2.1", "nobody", /own$/],
  ["an address of another link", "127.0.0.1", "nobody", /own$/],
  ["an address of the link in IPv6", "2001:db8::1", "nobody", /own$/],
  ["the broadcast address", "192.0.2.255", "nobody", /not one of a host$/],
  ["a multicast address", "224.0.0.9", "nobody", /not one of a host$/],
];

Deno.test("askWay() and reachBy() tell who is on the segment as the kernel does", async (t) => {
  await using host = await Host.open();
  const { netns } = host;
  const linkIndex = host.underlayLinkIndex;
  const via = ["via", "192.0.2.254"];
  for (
    const args of [
      ["route", "add", "198.51.100.0/24", ...via],
      ["route", "add", "10.9.0.0/24", "dev", "eth0"],
      ["route", "add", "10.9.0.9/32", ...via],
      ["route", "add", "10.8.0.0/24", "dev", "eth0", "table", "88"],
      ["rule", "add", "to", "10.8.0.0/24", "table", "88"],
      ["route", "add", "10.7.0.0/24", "via", "inet6", "fe80::9", "dev", "eth0"],
      ["nexthop", "add", "id", "66", "via", "192.0.2.253", "dev", "eth0"],
      ["route", "add", "10.6.0.0/24", "nhid", "66"],
      ["route", "add", "10.5.0.0/24", "dev", "lo"],
      ["route", "add", "blackhole", "10.4.0.0/24"],
      ["route", "add", "unreachable", "10.4.1.0/24"],
      ["route", "add", "prohibit", "10.4.2.0/24"],
      ["-6", "route", "add", "blackhole", "2001:db8:a::/64"],
      ["-6", "route", "add", "unreachable", "2001:db8:b::/64"],
      ["address", "add", "172.16.0.1", "peer", "172.16.0.2", "dev", "eth0"],
      ["address", "add", "2001:db8:5::1", "peer", "2001:db8:5::2", "dev", "eth0", "nodad"],
    ]
  ) await netns.ip(...args);
  for (const [what, address, place, why] of ways) {
    await t.step(`${what}: ${address} is ${place}`, () => {
      const to = parseAddress(address);
      const way = askWay(host.client, to, address.startsWith("fe80") ? linkIndex : 0);
      const reach = reachBy(way, { linkIndex, linkName: "eth0" });
      assertEquals([reach.place, why.test(reach.why)], [place, true], reach.why);
    });
  }
});

for (
  const [family, expires, isMtuLearnt] of [[AF_INET, 0, false], [AF_INET, 599, true], [
    AF_INET6,
    599,
    false,
  ]] as const
) {
  Deno.test(`decodeRouteLookup() takes an MTU of family ${family} that ends in ${expires} for ${isMtuLearnt ? "learnt" : "the route's"}`, () => {
    const writer = new MessageWriter();
    writer.begin(RTM_NEWROUTE, 0, 0);
    for (const word of [family, 0, 0]) writer.u32(word);
    writer.nested(RTA_METRICS, () => writer.attributeU32(RTAX_MTU, 1280));
    writer.attributeBytes(
      RTA_CACHEINFO,
      new Uint8Array(new Int32Array([1, 0, expires, 0, 0, 0, 0, 0]).buffer),
    );
    writer.end();
    const bytes = writer.bytes.slice();
    const reader = new MessageReader(bytes);
    reader.reset(bytes.length);
    assertEquals(reader.next(), true);
    const { mtuBytes, isMtuLearnt: found } = decodeRouteLookup(reader)!;
    assertEquals([mtuBytes, found], [1280, isMtuLearnt]);
  });
}
