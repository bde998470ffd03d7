import { assertEquals, assertThrows } from "@std/assert";
import { AF_INET, AF_INET6, parsePrefix } from "../../src/model/address.ts";
import {
  decodeRule,
  encodeRule,
  encodeRuleDeletion,
  encodeRuleDump,
  type ObservedRule,
} from "../../src/rtnetlink/rule.ts";
import { eachMessage, fromHex, type RequestCase, testRequests } from "../netlink/golden.ts";

const rule = (source: string) => ({
  source: parsePrefix(source),
  priority: 7676,
  table: 7676,
  protocol: 76,
});
const ipv4 = rule("10.244.1.0/24");
const ipv6 = rule("fd00:10:244:1::/64");

const requests: RequestCase[] = [
  {
    command: "ip rule add from 10.244.1.0/24 lookup 7676 priority 7676 protocol 76",
    wire: `
      3c00000020000506cbfa0c6b000000000200180000000001000000000800 02000af4010008000f00fc1d000008000600fc1d0000
      050015004c000000
    `,
    write: (writer, sequence) => encodeRule(writer, sequence, ipv4),
  },
  {
    command: "ip -6 rule add from fd00:10:244:1::/64 lookup 7676 priority 7676 protocol 76",
    wire: `
      4800000020000506cbfa0c6b000000000a004000000000010000000014000200fd00001002440001000000000000000008000f00
      fc1d000008000600fc1d0000050015004c000000
    `,
    write: (writer, sequence) => encodeRule(writer, sequence, ipv6),
  },
  {
    command: "ip rule del from 10.244.1.0/24 lookup 7676 priority 7676 protocol 76",
    wire: `
      3c00000021000500cbfa0c6b000000000200180000000000000000000800 02000af4010008000f00fc1d000008000600fc1d0000
      050015004c000000
    `,
    write: (writer, sequence) => encodeRuleDeletion(writer, sequence, ipv4),
  },
  {
    command: "ip -6 rule del from fd00:10:244:1::/64 lookup 7676 priority 7676 protocol 76",
    wire: `
      4800000021000500cbfa0c6b000000000a004000000000000000000014000200fd00001002440001000000000000000008000f00
      fc1d000008000600fc1d0000050015004c000000
    `,
    write: (writer, sequence) => encodeRuleDeletion(writer, sequence, ipv6),
  },
  {
    command: "ip rule show",
    wire: "1c0000002200010384fb0c6b00000000020000000000000000000000",
    write: (writer, sequence) => encodeRuleDump(writer, sequence, AF_INET),
  },
  {
    command: "ip -6 rule show",
    wire: "1c0000002200010384fb0c6b000000000a0000000000000000000000",
    write: (writer, sequence) => encodeRuleDump(writer, sequence, AF_INET6),
  },
];

testRequests("rule", requests);

/** What Linux 6.18 answers to `ip rule show`, as `strace -e trace=recvmsg -e read=all` shows it. */
const IPV4_RULES = `
  340000002000020084fb0c6b1431000002000000ff0000010000000008000f00ff00000008000e00ffffffff0500150002000000
  680000002000020084fb0c6b1431000002180000000000080000000008000f000000000008000e00ffffffff0500150000000000
  0900030065746831000000000800060070170000080018005000500006001d00ffff00000500160006000000080001 00c0000200
  3c0000002000020084fb0c6b1431000002000000fe0000010000000008000f00fe00000008000e00000000000500150000000000
  08000600571b0000
  4c0000002000020084fb0c6b1431000002000000fc0000010200000008000f006cca000008000e00ffffffff0500150000000000
  08000600581b000008000a006cca000008001000ffffffff
  440000002000020084fb0c6b1431000002001800fc0000010000000008000f00fc1d000008000e00ffffffff050015004c000000
  08000600fc1d0000080002000af40100
  3c0000002000020084fb0c6b1431000002000000fe0000010000000008000f00fe00000008000e00ffffffff0500150002000000
  08000600fe7f0000
`;
/** What it answers to `ip -6 rule show`. */
const IPV6_RULES = `
  500000002000020084fb0c6b193100000a004000fc0000010000000008000f00fc1d000008000e00ffffffff050015004c000000
  08000600fc1d000014000200fd000010024400010000000000000000
`;

const plain = { family: AF_INET, action: 1, protocol: 0, isInverted: false, isNarrower: false } as const;

Deno.test("decodeRule() reads every rule of `ip rule show`, and what it does not know makes a rule narrower", () => {
  const rules: (ObservedRule | undefined)[] = [];
  const read = (wire: string) => eachMessage(fromHex(wire), (message) => rules.push(decodeRule(message)));
  read(IPV4_RULES);
  read(IPV6_RULES);
  const expected: ObservedRule[] = [
    { ...plain, priority: 0, table: 255, protocol: 2 },
    // to 192.0.2.0/24 iif eth1 ipproto tcp dport 80 prohibit
    {
      ...plain,
      priority: 6000,
      action: 8,
      table: 0,
      destination: parsePrefix("192.0.2.0/24"),
      inputLink: "eth1",
      isNarrower: true,
      narrowing: { protocol: 6, destinationPorts: [80, 80] },
    },
    // from all lookup main suppress_prefixlength 0
    { ...plain, priority: 6999, table: 254, suppressedLength: 0 },
    // not from all fwmark 0xca6c lookup 51820
    { ...plain, priority: 7000, table: 51820, mark: 0xca6c, isInverted: true },
    { ...plain, ...ipv4 },
    { ...plain, priority: 32766, table: 254, protocol: 2 },
    { ...plain, ...ipv6, family: AF_INET6 },
  ];
  assertEquals(rules, expected);
});

Deno.test("decodeRule() refuses a message that is too short, and passes by what is no rule", () => {
  const short = fromHex("140000002000020084fb0c6b1431000002000000");
  eachMessage(short, (message) => assertThrows(() => decodeRule(message), SyntaxError));
  eachMessage(fromHex("140000000300020084fb0c6b1431000000000000"), (message) => {
    assertEquals(decodeRule(message), undefined);
  });
});
