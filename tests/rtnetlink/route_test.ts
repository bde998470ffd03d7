import { assertEquals } from "@std/assert";
import { NO_SLOT, ROUTE } from "../../src/model/rows.ts";
import { Table } from "../../src/model/table.ts";
import { LinkSlots } from "../../src/rtnetlink/link_slots.ts";
import { MessageWriter } from "../../src/netlink/message.ts";
import { CAPTURES } from "../netlink/captures.ts";
import {
  eachMessage,
  fromHex,
  type RequestCase,
  routeTable,
  type RouteText,
  testRequests,
} from "../netlink/golden.ts";
import { routeCodec } from "../../src/rtnetlink/route.ts";
import type { EncodeRow } from "../../src/rtnetlink/row_codec.ts";
import { RTN_BLACKHOLE, RTPROT_BOOT, RTPROT_LODEN } from "../../src/rtnetlink/route_header.ts";

/** `flannel.1` and `eth0`, by slot. */
const LINK_INDEXES = [5, 2];
const NEXT_HOP_4 = 1275068417;
const NEXT_HOP_6 = 1275068418;
/** `RT_SCOPE_LINK`. */
const LINK = 253;

const BLACKHOLE: RouteText = { to: "10.244.1.0/24", slot: NO_SLOT, metric: 0xffff_ffff, type: RTN_BLACKHOLE };

function written(encode: EncodeRow, route: RouteText): RequestCase["write"] {
  const { words } = routeTable([route]);
  return (writer: MessageWriter, sequence) => encode(writer, sequence, words, 0, LINK_INDEXES);
}

const ORDER = "iproute2 writes the metric behind the gateway";

