import { assertEquals } from "@std/assert";
import { hostGwBackend } from "../../src/overlay/backend/host_gw.ts";
import { type Family, formatAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { readAddress } from "../../src/model/rows.ts";
import { AttributeReader } from "../../src/netlink/attribute.ts";
import { Libc } from "../../src/linux/libc.ts";
import { MessageReader } from "../../src/netlink/message.ts";
import type { NotificationSocket } from "../../src/netlink/notifications.ts";
import { leaseOf, TestHost, type TestHostOptions } from "../double/test_host.ts";
import { RTM_DELROUTE } from "../../src/rtnetlink/route_header.ts";

const RTA_DST = 1;
const MAC = "0e:2a:00:00:00:0";
const HOST_GW: TestHostOptions = { backend: (context) => hostGwBackend({}, context) };
const DIRECT: TestHostOptions = { vxlan: { directRouting: true } };

const FAMILIES = {
  IPv4: {
    family: 2,
    version: "-4",
    subnet: (n: number) => `10.244.${n}.0/24`,
    near: (n: number) => `192.0.2.${n}`,
    far: (n: number) => `198.51.100.${n}`,
    segment: "192.0.2.0/24",
    elsewhere: "203.0.113.0/24",
  },
  IPv6: {
    family: 10,
    version: "-6",
    subnet: (n: number) => `fd00:10:244:${n}::/64`,
    near: (n: number) => `2001:db8::${n}`,
    far: (n: number) => `2001:db8:9::${n}`,
    segment: "2001:db8::/64",
    elsewhere: "2001:db8:77::/64",
  },
} as const;

for (const [name, { family, version, subnet, near, far, segment, elsewhere }] of Object.entries(FAMILIES)) {
  const lease = (n: number, backendType: string, address = near(n)): Lease => ({
    ...leaseOf(`h${n}`, subnet(n), address, `${MAC}${n}`),
    backendType,
  });
  const plain = (n: number) => lease(n, "host-gw");
  const metric = (n: number) => family === 2 ? n + 1 : 1024;
  /** What the kernel holds for a direct route, as iproute2 prints it. */
  const direct = (n: number, to = near(n)) => [
    `route ${subnet(n)} via ${to} dev eth0 proto 76 metric ${metric(n)}${family === 2 ? "" : " pref medium"}`,
  ];
  const all = (...lines: string[][]) => lines.flat().sort();
  const open = (libc: Libc, options: TestHostOptions) =>
    TestHost.open(libc, { family: family as Family, ...options });

  Deno.test(`host-gw routes through each peer itself, and rests, ${name}`, async () => {
    using libc = new Libc();
    await using host = await open(libc, HOST_GW);
    assertEquals(host.reconcile([plain(2), plain(3)]).failures, []);
    assertEquals(await host.show(), all(direct(2), direct(3)));
    assertEquals(host.drift([plain(2), plain(3)]), { links: [], tables: [] });
  });

  const place = (n: number) => [subnet(n), "metric", `${metric(n)}`];
  const drifts: [what: string, commands: string[][]][] = [
    ["a route is deleted", [["route", "delete", subnet(2)]]],
    ["a route of ours gets another gateway", [[
      "route",
      "replace",
      ...place(2),
      "via",
      near(99),
      "proto",
      "76",
    ]]],
    ["a route of ours is over another link", [["route", "replace", ...place(2), "dev", "lo", "proto", "76"]]],
    ["a route of ours gets an MTU", [
      ["route", "replace", ...place(2), "via", near(2), "mtu", "1280", "proto", "76"],
    ]],
    ["a route of ours has another metric, too", [
      ["route", "add", subnet(2), "metric", "77", "via", near(2), "proto", "76"],
    ]],
    ["a route of a host that has left is there", [
      ["route", "add", subnet(9), "via", near(9), "proto", "76"],
    ]],
    ...family === 2
      ? [
        ["a route is by a next-hop object, as Loden 0.1 made them", [
          ["nexthop", "add", "id", "5", "via", near(2), "dev", "eth0", "proto", "76"],
          ["route", "delete", subnet(2)],
          ["route", "add", subnet(2), "nhid", "5", "proto", "76"],
          ["route", "add", subnet(9), "nhid", "5", "proto", "76"],
        ]],
      ] satisfies [string, string[][]][]
      : [],
  ];

  for (const [what, commands] of drifts) {
    Deno.test(`host-gw mends it in one pass when ${what}, ${name}`, async () => {
      using libc = new Libc();
      await using host = await open(libc, HOST_GW);
      host.reconcile([plain(2), plain(3)]);
      for (const command of commands) await host.netns.run("ip", version, ...command);
      const { planned, failures, faults } = host.reconcile([plain(2), plain(3)]);
      assertEquals([planned > 0, failures, faults], [true, [], []]);
      assertEquals(
        (await host.show()).filter((line) => !line.startsWith("nexthop")),
        all(direct(2), direct(3)),
      );
      assertEquals(host.drift([plain(2), plain(3)]), { links: [], tables: [] });
    });
  }

  const takeovers: [what: string, route: string[], shown: string][] = [
    ["another gateway", [...place(2), "via", near(99)], `via ${near(99)} dev eth0 proto boot`],
    ["another link", [...place(2), "dev", "lo"], "dev lo proto boot"],
    [
      "the gateway of ours",
      [...place(2), "via", near(2), "proto", "static"],
      `via ${near(2)} dev eth0 proto static`,
    ],
    ["no way", ["unreachable", ...place(2)], family === 2 ? "proto boot" : "dev lo proto boot"],
  ];

  for (const [what, route, shown] of takeovers) {
    const replaced = `${what === "no way" ? "unreachable " : ""}${subnet(2)} ${shown} metric ${metric(2)}`;

    Deno.test(`host-gw leaves a foreign route by ${what} in the place of ours, says so, and is back once it is gone, ${name}`, async () => {
      using libc = new Libc();
      await using host = await open(libc, HOST_GW);
      host.reconcile([plain(2), plain(3)]);
      await host.netns.ip(version, "route", "replace", ...route);
      const before = await host.show();
      const { planned, failures, faults } = host.reconcile([plain(2), plain(3)]);
      assertEquals([planned, failures], [0, []]);
      // What leads where ours does harms nobody.
      const isAlike = what === "the gateway of ours";
      assertEquals(
        faults.map(({ host, reason }) => ({ host, reason })),
        isAlike ? [] : [{
          host: "h2",
          reason:
            `route ${replaced}, which is not ours, takes the packets for ${subnet(2)}; delete it, or let ` +
            "ours take its place with -take-foreign-routes",
        }],
      );
      assertEquals(await host.show(), before);
      await host.netns.ip(version, "route", "delete", ...route);
      assertEquals(host.reconcile([plain(2), plain(3)]).faults, []);
      assertEquals(await host.show(), all(direct(2), direct(3)));
    });

    Deno.test(`host-gw takes its place back from a route by ${what} where it is told to, ${name}`, async () => {
      using libc = new Libc();
      await using host = await open(libc, { ...HOST_GW, takesForeign: true });
      host.reconcile([plain(2), plain(3)]);
      await host.netns.ip(version, "route", "replace", ...route);
      assertEquals(host.reconcile([plain(2), plain(3)]).failures, []);
      assertEquals(await host.show(), all(direct(2), direct(3)));
      assertEquals(host.reconcile([plain(2), plain(3)]).faults, []);
    });
  }

  Deno.test(`host-gw takes flannel's routes over while it may, and others' never, ${name}`, async () => {
    using libc = new Libc();
    await using host = await open(libc, { ...HOST_GW, isAdopting: true });
    for (const n of [2, 9]) {
      await host.netns.ip(version, "route", "add", subnet(n), "via", near(n), "dev", "eth0");
    }
    await host.netns.ip(version, "route", "add", subnet(8), "via", near(8), "proto", "static");
    const [, static8] = [
      await host.show(),
      (await host.show()).filter((line) => line.includes("proto static")),
    ];
    const { failures, faults } = host.reconcile([plain(2), plain(3)]);
    assertEquals([failures, faults, static8.length], [[], [], 1]);
    assertEquals(await host.show(), all(direct(2), direct(3), static8));
    host.options = { ...host.options, isAdopting: false };
    await host.netns.ip(version, "route", "add", subnet(9), "via", near(9), "dev", "eth0");
    const before = await host.show();
    assertEquals(host.reconcile([plain(2), plain(3)]).planned, 0);
    assertEquals(await host.show(), before);
  });

  Deno.test(`host-gw follows a peer to another address without a gap, ${name}`, async () => {
    using libc = new Libc();
    await using host = await open(libc, HOST_GW);
    host.reconcile([plain(2)]);
    await using heard = host.netns.openNotifications(libc);
    assertEquals(host.reconcile([lease(2, "host-gw", near(22))]).failures, []);
    assertEquals(await host.show(), all(direct(2, near(22))));
    assertEquals(deletedRoutes(heard), []);
    host.reconcile([]);
    assertEquals(deletedRoutes(heard), [subnet(2)], "a deletion is heard of at all");
  });

  Deno.test(`a peer that comes onto the segment, or leaves it, changes its way without a gap, ${name}`, async () => {
    using libc = new Libc();
    await using host = await open(libc, DIRECT);
    const [near2, far2] = [lease(2, "vxlan"), lease(2, "vxlan", far(2))];
    host.reconcile([far2]);
    const encapsulated = await host.show();
    await using heard = host.netns.openNotifications(libc);
    assertEquals(host.reconcile([near2]).failures, []);
    const vtep = encapsulated.filter((line) => /^link|^address/.test(line));
    assertEquals(await host.show(), all(vtep, direct(2)));
    assertEquals(host.reconcile([far2]).failures, []);
    assertEquals(await host.show(), encapsulated);
    // The other way round: this host's own segment.
    host.underlay = withSegment(host, elsewhere);
    assertEquals(host.reconcile([near2]).failures, []);
    assertEquals((await host.show()).filter((line) => line.includes("eth0") && line.startsWith("route")), []);
    host.underlay = withSegment(host, segment);
    assertEquals(host.reconcile([near2]).failures, []);
    assertEquals(await host.show(), all(vtep, direct(2)));
    assertEquals(deletedRoutes(heard), []);
  });

  Deno.test(`another backend takes routes over without a gap, and leaves none behind, ${name}`, async () => {
    using libc = new Libc();
    await using host = await open(libc, {});
    const [, own] = [host.reconcile([lease(2, "vxlan"), lease(3, "vxlan")]), host.own];
    const vxlan = await host.show();
    const rest = vxlan.filter((line) => /^(link|address|neigh|fdb) /.test(line));
    await using heard = host.netns.openNotifications(libc);

    host.options = { ...host.options, ...HOST_GW };
    host.own = { ...own, backendType: "host-gw" };
    assertEquals(host.reconcile([plain(2)]).failures, []);
    // The VTEP stays, and what does no harm on it; host 3, which is not heard of any more, has no route.
    assertEquals(await host.show(), all(rest, direct(2)));
    assertEquals(deletedRoutes(heard), [subnet(3)]);

    host.options = { family: family as Family };
    host.own = own;
    assertEquals(host.reconcile([lease(2, "vxlan"), lease(3, "vxlan")]).failures, []);
    assertEquals(await host.show(), vxlan);
  });

  Deno.test(`host-gw touches no route that is not its own, ${name}`, async () => {
    using libc = new Libc();
    await using host = await open(libc, HOST_GW);
    const foreign = [
      [subnet(200), "via", near(77)],
      [subnet(201), "via", near(77), "proto", "static"],
      [elsewhere, "via", near(77), "proto", "76"],
    ];
    for (const route of foreign) await host.netns.ip(version, "route", "add", ...route);
    const before = await host.show();
    host.reconcile([plain(2)]);
    assertEquals(await host.show(), all(before, direct(2)));
    host.reconcile([]);
    assertEquals(await host.show(), before);
  });

  Deno.test(`a pass without the underlay's link says so once, and all is back once it is up, ${name}`, async () => {
    using libc = new Libc();
    await using host = await open(libc, HOST_GW);
    await host.netns.writeSysctl("net/ipv6/conf/eth0/keep_addr_on_down", "1");
    const peers = [plain(2), plain(3)];
    host.reconcile(peers);
    await host.netns.ip("link", "set", "eth0", "down");
    const report = host.reconcile(peers);
    assertEquals(report.failures, ["Cannot route over link eth0: it is down"]);
    assertEquals([report.planned, report.failureCount, report.isForwarding], [1, 1, false]);
    await host.netns.ip("link", "set", "eth0", "up");
    assertEquals(host.reconcile(peers).failures, []);
    assertEquals(await host.show(), all(direct(2), direct(3)));
  });
}

/** The underlay of `host` with another segment. */
function withSegment(host: TestHost, segment: string): TestHost["underlay"] {
  const addresses = host.underlay.addresses.map((address) => ({
    ...address,
    segments: [parsePrefix(segment)],
  }));
  return { ...host.underlay, addresses };
}

/** The destinations of routes that the kernel has said are gone. */
function deletedRoutes(heard: NotificationSocket): string[] {
  const buffer = new Uint8Array(64 * 1024);
  const reader = new MessageReader(buffer);
  const attributes = new AttributeReader(reader.view);
  const words = new Uint32Array(4);
  const gone: string[] = [];
  for (let length = heard.receive(buffer); length > 0; length = heard.receive(buffer)) {
    reader.reset(length);
    while (reader.next()) {
      if (reader.type !== RTM_DELROUTE) continue;
      const family = reader.view.getUint8(reader.start) as Family;
      attributes.reset(reader.start + 12, reader.end);
      while (attributes.next()) if (attributes.type === RTA_DST) attributes.addressWords(words, 0);
      gone.push(`${formatAddress(readAddress(words, 0, family))}/${reader.view.getUint8(reader.start + 1)}`);
    }
  }
  return gone;
}
