import { assertEquals, assertRejects } from "@std/assert";
import { MESSAGE_HEADER_BYTES, MessageWriter } from "../../src/netlink/message.ts";
import type { NotificationSource } from "../../src/netlink/notifications.ts";
import { RTM_DELADDR, RTM_NEWADDR } from "../../src/rtnetlink/address.ts";
import { RTM_DELNEIGH, RTM_NEWNEIGH } from "../../src/rtnetlink/neighbour.ts";
import { RT_TABLE_MAIN, RTM_DELROUTE, RTM_NEWROUTE } from "../../src/rtnetlink/route_header.ts";
import { RTM_DELLINK, RTM_NEWLINK } from "../../src/rtnetlink/link_header.ts";
import { type Datagram, LOST, scripted } from "../double/scripted_notifications.ts";
import { routeTable } from "../netlink/golden.ts";
import { type KernelWatchDeps, watchKernel } from "../../src/reconcile/kernel_watch.ts";
import { ROUTE } from "../../src/model/rows.ts";
import { parsePrefix } from "../../src/model/address.ts";
import { Trigger } from "../../src/loop/trigger.ts";

const OURS = 7;
const UNDERLAY = 2;
const THEIRS = 9;
const OWN_PORT_ID = 4711;
/** Another program's, with an address that could be the underlay's. */
const CARRIER = 10;
const RT_SCOPE_LINK = 253;
const IFLA_MASTER = 10;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_MULTIPATH = 9;
/** `RTM_NEWRULE`: nothing that the watch asked for. */
const RTM_NEWRULE = 32;
const RTM_NEWNETCONF = 80;
const NETCONFA_IFINDEX = 1;
/** A notification: the fixed header with the link index in its second word, or a route's table, then attributes. */
function notification(
  type: number,
  headerBytes: number,
  second: number,
  attributes: (writer: MessageWriter) => void = () => {},
  portId = 0,
): Uint8Array {
  const writer = new MessageWriter();
  writer.begin(type, 0, 0);
  // The first word of a route's header has its prefix length.
  for (let at = 0; at < headerBytes; at += 4) writer.u32([24 << 8, second][at / 4] ?? 0);
  attributes(writer);
  writer.end();
  const bytes = writer.bytes.slice();
  new DataView(bytes.buffer).setUint32(12, portId, true);
  return bytes;
}

const link = (type: number, linkIndex: number) => notification(type, 16, linkIndex);
const port = (type: number, linkIndex: number) =>
  notification(type, 16, linkIndex, (writer) => writer.attributeU32(IFLA_MASTER, 3));
/** An address of a scope, `RT_SCOPE_*`. */
const address = (type: number, linkIndex: number, scope = 0) => {
  const bytes = notification(type, 8, linkIndex);
  bytes[MESSAGE_HEADER_BYTES + 3] = scope;
  return bytes;
};
/** What the kernel says when `IFF_UP` of a link changes. */
const linkSet = (state: "up" | "down", linkIndex: number) => {
  const bytes = link(RTM_NEWLINK, linkIndex);
  bytes[MESSAGE_HEADER_BYTES + 8] = state === "up" ? 1 : 0;
  bytes[MESSAGE_HEADER_BYTES + 12] = 1;
  return bytes;
};
const neighbour = (type: number, linkIndex: number) => notification(type, 12, linkIndex);
const route = (type: number, linkIndex: number) =>
  notification(type, 12, RT_TABLE_MAIN, (writer) => writer.attributeU32(RTA_OIF, linkIndex));
