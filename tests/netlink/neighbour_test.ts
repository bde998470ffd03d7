import { assertEquals } from "@std/assert";
import { FDB, NEIGHBOUR } from "../../src/model/rows.ts";
import { Table } from "../../src/model/table.ts";
import { LinkSlots } from "../../src/netlink/link_slots.ts";
import {
  decodeFdbEntry,
  decodeNeighbour,
  encodeFdbDeletion,
  encodeFdbDump,
  encodeFdbEntry,
  encodeNeighbour,
  encodeNeighbourDeletion,
  encodeNeighbourDump,
} from "../../src/netlink/neighbour.ts";
import { CAPTURES } from "./captures.ts";
import {
  eachMessage,
  fdbTable,
  type FdbText,
  fromHex,
  neighbourTable,
  type NeighbourText,
  type RequestCase,
  testRequests,
} from "./golden.ts";

/** `flannel.1`, `eth0` and `flannel-v6.1`, by slot. */
const LINK_INDEXES = [5, 2, 7];

const neighbour: NeighbourText = { address: "10.244.2.0", mac: "0e:2a:00:00:00:02" };
const neighbourV6: NeighbourText = { address: "fd00:10:244:2::", mac: "0e:2a:00:00:00:02" };
const entry: FdbText = { mac: "0e:2a:00:00:00:02", to: "192.0.2.7" };
const otherEntry: FdbText = { mac: "0e:2a:00:00:00:0a", to: "192.0.2.8" };
const entryV6: FdbText = { mac: "0e:2a:00:00:00:62", to: "2001:db8::7", slot: 2 };

const STATE = "iproute2 says the state of what it deletes, which the kernel does not look at";

const requests: RequestCase[] = [
  {
    command: "ip neigh replace 10.244.2.0 lladdr 0e:2a:00:00:00:02 dev flannel.1 nud permanent",
    wire: `
      300000001c000505edd7036b00000000020000000500000080000000080001000af402000a0002000e2a000000020000
    `,
    write: (writer, sequence) =>
      encodeNeighbour(writer, sequence, neighbourTable([neighbour]).words, 0, LINK_INDEXES),
  },
  {
    command: "ip neigh replace fd00:10:244:2:: lladdr 0e:2a:00:00:00:02 dev flannel.1 nud permanent",
    wire: `
      3c0000001c000505edd7036b000000000a000000050000008000000014000100fd0000100244000200000000000000000a00
      02000e2a000000020000
    `,
    write: (writer, sequence) =>
      encodeNeighbour(writer, sequence, neighbourTable([neighbourV6]).words, 0, LINK_INDEXES),
  },
  {
    command: "ip neigh del 10.244.2.0 dev flannel.1",
    wire: "240000001d000500eed7036b00000000020000000500000080000000080001000af40200",
    write: (writer, sequence) =>
      encodeNeighbourDeletion(writer, sequence, neighbourTable([neighbour]).words, 0, LINK_INDEXES),
    differs: { why: STATE, replace: { header: "020000000500000000000000" } },
  },
  {
    command: "ip neigh del fd00:10:244:2:: dev flannel.1",
    wire: `
      300000001d000500eed7036b000000000a000000050000008000000014000100fd000010024400020000000000000000
    `,
    write: (writer, sequence) =>
      encodeNeighbourDeletion(writer, sequence, neighbourTable([neighbourV6]).words, 0, LINK_INDEXES),
    differs: { why: STATE, replace: { header: "0a0000000500000000000000" } },
  },
  {
    command: "bridge fdb replace 0e:2a:00:00:00:02 dev flannel.1 dst 192.0.2.7",
    wire: `
      300000001c000505edd7036b000000000700000005000000c00002000a0002000e2a00000002000008000100c0000207
    `,
    write: (writer, sequence) => encodeFdbEntry(writer, sequence, fdbTable([entry]).words, 0, LINK_INDEXES),
    differs: {
      why: "iproute2 adds NUD_NOARP; a VTEP makes the same of both",
      replace: { header: "070000000500000080000200" },
    },
  },
  {
    command: "bridge fdb replace 0e:2a:00:00:00:62 dev flannel-v6.1 dst 2001:db8::7",
    wire: `
      3c0000001c000505edd7036b000000000700000007000000c00002000a0002000e2a0000006200001400010020010db80000
      00000000000000000007
    `,
    write: (writer, sequence) =>
      encodeFdbEntry(writer, sequence, fdbTable([{ ...entryV6, state: 0xc0 }]).words, 0, LINK_INDEXES),
  },
  {
    command: "bridge fdb del 0e:2a:00:00:00:0a dev flannel.1 dst 192.0.2.8",
    wire: `
      300000001d000500eed7036b000000000700000005000000c00002000a0002000e2a0000000a000008000100c0000208
    `,
    write: (writer, sequence) =>
      encodeFdbDeletion(writer, sequence, fdbTable([otherEntry]).words, 0, LINK_INDEXES),
    differs: { why: STATE, replace: { header: "070000000500000000000200" } },
  },
  {
    command: "bridge fdb del 0e:2a:00:00:00:62 dev flannel-v6.1 dst 2001:db8::7",
    wire: `
      3c0000001d000500eed7036b000000000700000007000000c00002000a0002000e2a0000006200001400010020010db80000
      00000000000000000007
    `,
    write: (writer, sequence) =>
      encodeFdbDeletion(writer, sequence, fdbTable([entryV6]).words, 0, LINK_INDEXES),
    differs: { why: STATE, replace: { header: "070000000700000000000200" } },
  },
  {
    command: "ip -4 neigh show dev flannel.1",
    wire: "240000001e000103eed7036b000000000200000000000000000000000800080005000000",
    write: (writer, sequence) => encodeNeighbourDump(writer, sequence, 2, 5),
  },
  {
    command: "ip -6 neigh show dev flannel.1",
    wire: "240000001e000103eed7036b000000000a00000000000000000000000800080005000000",
    write: (writer, sequence) => encodeNeighbourDump(writer, sequence, 10, 5),
  },
  {
    command: "bridge fdb show dev flannel.1",
    wire: "1c0000001e000103eed7036b00000000070000000500000000000000",
    write: (writer, sequence) => encodeFdbDump(writer, sequence, 5),
  },
];

