import { assertEquals } from "@std/assert";
import {
  describeSecurityGroups,
  groupFaults,
  type GroupRule,
} from "../../../src/cloud/aws/security_groups.ts";
import { formatPrefix, parsePrefix } from "../../../src/model/address.ts";
import { cannedClient, OPTIONS } from "./canned_client.ts";

/** `PROTOCOL PREFIX[,PREFIX]`, or `PROTOCOL group`. */
function ruleOf(line: string): GroupRule {
  const [protocol, peers] = line.split(" ");
  const hasGroups = peers === "group";
  return { protocol: protocol!, prefixes: hasGroups ? [] : peers!.split(",").map(parsePrefix), hasGroups };
}

const groupOf = (ingress: string[], egress: string[], id = "sg-1") => ({
  id,
  ingress: ingress.map(ruleOf),
  egress: egress.map(ruleOf),
});
const NETWORK = "10.244.0.0/16";
const ALL = ["-1 0.0.0.0/0"];

const cases: readonly [ingress: string[], egress: string[], faults: string[], why: string][] = [
  [ALL, ALL, [], "all passes"],
  [["-1 10.0.0.0/8,192.0.2.0/24"], ALL, [], "a wider prefix will do"],
  [[`-1 ${NETWORK}`], [`-1 ${NETWORK}`], [], "the network itself will do"],
  [
    ["-1 10.244.0.0/17"],
    ALL,
    [`sg-1 let nothing in from ${NETWORK}: allow all traffic in from that prefix`],
    "half of it will not",
  ],
  [["tcp 0.0.0.0/0", "udp 0.0.0.0/0"], ALL, [
    `sg-1 let only tcp, udp in from ${NETWORK}: other packets of pods are dropped`,
  ], "ping is a packet too"],
  [["-1 group"], ALL, [
    `sg-1 let nothing in from ${NETWORK}: allow all traffic in from that prefix; ` +
    "a rule that names a security group does not match pods",
  ], "a VPC's default group"],
  [
    ALL,
    [],
    [`sg-1 let nothing out to ${NETWORK}: allow all traffic out to that prefix`],
    "the other direction",
  ],
  [["-1 ::/0"], ["-1 ::/0"], [
    `sg-1 let nothing in from ${NETWORK}: allow all traffic in from that prefix`,
    `sg-1 let nothing out to ${NETWORK}: allow all traffic out to that prefix`,
  ], "the other family is none of it"],
];

for (const [ingress, egress, faults, why] of cases) {
  Deno.test(`groupFaults() says ${JSON.stringify(faults)}: ${why}`, () => {
    assertEquals(groupFaults([groupOf(ingress, egress)], [parsePrefix(NETWORK)]), faults);
  });
}

Deno.test("groupFaults() adds groups up, and looks at each family", () => {
  const groups = [groupOf(["-1 10.244.0.0/16"], [], "sg-1"), groupOf(["-1 fd00::/8"], ["-1 ::/0"], "sg-2")];
  assertEquals(groupFaults(groups, [parsePrefix(NETWORK), parsePrefix("fd00:244::/48")]), [
    `sg-1, sg-2 let nothing out to ${NETWORK}: allow all traffic out to that prefix`,
  ]);
});

Deno.test("describeSecurityGroups() reads rules of both families, and leaves out what it does not know", async () => {
  const { client, forms } = cannedClient(
    "<DescribeSecurityGroupsResponse><securityGroupInfo><item><groupId>sg-1</groupId><ipPermissions>" +
      "<item><ipProtocol>-1</ipProtocol><groups><item><groupId>sg-1</groupId></item></groups><ipRanges/></item>" +
      "<item><ipProtocol>tcp</ipProtocol><fromPort>1</fromPort><toPort>9</toPort><ipRanges><item>" +
      "<cidrIp>10.0.0.0/8</cidrIp></item><item><cidrIp>junk</cidrIp></item></ipRanges><ipv6Ranges><item>" +
      "<cidrIpv6>fd00::/8</cidrIpv6></item></ipv6Ranges><prefixListIds/></item></ipPermissions>" +
      "<ipPermissionsEgress/></item></securityGroupInfo></DescribeSecurityGroupsResponse>",
  );
  const [group] = await describeSecurityGroups(client, ["sg-1", "sg-2"], OPTIONS);
  assertEquals(forms, ["DescribeSecurityGroups&GroupId.1=sg-1&GroupId.2=sg-2"]);
  assertEquals(
    group!.ingress.map((
      { protocol, prefixes, hasGroups },
    ) => [protocol, prefixes.map(formatPrefix).join(), hasGroups]),
    [["-1", "", true], ["tcp", "10.0.0.0/8,fd00::/8", false]],
  );
  assertEquals(group!.egress, []);
});