/** By one next hop over a link; by two, which are told of in another way, without one. */
const routeTo = (
  address: string,
  linkIndex?: number,
  { type = RTM_NEWROUTE, table = RT_TABLE_MAIN } = {},
) => {
  const rows = routeTable([{ to: address }]);
  const isIpv4 = rows.words[0] === 2;
  const bytes = notification(type, 12, table, (writer) => {
    writer.attributeAddress(RTA_DST, rows.words, ROUTE.destination, isIpv4 ? 4 : 16);
    if (linkIndex !== undefined) writer.attributeU32(RTA_OIF, linkIndex);
    else writer.attributeBytes(RTA_MULTIPATH, new Uint8Array(16));
  });
  bytes[MESSAGE_HEADER_BYTES] = rows.words[0]!;
  return bytes;
};
const defaultRoute = (type: number, linkIndex: number) => {
  const bytes = route(type, linkIndex);
  bytes[MESSAGE_HEADER_BYTES + 1] = 0;
  return bytes;
};
const setting = (linkIndex: number) =>
  notification(RTM_NEWNETCONF, 4, 0, (writer) => writer.attributeU32(NETCONFA_IFINDEX, linkIndex));

interface Heard {
  nudges: number;
  underlayNudges: number;
  choiceNudges: number;
}