testRequests("neighbour", requests);

const decodedNeighbours: [
  capture: "ipv4Neighbours" | "ipv6Neighbours",
  why: string,
  rows: NeighbourText[],
][] = [
  ["ipv4Neighbours", "a stale one and the kernel's multicast ones are left out", [
    neighbour,
    { address: "192.0.2.7", mac: "02:00:00:00:00:07", slot: 1 },
  ]],
  ["ipv6Neighbours", "the kernel's multicast ones are left out", [neighbourV6]],
];

for (const [capture, why, rows] of decodedNeighbours) {
  Deno.test(`decodeNeighbour() reads the permanent neighbours of capture ${capture}: ${why}`, () => {
    const table = new Table(NEIGHBOUR, 1);
    const slots = new LinkSlots(LINK_INDEXES);
    eachMessage(
      fromHex(CAPTURES[capture]),
      (message, attributes) => decodeNeighbour(message, attributes, slots, table),
    );
    assertEquals(table.words, neighbourTable(rows).words);
  });
}

Deno.test("decodeFdbEntry() reads the lasting entries of VTEPs from `bridge fdb show`", () => {
  const table = new Table(FDB, 1);
  const slots = new LinkSlots([5, 0, 7]);
  eachMessage(
    fromHex(CAPTURES.fdbEntries),
    (message, attributes) => decodeFdbEntry(message, attributes, slots, table),
  );
  const expected: FdbText[] = [
    { mac: "00:00:00:00:00:00", to: "192.0.2.8" },
    { mac: "0e:2a:00:00:00:0b", to: "192.0.2.9", isForeign: true }, // a port and VNI of its own
    otherEntry,
    entry,
    entryV6,
  ];
  assertEquals(table.words, fdbTable(expected).words);
});
