import { assertEquals } from "@std/assert";
import { AF_INET, AF_INET6, parseAddress } from "../../src/model/address.ts";
import type { ObservedAddress } from "../../src/model/state.ts";
import {
  decodeAddress,
  encodeAddress,
  encodeAddressDeletion,
  encodeAddressDump,
} from "../../src/rtnetlink/address.ts";
import { CAPTURES } from "../netlink/captures.ts";
import { eachMessage, fromHex, type RequestCase, testRequests } from "../netlink/golden.ts";

const ipv4 = { linkIndex: 5, address: parseAddress("10.244.1.0"), length: 32 };
const ipv6 = { linkIndex: 5, address: parseAddress("fd00:10:244:1::"), length: 128 };
const bridge = { linkIndex: 6, address: parseAddress("10.244.1.1"), length: 24 };

const eni4 = { linkIndex: 3, address: parseAddress("10.0.9.11"), length: 24, isWithoutRoute: true } as const;
const eni6 = { linkIndex: 3, address: parseAddress("fd00:9::11"), length: 64, isWithoutRoute: true } as const;
const FLAGS_LAST = "ours says the flags last";

const requests: RequestCase[] = [
  {
    command: "ip address replace 10.244.1.0/32 dev flannel.1",
    wire: "2800000014000505ecd7036b000000000220000005000000080002000af40100080001000af40100",
    write: (writer, sequence) => encodeAddress(writer, sequence, ipv4),
  },
  {
    command: "ip address replace 10.244.1.1/24 dev cni0",
    wire: "2800000014000505ecd7036b000000000218000006000000080002000af40101080001000af40101",
    write: (writer, sequence) => encodeAddress(writer, sequence, bridge),
  },
  {
    command: "ip address replace fd00:10:244:1::/128 dev flannel.1 nodad",
    wire: `
      4000000014000505ecd7036b000000000a8002000500000014000200fd00001002440001000000000000000014000100fd00
      0010024400010000000000000000
    `,
    write: (writer, sequence) => encodeAddress(writer, sequence, ipv6),
    differs: {
      why: "iproute2 says `nodad` in the header, ours in the attribute that has room for all flags",
      replace: { header: "0a80000005000000", "8": "02000000" },
    },
  },
  {
    command: "ip address replace 10.0.9.11/24 dev eth1 noprefixroute",
    wire: `
      300000001400050584fb0c6b000000000218000003000000080002000a00090b0800080000020000080001000a00090b
    `,
    write: (writer, sequence) => encodeAddress(writer, sequence, eni4),
    differs: { why: FLAGS_LAST },
  },
  {
    command: "ip address replace fd00:9::11/64 dev eth1 noprefixroute nodad",
    wire: `
      480000001400050584fb0c6b000000000a4000000300000014000200fd00000900000000000000000000001108000800020200
      0014000100fd000009000000000000000000000011
    `,
    write: (writer, sequence) => encodeAddress(writer, sequence, eni6),
    differs: { why: FLAGS_LAST },
  },
  {
    command: "ip address del 10.244.1.0/32 dev flannel.1",
    wire: "2800000015000500edd7036b000000000220000005000000080002000af40100080001000af40100",
    write: (writer, sequence) => encodeAddressDeletion(writer, sequence, ipv4),
  },
  {
    command: "ip address del fd00:10:244:1::/128 dev flannel.1",
    wire: `
      4000000015000500edd7036b000000000a8000000500000014000200fd00001002440001000000000000000014000100fd00
      0010024400010000000000000000
    `,
    write: (writer, sequence) => encodeAddressDeletion(writer, sequence, ipv6),
  },
  {
    command: "ip address show",
    wire: "1800000016000103edd7036b000000000000000000000000",
    write: (writer, sequence) => encodeAddressDump(writer, sequence, 0),
  },
];

testRequests("address", requests);

/** `IFA_F_PERMANENT`, `IFA_F_NODAD`; `RT_SCOPE_HOST`. */
const PERMANENT = 0x80;
const NODAD = 0x02;
const HOST = 254;

const observed: [address: string, length: number, linkIndex: number, scope: number, flags: number][] = [
  ["127.0.0.1", 8, 1, HOST, PERMANENT],
  ["192.0.2.1", 24, 2, 0, PERMANENT],
  ["10.244.1.0", 32, 5, 0, PERMANENT],
  ["10.244.1.1", 24, 6, 0, PERMANENT],
  ["::1", 128, 1, HOST, PERMANENT],
  ["2001:db8::1", 64, 2, 0, PERMANENT | NODAD],
  ["fd00:10:244:1::", 128, 5, 0, PERMANENT | NODAD],
];

Deno.test("decodeAddress() reads every address of `ip address show`", () => {
  const addresses: ObservedAddress[] = [];
  eachMessage(fromHex(CAPTURES.addresses), (message) => {
    const address = decodeAddress(message);
    if (address !== undefined) addresses.push(address);
  });
  assertEquals(
    addresses,
    observed.map(([text, length, linkIndex, scope, flags]) => {
      const address = parseAddress(text);
      return {
        linkIndex,
        family: typeof address === "number" ? AF_INET : AF_INET6,
        address,
        length,
        scope,
        flags,
      };
    }),
  );
});