function watch(datagrams: Datagram[], overrides: Partial<KernelWatchDeps> = {}) {
  const heard: Heard = { nudges: 0, underlayNudges: 0, choiceNudges: 0 };
  const controller = new AbortController();
  const trigger = new Trigger();
  trigger.nudge = () => void heard.nudges++;
  const run = () =>
    watchKernel({
      notifications: scripted(datagrams, controller),
      trigger,
      linkIndexes: () => [OURS, UNDERLAY],
      vtepIndexes: () => [OURS],
      networks: [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/48")],
      ownPortId: OWN_PORT_ID,
      underlayLinkIndex: () => UNDERLAY,
      underlayNudged: () => void heard.underlayNudges++,
      choiceNudged: () => void heard.choiceNudges++,
      isCarrier: (linkIndex) => linkIndex === CARRIER,
      ...overrides,
    }, { signal: controller.signal });
  return { heard, run };
}

const cases: [
  what: string,
  datagram: Datagram,
  nudges: number,
  underlayNudges: number,
  choiceNudges?: number,
][] = [
  ["our link changed", link(RTM_NEWLINK, OURS), 1, 0],
  ["our link is gone", link(RTM_DELLINK, OURS), 1, 0],
  ["the underlay changed", link(RTM_NEWLINK, UNDERLAY), 1, 1],
  ["the underlay is gone", link(RTM_DELLINK, UNDERLAY), 1, 1],
  ["a route to a peer's subnet goes over a foreign link", routeTo("10.244.2.0/24", THEIRS), 1, 0],
  ["such a route in IPv6", routeTo("fd00:10:244:2::/64", THEIRS), 1, 0],
  ["a route to elsewhere goes over a foreign link", routeTo("203.0.113.0/24", THEIRS), 0, 0],
  ["such a route in IPv6", routeTo("2001:db8:7::/64", THEIRS), 0, 0],
  ["a foreign link changed", link(RTM_NEWLINK, THEIRS), 0, 0],
  ["our link got an address", address(RTM_NEWADDR, OURS), 1, 0],
  ["our link lost an address", address(RTM_DELADDR, OURS), 1, 0],
  ["the underlay got an address", address(RTM_NEWADDR, UNDERLAY), 1, 1],
  ["the underlay lost an address", address(RTM_DELADDR, UNDERLAY), 1, 1],
  ["a foreign link got an address", address(RTM_NEWADDR, THEIRS), 0, 0, 1],
  ["a foreign link lost an address", address(RTM_DELADDR, THEIRS), 0, 0, 1],
  ["a pod's link got a link-local address", address(RTM_NEWADDR, THEIRS, RT_SCOPE_LINK), 0, 0],
  ["a foreign link with an address changed", link(RTM_NEWLINK, CARRIER), 0, 0, 1],
  ["a foreign link with an address is gone", link(RTM_DELLINK, CARRIER), 0, 0, 1],
  ["a port of a bridge changed", port(RTM_NEWLINK, CARRIER), 0, 0],
  ["a neighbour on our link is new", neighbour(RTM_NEWNEIGH, OURS), 1, 0],
  ["a neighbour on our link is gone", neighbour(RTM_DELNEIGH, OURS), 1, 0],
  ["a neighbour on a foreign link is new", neighbour(RTM_NEWNEIGH, THEIRS), 0, 0],
  ["a neighbour of the underlay was asked for", neighbour(RTM_NEWNEIGH, UNDERLAY), 0, 0],
  ["a neighbour of the underlay is gone", neighbour(RTM_DELNEIGH, UNDERLAY), 0, 0],
  ["a route to a peer's subnet is gone", routeTo("10.244.2.0/24", OURS, { type: RTM_DELROUTE }), 1, 0],
  [
    "a route to a peer's subnet is in a table of others",
    routeTo("10.244.2.0/24", THEIRS, { table: 7 }),
    0,
    0,
  ],
  ["a route to elsewhere goes over our link", routeTo("203.0.113.0/24", OURS), 0, 0],
  ["a route to elsewhere goes over the underlay", routeTo("203.0.113.0/24", UNDERLAY), 0, 0],
  ["a route over a foreign link is gone", route(RTM_DELROUTE, THEIRS), 0, 0],
  ["a route to elsewhere leaves by two links", routeTo("203.0.113.0/24"), 0, 0],
  ["such a route in IPv6", routeTo("2001:db8:7::/64"), 0, 0],
  ["a route to a peer's subnet leaves by two links", routeTo("10.244.2.0/24"), 1, 0],
  ["there is another default route, by any link", defaultRoute(RTM_NEWROUTE, THEIRS), 1, 1],
  ["a default route is gone", defaultRoute(RTM_DELROUTE, THEIRS), 1, 1],
  ["something happened that nobody asked for", notification(RTM_NEWRULE, 12, OURS), 0, 0],
  ["notifications were lost", LOST, 1, 1],
];

for (const [what, datagram, nudges, underlayNudges, choiceNudges = 0] of cases) {
  const verdict = choiceNudges > 0
    ? "asks for another look at the choice of the underlay alone"
    : nudges === 0
    ? underlayNudges === 0 ? "does not nudge" : "nudges the underlay alone"
    : underlayNudges === 0
    ? "nudges"
    : "nudges both";
  Deno.test(`watchKernel() ${verdict} when ${what}`, async () => {
    const { heard, run } = watch([datagram]);
    await run();
    assertEquals(heard, { nudges, underlayNudges, choiceNudges });
  });
}

Deno.test("watchKernel() tells of each change that asks for a pass, and of each time that notifications were lost", async () => {
  const counts = { changes: 0, overruns: 0 };
  const ours = link(RTM_NEWLINK, OURS);
  const { run } = watch([ours, ours, link(RTM_NEWLINK, THEIRS), LOST], {
    changeHeard: () => counts.changes++,
    overrun: () => counts.overruns++,
  });
  await run();
  assertEquals(counts, { changes: 2, overruns: 1 });
});

const concerns: [what: string, datagram: Datagram, nudges: number, choiceNudges: number][] = [
  ["a setting of it has changed", setting(THEIRS), 1, 0],
  ["a setting of another link has changed", setting(CARRIER), 0, 0],
  ["it has lost an address", address(RTM_DELADDR, THEIRS), 1, 1],
  ["it has another link-local address", address(RTM_NEWADDR, THEIRS, RT_SCOPE_LINK), 0, 0],
  ["a neighbour on it is new", neighbour(RTM_NEWNEIGH, THEIRS), 0, 0],
  ["it has changed, as each pod's coming does to a bridge", link(RTM_NEWLINK, THEIRS), 0, 0],
  ["it was set down", linkSet("down", THEIRS), 1, 0],
  ["it was set up", linkSet("up", THEIRS), 0, 0],
  ["another link was set down", linkSet("down", 11), 0, 0],
];

for (const [what, datagram, nudges, choiceNudges] of concerns) {
  Deno.test(`watchKernel() nudges ${nudges} times for a link that concerns us, such as the pods' bridge, when ${what}`, async () => {
    const { heard, run } = watch([datagram], { concerns: (linkIndex) => linkIndex === THEIRS });
    await run();
    assertEquals(heard, { nudges, underlayNudges: 0, choiceNudges });
  });
}

Deno.test("watchKernel() nudges when a foreign link with an address changes while others are reached over such a one", async () => {
  const { heard, run } = watch([link(RTM_NEWLINK, CARRIER), address(RTM_NEWADDR, CARRIER)], {
    linkChanged: () => true,
  });
  await run();
  assertEquals(heard, { nudges: 1, underlayNudges: 0, choiceNudges: 2 });
});

Deno.test("watchKernel() takes every link for the underlay while that is lost", async () => {
  const datagrams = [
    link(RTM_NEWLINK, THEIRS),
    address(RTM_NEWADDR, THEIRS),
    neighbour(RTM_NEWNEIGH, THEIRS),
  ];
  const { heard, run } = watch(datagrams, { underlayLinkIndex: () => 0 });
  await run();
  assertEquals(heard, { nudges: 2, underlayNudges: 2, choiceNudges: 0 });
});

Deno.test("watchKernel() does not nudge for what Loden changed itself, but for others in the same datagram", async () => {
  const own = notification(RTM_NEWNEIGH, 12, OURS, () => {}, OWN_PORT_ID);
  const others = notification(RTM_NEWNEIGH, 12, OURS, () => {}, OWN_PORT_ID + 1);
  const alone = watch([own]);
  await alone.run();
  assertEquals(alone.heard.nudges, 0);
  const together = watch([new Uint8Array([...own, ...others])]);
  await together.run();
  assertEquals(together.heard.nudges, 1);
});

Deno.test("watchKernel() asks anew which links are ours, since a link that was made again has another index", async () => {
  const controller = new AbortController();
  const bursts = [[link(RTM_DELLINK, OURS)], [link(RTM_NEWLINK, THEIRS)]];
  const heard: number[] = [];
  let linkIndex = OURS;
  const trigger = new Trigger();
  trigger.nudge = () => {
    heard.push(linkIndex);
    linkIndex = THEIRS;
  };
  const datagrams: Datagram[] = [];
  const socket = scripted(datagrams, controller);
  const inBursts: NotificationSource["notifications"] = {
    wait(options) {
      datagrams.push(...bursts.shift() ?? []);
      return socket.wait(options);
    },
    receive: socket.receive,
  };
  await watchKernel({
    notifications: inBursts,
    trigger,
    linkIndexes: () => [linkIndex],
    vtepIndexes: () => [],
    networks: [],
    ownPortId: OWN_PORT_ID,
    underlayLinkIndex: () => UNDERLAY,
    underlayNudged: () => {},
    choiceNudged: () => {},
    isCarrier: () => false,
  }, { signal: controller.signal });
  assertEquals(heard, [OURS, THEIRS]);
});

const malformed: [what: string, datagram: Uint8Array][] = [
  ["has no link index", notification(RTM_NEWLINK, 4, 0)],
  [
    "has an attribute that ends behind it",
    notification(RTM_NEWROUTE, 12, 0, (writer) => {
      writer.u16(100);
      writer.u16(RTA_OIF);
    }),
  ],
];

for (const [what, datagram] of malformed) {
  Deno.test(`watchKernel() fails when a datagram ${what}, and goes on behind it when it is started again`, async () => {
    const { heard, run } = watch([datagram, link(RTM_NEWLINK, OURS)]);
    await assertRejects(run, SyntaxError);
    await run();
    assertEquals(heard, { nudges: 1, underlayNudges: 0, choiceNudges: 0 });
  });
}