const requests: RequestCase[] = [
  {
    command: "ip route replace 10.244.2.0/24 via 10.244.2.0 dev flannel.1 proto 76 onlink",
    wire: `
      3400000018000505ecd7036b0000000002180000fe4c000104000000080001000af40200080005000af40200080004000500
      0000
    `,
    write: written(routeCodec.encode.replace, { to: "10.244.2.0/24", via: "10.244.2.0", onlink: true }),
  },
  {
    command: "ip route replace 10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink",
    wire: `
      3400000018000505ecd7036b0000000002180000fe03000104000000080001000af40300080005000af40300080004000500
      0000
    `,
    write: written(routeCodec.encode.replace, {
      to: "10.244.3.0/24",
      via: "10.244.3.0",
      onlink: true,
      protocol: RTPROT_BOOT,
    }),
  },
  {
    command: "ip -6 route replace fd00:10:244:2::/64 via fd00:10:244:2:: dev flannel.1 proto 76 onlink",
    wire: `
      4c00000018000505ecd7036b000000000a400000fe4c00010400000014000100fd0000100244000200000000000000001400
      0500fd0000100244000200000000000000000800040005000000
    `,
    write: written(routeCodec.encode.replace, {
      to: "fd00:10:244:2::/64",
      via: "fd00:10:244:2::",
      onlink: true,
    }),
  },
  {
    command: "ip route replace 10.244.4.0/24 via 192.0.2.7 dev eth0 proto 76 metric 100 mtu 1400",
    wire: `
      4800000018000505ecd7036b0000000002180000fe4c000100000000080001000af4040008000500c0000207080006006400
      000008000400020000000c0008000800020078050000
    `,
    write: written(routeCodec.encode.replace, {
      to: "10.244.4.0/24",
      via: "192.0.2.7",
      slot: 1,
      metric: 100,
      mtuBytes: 1400,
    }),
    differs: { why: ORDER },
  },
  {
    command: "ip -6 route replace fd00:10:244:4::/64 via 2001:db8::7 dev eth0 proto 76 metric 100 mtu 1400",
    wire: `
      6000000018000505ecd7036b000000000a400000fe4c00010000000014000100fd0000100244000400000000000000001400
      050020010db8000000000000000000000007080006006400000008000400020000000c0008000800020078050000
    `,
    write: written(routeCodec.encode.replace, {
      to: "fd00:10:244:4::/64",
      via: "2001:db8::7",
      slot: 1,
      metric: 100,
      mtuBytes: 1400,
    }),
    differs: { why: ORDER },
  },
  {
    command: "ip route replace 10.244.5.0/24 nhid 1275068417 proto 76",
    wire: "2c00000018000505ecd7036b0000000002180000fe4c000100000000080001000af4050008001e000100004c",
    write: written(routeCodec.encode.replace, { to: "10.244.5.0/24", objectId: NEXT_HOP_4 }),
  },
  {
    command: "ip -6 route replace fd00:10:244:5::/64 nhid 1275068418 proto 76",
    wire: `
      3800000018000505ecd7036b000000000a400000fe4c00010000000014000100fd0000100244000500000000000000000800
      1e000200004c
    `,
    write: written(routeCodec.encode.replace, { to: "fd00:10:244:5::/64", objectId: NEXT_HOP_6 }),
  },
  {
    command: "ip route del 10.244.2.0/24 via 10.244.2.0 dev flannel.1 proto 76",
    wire: `
      3400000019000500edd7036b0000000002180000fe4cff0000000000080001000af40200080005000af40200080004000500
      0000
    `,
    write: written(routeCodec.encode.delete, { to: "10.244.2.0/24", via: "10.244.2.0", onlink: true }),
    differs: { why: "iproute2 leaves the type open", replace: { header: "02180000fe4cff0100000000" } },
  },
  {
    command: "ip -6 route del fd00:10:244:2::/64 via fd00:10:244:2:: dev flannel.1 proto 76",
    wire: `
      4c00000019000500edd7036b000000000a400000fe4c00000000000014000100fd0000100244000200000000000000001400
      0500fd0000100244000200000000000000000800040005000000
    `,
    write: written(routeCodec.encode.delete, {
      to: "fd00:10:244:2::/64",
      via: "fd00:10:244:2::",
      onlink: true,
    }),
    differs: {
      why: "iproute2 leaves the type open, which means unicast to IPv6",
      replace: { header: "0a400000fe4c000100000000" },
    },
  },
  {
    command: "ip route del 10.244.4.0/24 via 192.0.2.7 dev eth0 proto 76 metric 100",
    wire: `
      3c00000019000500edd7036b0000000002180000fe4cff0000000000080001000af4040008000500c0000207080006006400
      00000800040002000000
    `,
    write: written(routeCodec.encode.delete, { to: "10.244.4.0/24", via: "192.0.2.7", slot: 1, metric: 100 }),
    differs: {
      why: "iproute2 leaves the type open, and writes the metric behind the gateway",
      replace: { header: "02180000fe4cff0100000000" },
    },
  },
  {
    command: "ip route del 10.244.5.0/24 nhid 1275068417 proto 76",
    wire: "2c00000019000500edd7036b0000000002180000fe4cff0000000000080001000af4050008001e000100004c",
    write: written(routeCodec.encode.delete, { to: "10.244.5.0/24", objectId: NEXT_HOP_4 }),
    differs: { why: "iproute2 leaves the type open", replace: { header: "02180000fe4cff0100000000" } },
  },
  {
    command: "ip route show dev flannel.1",
    wire: "2c0000001a000103edd7036b0000000002000000000000000000000008000f00fe0000000800040005000000",
    write: (writer, sequence) => routeCodec.encodeDump(writer, sequence, 2, 5),
  },
  {
    command: "ip -6 route show",
    wire: "240000001a000103edd7036b000000000a000000000000000000000008000f00fe000000",
    write: (writer, sequence) => routeCodec.encodeDump(writer, sequence, 10, 0),
  },
  {
    command: "ip route show proto 76",
    wire: "240000001a0001033d5c046b0000000002000000004c00000000000008000f00fe000000",
    write: (writer, sequence) => routeCodec.encodeDump(writer, sequence, 2, 0, RTPROT_LODEN),
  },
  {
    command: "ip route replace blackhole 10.244.1.0/24 proto 76 metric 4294967295",
    wire: "2c000000180005053d5c046b0000000002180000fe4c000600000000080001000af4010008000600ffffffff",
    write: written(routeCodec.encode.replace, BLACKHOLE),
  },
  {
    command: "ip -6 route replace blackhole fd00:10:244:1::/64 proto 76 metric 4294967295",
    wire:
      "38000000180005053d5c046b000000000a400000fe4c00060000000014000100fd00001002440001000000000000000008000600ffffffff",
    write: written(routeCodec.encode.replace, { ...BLACKHOLE, to: "fd00:10:244:1::/64" }),
  },
  {
    command: "ip route del blackhole 10.244.1.0/24 proto 76 metric 4294967295",
    wire: "2c000000190005003d5c046b0000000002180000fe4cff0600000000080001000af4010008000600ffffffff",
    write: written(routeCodec.encode.delete, BLACKHOLE),
  },
];

testRequests("route", requests);

for (const route of [{ to: "10.244.2.0/24", via: "10.244.2.0" }, { to: "fd00::/64", metric: 7 }]) {
  Deno.test(`the request for a new route to ${route.to} is that of replacing one, but with NLM_F_EXCL`, () => {
    const [added, replaced] = [routeCodec.encode.add, routeCodec.encode.replace].map((encode) => {
      const writer = new MessageWriter(16);
      written(encode, route)(writer, 7);
      return writer.bytes.slice();
    }) as [Uint8Array, Uint8Array];
    // NLM_F_REQUEST, NLM_F_EXCL and NLM_F_CREATE of netlink(7).
    assertEquals(new DataView(added.buffer).getUint16(6, true), 0x1 | 0x200 | 0x400);
    new DataView(added.buffer).setUint16(6, new DataView(replaced.buffer).getUint16(6, true), true);
    assertEquals(added, replaced);
  });
}

