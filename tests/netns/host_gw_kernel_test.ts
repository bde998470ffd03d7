import { assertEquals } from "@std/assert";
import { hostGwBackend } from "../../src/backend/host_gw.ts";
import { type Family, formatAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { readAddress } from "../../src/model/rows.ts";
import { AttributeReader } from "../../src/netlink/attribute.ts";
import { Libc } from "../../src/netlink/ffi.ts";
import { MessageReader } from "../../src/netlink/message.ts";
import { RTM_DELROUTE } from "../../src/netlink/route.ts";
import type { NotificationSocket } from "../../src/netlink/socket.ts";
import { leaseOf, TestHost, type TestHostOptions } from "../double/test_host.ts";

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
  const id = (n: number) => 0x0af40000 + n * 256;
  /** What the kernel holds for a direct route, as iproute2 prints it. */
  const direct = (n: number, to = near(n)) =>
    family === 2
      ? [
        `nexthop id ${id(n)} via ${to} dev eth0 scope link proto 76`,
        `route ${subnet(n)} nhid ${id(n)} via ${to} dev eth0 proto 76`,
      ]
      : [`route ${subnet(n)} via ${to} dev eth0 proto 76 metric 1024 pref medium`];
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

  Deno.test(`host-gw uses plain routes where the kernel has no next-hop objects, ${name}`, async () => {
    using libc = new Libc();
    await using host = await open(libc, { ...HOST_GW, hasNextHopObjects: false });
    host.reconcile([plain(2)]);
    const metric = family === 2 ? "" : " metric 1024 pref medium";
    assertEquals(await host.show(), [`route ${subnet(2)} via ${near(2)} dev eth0 proto 76${metric}`]);
  });

  const drifts: [what: string, commands: string[][]][] = [
    ["a route is deleted", [["route", "delete", subnet(2)]]],
    ["a route gets another gateway", [["route", "replace", subnet(2), "via", near(99)]]],
    ["a route is that of flannel's host-gw", [
      ["route", "delete", subnet(2)],
      ["route", "add", subnet(2), "via", near(2), "dev", "eth0"],
    ]],
    ["a route is taken over by another link", [["route", "replace", subnet(2), "dev", "lo"]]],
    ["a route becomes unreachable", [["route", "replace", "unreachable", subnet(2)]]],
    ...family === 2
      ? [
        ["next hops are flushed", [["nexthop", "flush", "proto", "76"]]],
        ["a next hop gets another gateway", [
          ["nexthop", "replace", "id", `${id(2)}`, "via", near(99), "dev", "eth0", "proto", "76"],
        ]],
      ] satisfies [string, string[][]][]
      : [],
    ["a route of a host that has left is there", [
      ["route", "add", subnet(9), "via", near(9), "proto", "76"],
    ]],
  ];

  for (const [what, commands] of drifts) {
    Deno.test(`host-gw mends it in one pass when ${what}, ${name}`, async () => {
      using libc = new Libc();
      await using host = await open(libc, HOST_GW);
      host.reconcile([plain(2), plain(3)]);
      for (const command of commands) await host.netns.run("ip", version, ...command);
      assertEquals(host.reconcile([plain(2), plain(3)]).failures, []);
      if (family === 10 && /unreachable|another link/.test(what)) {
        // IPv6 keeps routes over several links side by side.
        await host.netns.run("ip", version, "route", "flush", "dev", "lo", "proto", "boot");
      }
      assertEquals(await host.show(), all(direct(2), direct(3)));
    });
  }

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
