import { assertEquals } from "@std/assert";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import { NO_SLOT } from "../../src/model/rows.ts";
import { routeTable, type RouteText } from "../netlink/golden.ts";
import { Host } from "./netlink_host.ts";
import { routeCodec } from "../../src/rtnetlink/route.ts";
import { RTPROT_BOOT } from "../../src/rtnetlink/route_header.ts";

const foreignRoutes: [options: string, why: string, ...rows: RouteText[]][] = [
  ["10.244.2.0/24 dev flannel.1 src 192.0.2.1", "a source address", { to: "10.244.2.0/24", scope: 253 }],
  ["10.244.2.0/24 dev flannel.1 advmss 1300", "a segment size", { to: "10.244.2.0/24", scope: 253 }],
  ["10.244.2.0/24 dev flannel.1 mtu lock 1300", "a locked MTU", {
    to: "10.244.2.0/24",
    scope: 253,
    mtuBytes: 1300,
  }],
  ["10.244.2.0/24 dev flannel.1 realm 7", "a realm", { to: "10.244.2.0/24", scope: 253 }],
  ["10.244.2.0/24 nexthop dev flannel.1 nexthop dev eth0", "a second link", {
    to: "10.244.2.0/24",
    isShared: true,
  }],
  ["fd00::/64 nexthop via fe80::1 dev flannel.1 nexthop via fe80::2 dev eth0", "a second link", {
    to: "fd00::/64",
    via: "fe80::1",
    metric: 1024,
    isShared: true,
    isForeign: false,
  }, {
    to: "fd00::/64",
    via: "fe80::2",
    slot: NO_SLOT,
    metric: 1024,
    protocol: 0,
    isShared: true,
    isForeign: false,
  }],
  ["fd00::/64 dev flannel.1 src 2001:db8::1", "a source address", { to: "fd00::/64", metric: 1024 }],
  ["10.244.2.0/24 nexthop dev eth0 nexthop dev flannel.1", "another link comes first", {
    to: "10.244.2.0/24",
    slot: NO_SLOT,
    isShared: true,
  }],
  ["10.244.2.0/24 via inet6 fe80::1 dev flannel.1", "a gateway of the other family", { to: "10.244.2.0/24" }],
  ["blackhole 10.244.2.0/24", "not ours: no link"],
  ["unreachable fd00::/64", "not ours: no link"],
  ["10.244.2.0/24 dev flannel.1 table 100", "not ours: another table"],
];

for (const [options, why, ...foreign] of foreignRoutes) {
  Deno.test(`routeCodec.decode() tells \`ip route add ${options}\` from a route of Loden's: ${why}`, async () => {
    await using host = await Host.open();
    const vtep = await host.createVtep();
    const family = options.includes("10.244.") ? AF_INET : AF_INET6;
    await host.netns.ip(family === AF_INET ? "-4" : "-6", "route", "add", ...options.split(" "));
    const routes = host.routes(family, vtep);
    const rows = foreign.map((row) => ({ protocol: RTPROT_BOOT, isForeign: true, ...row }));
    assertEquals(routes.words, routeTable(rows).words);
    // What is seen can be deleted by what was seen.
    host.apply(routeCodec.encode.delete, routes, [vtep]);
    assertEquals(host.routes(family, vtep).count, 0);
  });
}

const selective: [options: string, row: RouteText][] = [
  ["10.244.2.0/24 dev flannel.1 tos 0x10", { to: "10.244.2.0/24", scope: 253 }],
  ["fd00::/64 from 2001:db8::/32 dev flannel.1", { to: "fd00::/64", metric: 1024, isForeign: true }],
];

for (const [options, row] of selective) {
  Deno.test(`routeCodec.decode() tells that \`ip route add ${options}\` is for some packets only`, async () => {
    await using host = await Host.open();
    const vtep = await host.createVtep();
    const family = options.includes("10.244.") ? AF_INET : AF_INET6;
    await host.netns.ip(family === AF_INET ? "-4" : "-6", "route", "add", ...options.split(" "));
    const expected = routeTable([{ protocol: RTPROT_BOOT, isSelective: true, ...row }]);
    assertEquals(host.routes(family, vtep).words, expected.words);
  });
}
