import { assertEquals } from "@std/assert";
import {
  decodeNextHop,
  encodeNextHopDeletion,
  encodeNextHopDump,
  type NextHop,
} from "../../src/rtnetlink/next_hop.ts";
import { CAPTURES } from "../netlink/captures.ts";
import { eachMessage, fromHex, type RequestCase, testRequests } from "../netlink/golden.ts";

const requests: RequestCase[] = [
  {
    command: "ip nexthop del id 1275068417",
    wire: "2000000069000500edd7036b000000000000000000000000080001000100004c",
    write: (writer, sequence) => encodeNextHopDeletion(writer, sequence, 1275068417),
  },
  {
    command: "ip nexthop show",
    wire: "180000006a000103edd7036b000000000000000000000000",
    write: encodeNextHopDump,
  },
];

testRequests("next hop", requests);

Deno.test("decodeNextHop() reads who made each of `ip nexthop show`, black holes and groups as well", () => {
  const nextHops: (NextHop | undefined)[] = [];
  eachMessage(fromHex(CAPTURES.nextHops), (message) => nextHops.push(decodeNextHop(message)));
  assertEquals(nextHops, [
    { id: 7, protocol: 0 },
    { id: 8, protocol: 76 },
    { id: 9, protocol: 0 },
    { id: 10, protocol: 0 },
    { id: 1275068417, protocol: 76 },
    { id: 1275068418, protocol: 76 },
    { id: 1275068419, protocol: 76 },
    undefined,
  ]);
});
