import { assertEquals, assertThrows } from "@std/assert";
import { AF_INET, AF_INET6, parseAddress, parsePrefix } from "../../src/model/address.ts";
import {
  decodeTableRoute,
  encodeTableDump,
  encodeTableRoute,
  encodeTableRouteDeletion,
  type TableRoute,
} from "../../src/rtnetlink/table_route.ts";
import { eachMessage, fromHex, type RequestCase, testRequests } from "../netlink/golden.ts";

const ours = { table: 7676, protocol: 76 } as const;
const throwV4: TableRoute = {
  ...ours,
  destination: parsePrefix("10.244.1.0/24"),
  type: 9,
  metric: 0,
  linkIndex: 0,
  isOnlink: false,
};
const throwV6: TableRoute = { ...throwV4, destination: parsePrefix("fd00:10:244:1::/64"), metric: 1024 };
const viaV4: TableRoute = {
  ...ours,
  destination: parsePrefix("10.244.0.0/16"),
  type: 1,
  metric: 0,
  linkIndex: 3,
  gateway: parseAddress("10.0.9.1"),
  isOnlink: true,
};
const viaV6: TableRoute = {
  ...viaV4,
  destination: parsePrefix("fd00:10:244::/48"),
  metric: 1024,
  gateway: parseAddress("fe80:ec2::1"),
};

const requests: RequestCase[] = [
  {
    command: "ip route replace throw 10.244.1.0/24 table 7676 protocol 76",
    wire: "2c0000001800050584fb0c6b0000000002180000004c000900000000080001000af4010008000f00fc1d0000",
    write: (writer, sequence) => encodeTableRoute(writer, sequence, throwV4),
  },
  {
    command: "ip route replace 10.244.0.0/16 via 10.0.9.1 dev eth1 onlink table 7676 protocol 76",
    wire: `
      3c0000001800050584fb0c6b0000000002100000004c000104000000080001000af40000080005000a00090108000f00fc1d0000
      0800040003000000
    `,
    write: (writer, sequence) => encodeTableRoute(writer, sequence, viaV4),
  },
  {
    command: "ip -6 route replace throw fd00:10:244:1::/64 metric 1024 table 7676 protocol 76",
    wire: `
      400000001800050584fb0c6b000000000a400000004c00090000000014000100fd00001002440001000000000000000008000600
      0004000008000f00fc1d0000
    `,
    write: (writer, sequence) => encodeTableRoute(writer, sequence, throwV6),
  },
  {
    command:
      "ip -6 route replace fd00:10:244::/48 via fe80:ec2::1 dev eth1 onlink metric 1024 table 7676 protocol 76",
    wire: `
      5c0000001800050584fb0c6b000000000a300000004c00010400000014000100fd00001002440000000000000000000014000500
      fe800ec2000000000000000000000001080006000004000008000f00fc1d00000800040003000000
    `,
    write: (writer, sequence) => encodeTableRoute(writer, sequence, viaV6),
  },
  {
    command: "ip route del throw 10.244.1.0/24 table 7676 protocol 76",
    wire: "2c0000001900050084fb0c6b0000000002180000004cff0900000000080001000af4010008000f00fc1d0000",
    write: (writer, sequence) => encodeTableRouteDeletion(writer, sequence, throwV4),
  },
  {
    command: "ip route del unicast 10.244.0.0/16 via 10.0.9.1 dev eth1 table 7676 protocol 76",
    wire: `
      3c0000001900050084fb0c6b0000000002100000004cff0100000000080001000af40000080005000a00090108000f00fc1d0000
      0800040003000000
    `,
    write: (writer, sequence) => encodeTableRouteDeletion(writer, sequence, viaV4),
  },
  {
    command: "ip -6 route del throw fd00:10:244:1::/64 metric 1024 table 7676 protocol 76",
    wire: `
      400000001900050084fb0c6b000000000a400000004c00090000000014000100fd00001002440001000000000000000008000600
      0004000008000f00fc1d0000
    `,
    write: (writer, sequence) => encodeTableRouteDeletion(writer, sequence, throwV6),
  },
  {
    command:
      "ip -6 route del unicast fd00:10:244::/48 via fe80:ec2::1 dev eth1 metric 1024 table 7676 protocol 76",
    wire: `
      5c0000001900050084fb0c6b000000000a300000004c00010000000014000100fd00001002440000000000000000000014000500
      fe800ec2000000000000000000000001080006000004000008000f00fc1d00000800040003000000
    `,
    write: (writer, sequence) => encodeTableRouteDeletion(writer, sequence, viaV6),
  },
  {
    command: "ip -4 route show table 7676",
    wire: "240000001a00010384fb0c6b0000000002000000000000000000000008000f00fc1d0000",
    write: (writer, sequence) => encodeTableDump(writer, sequence, AF_INET, 7676),
  },
  {
    command: "ip -6 route show table 7676",
    wire: "240000001a00010384fb0c6b000000000a000000000000000000000008000f00fc1d0000",
    write: (writer, sequence) => encodeTableDump(writer, sequence, AF_INET6, 7676),
  },
];

testRequests("route of another table", requests);

/** What Linux 6.18 answers to `ip -4 route show table 7676` and `ip -6 route show table 7676`. */
const ROUTES = `
  3c0000001800220084fb0c6b1e31000002100000fc4c00010400000008000f00fc1d0000080001000af40000080005000a000901
  08000400030000002c0000001800220084fb0c6b1e31000002180000fc4c00090000000008000f00fc1d0000080001000af40100
  740000001800220084fb0c6b283100000a400000fc4c00090000000008000f00fc1d000014000100fd0000100244000100000000
  00000000080006000004000008000400010000002400 0c0000000000000000000000000000000000000000000000000000000000
  000000000500140000000000880000001800220084fb0c6b283100000a300000fc4c00010400000008000f00fc1d000014000100
  fd000010024400000000000000000000080006000004000014000500fe800ec20000000000000000000000010800040003000000
  24000c0000000000000000000000000000000000000000000000000000000000000000000500140000000000
`;

Deno.test("decodeTableRoute() reads back what was written, of a table with a large number too", () => {
  const routes: (TableRoute | undefined)[] = [];
  eachMessage(fromHex(ROUTES), (message) => routes.push(decodeTableRoute(message)));
  assertEquals(routes, [viaV4, throwV4, throwV6, viaV6]);
});

Deno.test("decodeTableRoute() refuses a message that is too short, and passes by what is no route", () => {
  const short = fromHex("140000001800020084fb0c6b1431000002000000");
  eachMessage(short, (message) => assertThrows(() => decodeTableRoute(message), SyntaxError));
  eachMessage(fromHex("140000000300020084fb0c6b1431000000000000"), (message) => {
    assertEquals(decodeTableRoute(message), undefined);
  });
});
