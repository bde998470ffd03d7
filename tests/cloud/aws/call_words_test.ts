import { assertEquals } from "@std/assert";
import { callChange } from "../../../src/cloud/aws/call_words.ts";
import type { Ec2Parameters } from "../../../src/cloud/aws/ec2_client.ts";
import { ChangeList, changeText } from "../../../src/model/host_plan.ts";
import { parsePrefix } from "../../../src/model/address.ts";
import { AwsRig } from "./aws_rig.ts";

const RouteTableId = "rtb-1";
const calls: [action: string, parameters: Ec2Parameters, text: string][] = [
  [
    "CreateRoute",
    { RouteTableId, DestinationCidrBlock: "10.244.1.0/24", NetworkInterfaceId: "eni-1" },
    "+ cloud route 10.244.1.0/24 in rtb-1 to eni-1",
  ],
  [
    "ReplaceRoute",
    { RouteTableId, DestinationIpv6CidrBlock: "fd00::/64", NetworkInterfaceId: "eni-1" },
    "~ cloud route fd00::/64 in rtb-1 to another target -> to eni-1",
  ],
  [
    "DeleteRoute",
    { RouteTableId, DestinationCidrBlock: "10.244.9.0/24" },
    "- cloud route 10.244.9.0/24 in rtb-1",
  ],
  ["CreateNetworkInterface", { SubnetId: "subnet-1" }, "+ cloud interface in subnet-1"],
  ["AttachNetworkInterface", { NetworkInterfaceId: "eni-2" }, "~ cloud interface eni-2 free -> attached"],
  [
    "ModifyNetworkInterfaceAttribute",
    { NetworkInterfaceId: "eni-1", SourceDestCheck: { Value: false } },
    "~ cloud interface eni-1 source/destination check on -> off",
  ],
];

for (const [action, parameters, text] of calls) {
  Deno.test(`callChange() says "${text}"`, () =>
    assertEquals(changeText(callChange(action, parameters)), text));
}

Deno.test("a dry run says the calls that a look then makes, and makes none of them", async () => {
  await using rig = new AwsRig();
  const [host, other] = [rig.host(), rig.host()];
  await host.turn(["10.244.1.0/24"]);
  const table = rig.tableId;
  rig.aws.cloud.putRoute(table, "10.244.1.0/24", other.eniId);
  rig.aws.cloud.putRoute(table, "10.244.9.0/24", host.eniId);
  rig.calls();
  const before = rig.routes();
  const list = new ChangeList(Infinity);
  const desired = {
    own: [parsePrefix("10.244.1.0/24")],
    peers: [],
    networks: [{ network: parsePrefix("10.244.0.0/16"), subnetLength: 24 }],
  };
  const { signal } = new AbortController();
  const found = await host.cloud.dryRun(desired, { isRemembered: false, list, signal });
  assertEquals(rig.routes(), before);
  assertEquals(Object.keys(rig.calls()).filter((action) => !action.startsWith("Describe")), []);
  assertEquals([found.path, list.changes.map(changeText)], ["none", [
    `~ cloud route 10.244.1.0/24 in ${table} to another target -> to ${host.eniId}`,
    `- cloud route 10.244.9.0/24 in ${table}`,
  ]]);
  await host.turn(["10.244.1.0/24"]);
  const made = Object.entries(rig.calls()).filter(([action]) => !action.startsWith("Describe"));
  assertEquals(made, [["ReplaceRoute", 1], ["DeleteRoute", 1]]);
});
