import { assertEquals, assertThrows } from "@std/assert";
import { AF_INET, AF_INET6, parseAddress } from "../../src/model/address.ts";
import { NO_SLOT, ROUTE } from "../../src/model/rows.ts";
import { Table } from "../../src/model/table.ts";
import { EEXIST, EINVAL, ESRCH, NetlinkError } from "../../src/linux/errno.ts";
import type { NetlinkClient } from "../../src/netlink/client.ts";
import {
  decodeNextHop,
  encodeNextHopDeletion,
  encodeNextHopDump,
  type NextHop,
} from "../../src/rtnetlink/next_hop.ts";
import { fdbTable, neighbourTable, routeTable, type RouteText } from "../netlink/golden.ts";
import { Host, lines, sortedRows } from "./netlink_host.ts";
import { neighbourCodec } from "../../src/rtnetlink/neighbour.ts";
import { routeCodec } from "../../src/rtnetlink/route.ts";
import { fdbCodec } from "../../src/rtnetlink/fdb.ts";
import { RTPROT_BOOT } from "../../src/rtnetlink/route_header.ts";

const ROUTES_TO_ADD = [
  ["IPv4", "10.244.2.0/24", "10.244.2.0", "192.0.2.9"],
  ["IPv6", "fd00:10:244:2::/64", "fd00:10:244:9::", "2001:db8::9"],
] as const;

Deno.test("routes are added and replaced as asked, read back, and deleted exactly", async () => {
  await using host = await Host.open();
  const { netns } = host;
  const vtep = await host.createVtep();
  const linkIndexes = [vtep, host.underlayLinkIndex];
  for (const [id, via] of [["1275068417", "10.244.5.0"], ["1275068418", "fd00:10:244:5::"]]) {
    await netns.ip("nexthop", "add", "id", id!, "via", via!, "dev", "flannel.1", "onlink");
  }
  const overlay: RouteText[] = [
    { to: "10.244.2.0/24", via: "10.244.2.0", onlink: true },
    { to: "10.244.2.0/24", via: "10.244.2.0", onlink: true, metric: 50, protocol: RTPROT_BOOT },
    { to: "10.244.5.0/24", objectId: 0x4c000001 },
  ];
  const overlayV6: RouteText[] = [
    { to: "fd00:10:244:2::/64", via: "fd00:10:244:2::", onlink: true, metric: 1024 },
    { to: "fd00:10:244:5::/64", objectId: 0x4c000002, metric: 1024 },
  ];
  const direct: RouteText[] = [
    { to: "10.244.4.0/24", via: "192.0.2.7", slot: 1, mtuBytes: 1400 },
    { to: "fd00:10:244:4::/64", via: "2001:db8::7", slot: 1, metric: 1024, mtuBytes: 1400 },
  ];
  const all = routeTable([...overlay, ...overlayV6, ...direct]);
  host.apply(routeCodec.encode.replace, all, linkIndexes);
  host.apply(routeCodec.encode.replace, all, linkIndexes);
  const shown = async () =>
    lines(await netns.ip("-d", "route", "show", "root", "10.244.0.0/16")).concat(
      lines(await netns.ip("-d", "-6", "route", "show", "root", "fd00:10:244::/48")),
    ).filter((line) => line.startsWith("unicast"));
  const expected = [
    "unicast 10.244.2.0/24 via 10.244.2.0 dev flannel.1 proto 76 scope global onlink",
    "unicast 10.244.2.0/24 via 10.244.2.0 dev flannel.1 proto boot scope global metric 50 onlink",
    "unicast 10.244.4.0/24 via 192.0.2.7 dev eth0 proto 76 scope global mtu 1400",
    "unicast 10.244.5.0/24 nhid 1275068417 via 10.244.5.0 dev flannel.1 proto 76 scope global onlink",
    "unicast fd00:10:244:2::/64 via fd00:10:244:2:: dev flannel.1 proto 76 scope global metric 1024 onlink pref medium",
    "unicast fd00:10:244:4::/64 via 2001:db8::7 dev eth0 proto 76 scope global metric 1024 mtu 1400 pref medium",
    "unicast fd00:10:244:5::/64 nhid 1275068418 via fd00:10:244:5:: dev flannel.1 proto 76 scope global metric 1024 onlink pref medium",
  ];
  assertEquals(await shown(), expected);
  assertEquals(sortedRows(host.routes(AF_INET, vtep)), sortedRows(routeTable(overlay)));

  const readV6 = host.routes(AF_INET6, vtep);
  assertEquals(sortedRows(readV6), sortedRows(routeTable(overlayV6)));

  // With the compatibility mode off, only the next hop says which link a route leaves by.
  await netns.writeSysctl("net/ipv4/nexthop_compat_mode", "0");
  const ofNoLink = (rows: RouteText[]) =>
    sortedRows(routeTable(rows.map((row) => row.objectId === undefined ? row : { ...row, slot: NO_SLOT })));
  assertEquals(sortedRows(host.routes(AF_INET, vtep)), ofNoLink(overlay));
  assertEquals(sortedRows(host.routes(AF_INET6, vtep)), ofNoLink(overlayV6));

  // From a plain route to a next-hop object and back, in place.
  const moved = routeTable([{ to: "10.244.2.0/24", objectId: 0x4c000001 }]);
  host.apply(routeCodec.encode.replace, moved, linkIndexes);
  host.apply(routeCodec.encode.replace, routeTable(overlay.slice(0, 1)), linkIndexes);
  await netns.writeSysctl("net/ipv4/nexthop_compat_mode", "1");
  assertEquals(await shown(), expected);

  for (const gone of [0, 2, 3, 4, 6]) {
    const row = new Table(ROUTE);
    row.push();
    row.storage.set(all.words.subarray(gone * ROUTE.words, (gone + 1) * ROUTE.words));
    host.apply(routeCodec.encode.delete, row, linkIndexes);
  }
  assertEquals(await shown(), [expected[1]!, expected[2]!]);
});

