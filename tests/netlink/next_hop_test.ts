import { assertEquals } from "@std/assert";
import { NEXT_HOP, NO_SLOT } from "../../src/model/rows.ts";
import { Table } from "../../src/model/table.ts";
import { LinkSlots } from "../../src/netlink/link_slots.ts";
import {
  decodeNextHop,
  encodeNextHop,
  encodeNextHopDeletion,
  encodeNextHopDump,
} from "../../src/netlink/next_hop.ts";
import { CAPTURES } from "./captures.ts";
import {
  eachMessage,
  fromHex,
  nextHopTable,
  type NextHopText,
  type RequestCase,
  testRequests,
} from "./golden.ts";

/** `flannel.1` and `eth0`, by slot. */
const LINK_INDEXES = [5, 2];

const overlay: NextHopText = { id: 1275068417, via: "10.244.2.0", onlink: true };
const overlayV6: NextHopText = { id: 1275068418, via: "fd00:10:244:2::", onlink: true };
const direct: NextHopText = { id: 1275068419, via: "192.0.2.7", slot: 1 };

function written(nextHop: NextHopText): RequestCase["write"] {
  const { words } = nextHopTable([nextHop]);
  return (writer, sequence) => encodeNextHop(writer, sequence, words, 0, LINK_INDEXES);
}

const ORDER = "iproute2 writes the link behind the gateway";

const requests: RequestCase[] = [
  {
    command: "ip nexthop replace id 1275068417 via 10.244.2.0 dev flannel.1 onlink proto 76",
    wire: `
      3000000068000505ecd7036b0000000002004c0004000000080001000100004c080006000af402000800050005000000
    `,
    write: written(overlay),
    differs: { why: ORDER },
  },
  {
    command: "ip nexthop replace id 1275068418 via fd00:10:244:2:: dev flannel.1 onlink proto 76",
    wire: `
      3c00000068000505ecd7036b000000000a004c0004000000080001000200004c14000600fd00001002440002000000000000
      00000800050005000000
    `,
    write: written(overlayV6),
    differs: { why: ORDER },
  },
  {
    command: "ip nexthop replace id 1275068419 via 192.0.2.7 dev eth0 proto 76",
    wire: `
      3000000068000505ecd7036b0000000002004c0000000000080001000300004c08000600c00002070800050002000000
    `,
    write: written(direct),
    differs: { why: ORDER },
  },
  {
    command: "ip nexthop del id 1275068417",
    wire: "2000000069000500edd7036b000000000000000000000000080001000100004c",
    write: (writer, sequence) => encodeNextHopDeletion(writer, sequence, nextHopTable([overlay]).words, 0),
  },
  {
    command: "ip nexthop show",
    wire: "180000006a000103edd7036b000000000000000000000000",
    write: (writer, sequence) => encodeNextHopDump(writer, sequence, 0),
  },
  {
    command: "ip nexthop show dev flannel.1",
    wire: "200000006a000103edd7036b0000000000000000000000000800050005000000",
    write: (writer, sequence) => encodeNextHopDump(writer, sequence, 5),
  },
];

testRequests("next hop", requests);

Deno.test("decodeNextHop() leaves out of `ip nexthop show` what has no link: black holes and groups", () => {
  const table = new Table(NEXT_HOP, 1);
  const slots = new LinkSlots(LINK_INDEXES);
  eachMessage(
    fromHex(CAPTURES.nextHops),
    (message, attributes) => decodeNextHop(message, attributes, slots, table),
  );
  const expected: NextHopText[] = [
    { id: 8, slot: 1 },
    { id: 10, via: "192.0.2.9", slot: 1, protocol: 0 },
    overlay,
    overlayV6,
    direct,
  ];
  assertEquals(table.words, nextHopTable(expected).words);
});

Deno.test("decodeNextHop() says of links that are in no slot that they are elsewhere", () => {
  const table = new Table(NEXT_HOP);
  const slots = new LinkSlots([0, 5]);
  eachMessage(
    fromHex(CAPTURES.nextHops),
    (message, attributes) => decodeNextHop(message, attributes, slots, table),
  );
  const expected: NextHopText[] = [
    { id: 8, slot: NO_SLOT },
    { id: 10, via: "192.0.2.9", slot: NO_SLOT, protocol: 0 },
    { ...overlay, slot: 1 },
    { ...overlayV6, slot: 1 },
    { ...direct, slot: NO_SLOT },
  ];
  assertEquals(table.words, nextHopTable(expected).words);
});