const ROW_4: RouteText = { to: "10.244.4.0/24", via: "192.0.2.7", slot: 1, metric: 100, mtuBytes: 1400 };

/** The capture's routes of one protocol, or of any where that is 0; the order is the kernel's. */
const decoded: [capture: keyof typeof CAPTURES, protocol: number, why: string, rows: RouteText[]][] = [
  ["ipv4RoutesOfOneLink", 0, "the kernel left out other links", [
    { to: "10.244.2.0/24", via: "10.244.2.0", onlink: true },
    { to: "10.244.3.0/24", via: "10.244.3.0", onlink: true, protocol: RTPROT_BOOT },
    { to: "10.244.5.0/24", objectId: NEXT_HOP_4 },
    { to: "10.244.6.0/24", scope: LINK, protocol: RTPROT_BOOT, isForeign: true },
  ]],
  ["ipv4Routes", RTPROT_LODEN, "over whichever link", [
    { to: "10.244.2.0/24", via: "10.244.2.0", onlink: true },
    ROW_4,
    { to: "10.244.5.0/24", objectId: NEXT_HOP_4 },
  ]],
  ["ipv4Routes", RTPROT_BOOT, "a metric that Loden never sets or several next hops make a route foreign", [
    { to: "10.244.3.0/24", via: "10.244.3.0", onlink: true, protocol: RTPROT_BOOT },
    { to: "10.244.6.0/24", scope: LINK, protocol: RTPROT_BOOT, isForeign: true },
    {
      to: "10.244.7.0/24",
      via: "192.0.2.7",
      slot: 1,
      mtuBytes: 1400,
      protocol: RTPROT_BOOT,
      isForeign: true,
    },
    { to: "10.244.8.0/24", slot: NO_SLOT, type: RTN_BLACKHOLE, protocol: RTPROT_BOOT },
    {
      to: "10.244.9.0/24",
      via: "192.0.2.7",
      slot: 1,
      protocol: RTPROT_BOOT,
      isForeign: true,
      isShared: true,
    },
  ]],
  ["ipv6Routes", RTPROT_LODEN, "metric 1024 is the kernel's, and preference and cache are nothing foreign", [
    { to: "fd00:10:244:2::/64", via: "fd00:10:244:2::", onlink: true, metric: 1024 },
    { to: "fd00:10:244:4::/64", via: "2001:db8::7", slot: 1, metric: 100, mtuBytes: 1400 },
    { to: "fd00:10:244:5::/64", objectId: NEXT_HOP_6, metric: 1024 },
  ]],
];

for (const [capture, protocol, why, rows] of decoded) {
  Deno.test(`routeCodec.decode() reads the routes of protocol ${protocol} from capture ${capture}: ${why}`, () => {
    const table = new Table(ROUTE, 1);
    const slots = new LinkSlots(LINK_INDEXES);
    eachMessage(fromHex(CAPTURES[capture]), (message, attributes) => {
      if (routeCodec.decode(message, attributes, slots, table) === 0) return;
      const traits = table.storage[(table.count - 1) * ROUTE.words + ROUTE.traits]!;
      if (protocol !== 0 && (traits & 0xff) !== protocol) table.pop();
    });
    assertEquals(table.words, routeTable(rows).words);
  });
}

Deno.test("routeCodec.decode() reads a route whose link only its next-hop object knows, as one over none", () => {
  // Without RTA_GATEWAY and RTA_OIF, as with the sysctl nexthop_compat_mode off.
  const route =
    "3400000018000200ecd7036b0000000002180000fe4c00010000000008000f00fe000000080001000af4050008001e000100004c";
  const table = new Table(ROUTE, 1);
  const returned: unknown[] = [];
  eachMessage(
    fromHex(route),
    (message, attributes) =>
      returned.push(routeCodec.decode(message, attributes, new LinkSlots(LINK_INDEXES), table)),
  );
  const expected = { to: "10.244.5.0/24", objectId: NEXT_HOP_4, slot: NO_SLOT };
  assertEquals([returned, table.words], [[1], routeTable([expected]).words]);
});

Deno.test("routeCodec.decode() lets rows hold what stands for a link, which is the link itself if one likes", () => {
  const table = new Table(ROUTE, 1);
  eachMessage(
    fromHex(CAPTURES.ipv4Routes),
    (message, attributes) =>
      routeCodec.decode(message, attributes, { slotOf: (linkIndex) => linkIndex }, table),
  );
  const found = Array.from({ length: table.count }, (_, row) => table.words[row * ROUTE.words + ROUTE.slot]);
  // 6 is the link of a route of the kernel's, 0 that of a black hole.
  assertEquals(new Set(found), new Set([5, 2, 6, 0]));
});

Deno.test("RTPROT_LODEN is what the captures call protocol 76", () => {
  assertEquals(RTPROT_LODEN, 76);
});
