import { assertEquals } from "@std/assert";
import { NEIGHBOUR } from "../../src/model/rows.ts";
import { Table } from "../../src/model/table.ts";
import { LinkSlots } from "../../src/rtnetlink/link_slots.ts";
import { CAPTURES } from "../netlink/captures.ts";
import {
  eachMessage,
  fromHex,
  neighbourTable,
  type NeighbourText,
  type RequestCase,
  testRequests,
} from "../netlink/golden.ts";
import { neighbourCodec } from "../../src/rtnetlink/neighbour.ts";

/** `flannel.1` and `eth0`, by slot. */
const LINK_INDEXES = [5, 2];

const neighbour: NeighbourText = { address: "10.244.2.0", mac: "0e:2a:00:00:00:02" };
const neighbourV6: NeighbourText = { address: "fd00:10:244:2::", mac: "0e:2a:00:00:00:02" };

const STATE = "iproute2 says the state of what it deletes, which the kernel does not look at";

const requests: RequestCase[] = [
  {
    command: "ip neigh replace 10.244.2.0 lladdr 0e:2a:00:00:00:02 dev flannel.1 nud permanent",
    wire: `
      300000001c000505edd7036b00000000020000000500000080000000080001000af402000a0002000e2a000000020000
    `,
    write: (writer, sequence) =>
      neighbourCodec.encode.replace(writer, sequence, neighbourTable([neighbour]).words, 0, LINK_INDEXES),
  },
  {
    command: "ip neigh replace fd00:10:244:2:: lladdr 0e:2a:00:00:00:02 dev flannel.1 nud permanent",
    wire: `
      3c0000001c000505edd7036b000000000a000000050000008000000014000100fd0000100244000200000000000000000a00
      02000e2a000000020000
    `,
    write: (writer, sequence) =>
      neighbourCodec.encode.replace(writer, sequence, neighbourTable([neighbourV6]).words, 0, LINK_INDEXES),
  },
  {
    command: "ip neigh del 10.244.2.0 dev flannel.1",
    wire: "240000001d000500eed7036b00000000020000000500000080000000080001000af40200",
    write: (writer, sequence) =>
      neighbourCodec.encode.delete(writer, sequence, neighbourTable([neighbour]).words, 0, LINK_INDEXES),
    differs: { why: STATE, replace: { header: "020000000500000000000000" } },
  },
  {
    command: "ip neigh del fd00:10:244:2:: dev flannel.1",
    wire: `
      300000001d000500eed7036b000000000a000000050000008000000014000100fd000010024400020000000000000000
    `,
    write: (writer, sequence) =>
      neighbourCodec.encode.delete(writer, sequence, neighbourTable([neighbourV6]).words, 0, LINK_INDEXES),
    differs: { why: STATE, replace: { header: "0a0000000500000000000000" } },
  },
  {
    command: "ip -4 neigh show dev flannel.1",
    wire: "240000001e000103eed7036b000000000200000000000000000000000800080005000000",
    write: (writer, sequence) => neighbourCodec.encodeDump(writer, sequence, 2, 5),
  },
  {
    command: "ip -6 neigh show dev flannel.1",
    wire: "240000001e000103eed7036b000000000a00000000000000000000000800080005000000",
    write: (writer, sequence) => neighbourCodec.encodeDump(writer, sequence, 10, 5),
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
  Deno.test(`neighbourCodec reads the permanent neighbours of capture ${capture}: ${why}`, () => {
    const table = new Table(NEIGHBOUR, 1);
    const slots = new LinkSlots(LINK_INDEXES);
    eachMessage(
      fromHex(CAPTURES[capture]),
      (message, attributes) => neighbourCodec.decode(message, attributes, slots, table),
    );
    assertEquals(table.words, neighbourTable(rows).words);
  });
}