Deno.test("a route deletion takes neither another metric, another link, another protocol nor another gateway", async () => {
  await using host = await Host.open();
  const { client, netns } = host;
  const vtep = await host.createVtep();
  await netns.ip(
    "route",
    "add",
    "10.244.2.0/24",
    "via",
    "10.244.2.0",
    "dev",
    "flannel.1",
    "onlink",
    "proto",
    "76",
  );
  await netns.ip(
    "-6",
    "route",
    "add",
    "fd00::/64",
    "via",
    "fd00::1",
    "dev",
    "flannel.1",
    "onlink",
    "proto",
    "76",
  );
  const before = await netns.ip("route") + await netns.ip("-6", "route");
  const linkIndexes = [vtep, host.underlayLinkIndex];
  const others: RouteText[] = [
    { to: "10.244.2.0/24", via: "10.244.2.0", metric: 7 },
    { to: "10.244.2.0/24", via: "10.244.2.0", slot: 1 },
    { to: "10.244.2.0/24", via: "10.244.2.0", protocol: RTPROT_BOOT },
    { to: "10.244.2.0/24", via: "10.244.2.1" },
    { to: "10.244.2.0/24", objectId: 5 },
    { to: "10.244.2.0/25", via: "10.244.2.0" },
    { to: "fd00::/64", via: "fd00::1", metric: 7 },
    { to: "fd00::/64", via: "fd00::1", slot: 1 },
    { to: "fd00::/64", via: "fd00::1", protocol: RTPROT_BOOT },
    { to: "fd00::/64", via: "fd00::2" },
    { to: "fd00::/64", objectId: 5 },
  ];
  for (const other of others) {
    const error = assertThrows(
      () =>
        client.request(
          "delete route",
          (writer, sequence) =>
            routeCodec.encode.delete(writer, sequence, routeTable([other]).words, 0, linkIndexes),
        ),
      NetlinkError,
      undefined,
      JSON.stringify(other),
    );
    // A next hop of an id that does not exist is its own refusal.
    assertEquals(error.errno, other.objectId === undefined ? ESRCH : EINVAL);
  }
  assertEquals(await netns.ip("route") + await netns.ip("-6", "route"), before);
});

/** All next hops that the kernel says it has. */
function nextHopsOf(client: NetlinkClient): NextHop[] {
  const nextHops: NextHop[] = [];
  client.dump("read next hops", encodeNextHopDump, () => nextHops.length = 0, (message) => {
    const nextHop = decodeNextHop(message);
    if (nextHop !== undefined) nextHops.push(nextHop);
  });
  return nextHops;
}

Deno.test("next hops are read back with who made them, and take their routes with them", async () => {
  await using host = await Host.open();
  const { client, netns } = host;
  await host.createVtep();
  const objects = [
    ["7", "blackhole"],
    ["9", "dev", "flannel.1", "proto", "boot"],
    ["10", "group", "9"],
    ["1275068417", "via", "10.244.2.0", "dev", "flannel.1", "onlink", "proto", "76"],
    ["1275068418", "via", "fd00:10:244:2::", "dev", "flannel.1", "onlink", "proto", "76"],
  ];
  for (const object of objects) await netns.ip("nexthop", "add", "id", ...object);
  const expected = [
    { id: 7, protocol: 0 },
    { id: 9, protocol: RTPROT_BOOT },
    { id: 10, protocol: 0 },
    { id: 1275068417, protocol: 76 },
    { id: 1275068418, protocol: 76 },
  ];
  assertEquals(nextHopsOf(client), expected);
  await netns.ip("route", "add", "10.244.2.0/24", "nhid", "1275068417");
  client.request("delete", (writer, sequence) => encodeNextHopDeletion(writer, sequence, 1275068417));
  assertEquals(nextHopsOf(client), expected.filter(({ id }) => id !== 1275068417));
  assertEquals(lines(await netns.ip("route", "show", "10.244.2.0/24")), []);
});

for (const [family, to, via, other] of ROUTES_TO_ADD) {
  Deno.test(`routeCodec adds a route in ${family}, and leaves alone what has its place`, async () => {
    await using host = await Host.open();
    const { client, netns } = host;
    const linkIndexes = [await host.createVtep(), host.underlayLinkIndex];
    const version = family === "IPv4" ? "-4" : "-6";
    const route: RouteText = { to, via, onlink: true, metric: 3 };
    const add = (row: RouteText) =>
      client.request(
        "add route",
        (writer, sequence) =>
          routeCodec.encode.add(writer, sequence, routeTable([row]).words, 0, linkIndexes),
      );
    const shown = () => netns.ip(version, "route", "show", to);
    await netns.ip(version, "route", "add", to, "via", other, "metric", "3");
    const before = await shown();
    assertEquals(assertThrows(() => add(route), NetlinkError).errno, EEXIST);
    assertEquals(await shown(), before);
    add({ ...route, metric: 4 });
    const both = await shown();
    assertEquals([both.includes(before.trim()), both.trim().split("\n").length], [true, 2]);
    assertEquals(assertThrows(() => add({ ...route, metric: 4 }), NetlinkError).errno, EEXIST);
    assertEquals(await shown(), both);
  });
}

Deno.test("neighbours are set as asked, read back, and deleted alone", async () => {
  await using host = await Host.open();
  const { netns } = host;
  const vtep = await host.createVtep();
  const neighbours = neighbourTable([
    { address: "10.244.2.0", mac: "0e:2a:00:00:00:02" },
    { address: "10.244.3.0", mac: "0e:2a:00:00:00:03" },
    { address: "fd00:10:244:2::", mac: "0e:2a:00:00:00:02" },
  ]);
  await netns.ip(
    "neigh",
    "add",
    "10.244.2.0",
    "lladdr",
    "02:00:00:00:00:77",
    "dev",
    "flannel.1",
    "nud",
    "stale",
  );
  await netns.ip(
    "neigh",
    "add",
    "10.244.9.0",
    "lladdr",
    "02:00:00:00:00:78",
    "dev",
    "flannel.1",
    "nud",
    "stale",
  );
  await netns.ip("neigh", "add", "10.244.8.0", "lladdr", "02:00:00:00:00:78", "dev", "eth0");
  host.apply(neighbourCodec.encode.replace, neighbours, [vtep]);
  const shown = async () => lines(await netns.ip("neigh", "show", "dev", "flannel.1", "nud", "permanent"));
  assertEquals(await shown(), [
    "10.244.2.0 lladdr 0e:2a:00:00:00:02 PERMANENT",
    "10.244.3.0 lladdr 0e:2a:00:00:00:03 PERMANENT",
    "fd00:10:244:2:: lladdr 0e:2a:00:00:00:02 PERMANENT",
  ]);
  assertEquals(
    sortedRows(host.neighbours(AF_INET6, vtep)).concat(sortedRows(host.neighbours(AF_INET, vtep))),
    sortedRows(neighbours),
  );
  host.apply(
    neighbourCodec.encode.delete,
    neighbourTable([
      { address: "10.244.2.0", mac: "00:00:00:00:00:00" },
      { address: "fd00:10:244:2::", mac: "00:00:00:00:00:00" },
    ]),
    [vtep],
  );
  assertEquals(await shown(), ["10.244.3.0 lladdr 0e:2a:00:00:00:03 PERMANENT"]);
  assertEquals(lines(await netns.ip("neigh", "show", "dev", "eth0", "nud", "permanent")).length, 1);
});

Deno.test("FDB entries are set and moved as asked, read back, and deleted alone", async () => {
  await using host = await Host.open();
  const { netns } = host;
  const vtep = await host.createVtep();
  const vtep6 = await host.createVtep({ name: "flannel-v6.1", vni: 2, local: parseAddress("2001:db8::1") });
  const linkIndexes = [vtep, vtep6];
  await netns.bridge("fdb", "add", "0e:2a:00:00:00:02", "dev", "flannel.1", "dst", "192.0.2.99", "vni", "9");
  await netns.bridge("fdb", "add", "0e:2a:00:00:00:05", "dev", "flannel.1", "dst", "192.0.2.5");
  const entries = fdbTable([
    { mac: "0e:2a:00:00:00:02", to: "192.0.2.7" },
    { mac: "0e:2a:00:00:00:03", to: "192.0.2.8" },
  ]);
  const entriesV6 = fdbTable([{ mac: "0e:2a:00:00:00:62", to: "2001:db8::7", slot: 1 }]);
  const foreign = fdbTable([{ mac: "0e:2a:00:00:00:02", to: "192.0.2.99", isForeign: true }]);
  assertEquals(sortedRows(host.fdb(vtep))[0], sortedRows(foreign)[0]);
  host.apply(fdbCodec.encode.replace, entries, linkIndexes);
  host.apply(fdbCodec.encode.replace, entriesV6, linkIndexes);
  const shown = async (link: string) => lines(await netns.bridge("fdb", "show", "dev", link));
  assertEquals(await shown("flannel.1"), [
    "0e:2a:00:00:00:02 dst 192.0.2.7 self permanent",
    "0e:2a:00:00:00:03 dst 192.0.2.8 self permanent",
    "0e:2a:00:00:00:05 dst 192.0.2.5 self permanent",
  ]);
  assertEquals(await shown("flannel-v6.1"), ["0e:2a:00:00:00:62 dst 2001:db8::7 self permanent"]);
  assertEquals(
    sortedRows(host.fdb(vtep)),
    sortedRows(entries).concat(sortedRows(fdbTable([{ mac: "0e:2a:00:00:00:05", to: "192.0.2.5" }]))),
  );
  const deletion = fdbTable([{ mac: "0e:2a:00:00:00:02", to: "192.0.2.7" }]);
  host.apply(fdbCodec.encode.delete, deletion, linkIndexes);
  host.apply(fdbCodec.encode.delete, entriesV6, linkIndexes);
  assertEquals(await shown("flannel.1"), [
    "0e:2a:00:00:00:03 dst 192.0.2.8 self permanent",
    "0e:2a:00:00:00:05 dst 192.0.2.5 self permanent",
  ]);
  assertEquals(await shown("flannel-v6.1"), []);
});
