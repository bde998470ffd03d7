import { assertEquals, assertStringIncludes } from "@std/assert";
import { AwsError } from "../../double/aws/aws_error.ts";
import { type AwsHost, AwsRig } from "./aws_rig.ts";

const OWN = "10.244.1.0/24";
const MANAGED = { ENI: "managed" };

/** A rig whose hosts may make network interfaces. */
function managedRig(): AwsRig {
  const rig = new AwsRig();
  rig.aws.identities.setPolicies("node", [rig.policy(MANAGED)]);
  return rig;
}

/** Takes turns until nothing is left to be done; at most ten. */
async function settle(host: AwsHost): Promise<boolean> {
  for (let turns = 0; turns < 10; turns++) if (await host.turn([OWN])) return true;
  return false;
}

/** The network interfaces that the agent has made. */
function made(rig: AwsRig) {
  return [...rig.aws.cloud.interfaces.values()].filter(({ tags }) => "flannel.io/instance" in tags);
}

function said(host: AwsHost): string {
  return host.cloud.conditions.map(({ code, sentence }) => `${code}: ${sentence}`).join("\n");
}

Deno.test("a managed interface is made, tagged, attached, goes with its instance, and gets the route", async () => {
  await using rig = managedRig();
  const host = rig.host(MANAGED);
  assertEquals(await settle(host), true, said(host));
  const [eni, ...others] = made(rig);
  assertEquals(others, []);
  assertEquals(eni!.tags, { "flannel.io/instance": host.instanceId, "flannel.io/cluster": "blue" });
  const { instanceId, deviceIndex, deleteOnTermination } = eni!.attachment!;
  assertEquals({ instanceId, deviceIndex, deleteOnTermination }, {
    instanceId: host.instanceId,
    deviceIndex: 1,
    deleteOnTermination: true,
  });
  assertEquals(eni!.sourceDestCheck, false);
  assertEquals(rig.routes(), [`${OWN} ${eni!.id}`]);
  assertEquals(said(host), "");
  assertEquals(rig.calls(), {
    DescribeNetworkInterfaces: 2,
    CreateNetworkInterface: 1,
    AttachNetworkInterface: 1,
    ModifyNetworkInterfaceAttribute: 2,
    DescribeRouteTables: 1,
    CreateRoute: 1,
  });
});

Deno.test("a managed interface has the addresses and prefixes that the configuration asks for, also later", async () => {
  await using rig = managedRig();
  const host = rig.host({ ...MANAGED, ENISecondaryAddresses: 2, ENIPrefixes: 1 });
  assertEquals(await settle(host), true, said(host));
  const [eni] = made(rig);
  assertEquals([eni!.addresses.length, eni!.ipv4Prefixes.length], [3, 1]);
  eni!.addresses.pop();
  host.clock.ms += 3_600_001;
  assertEquals(await settle(host), true, said(host));
  assertEquals(eni!.addresses.length, 3);
});

Deno.test("an agent that starts again finds the interface that it has made, and makes no other", async () => {
  await using rig = managedRig();
  const host = rig.host(MANAGED);
  await settle(host);
  rig.calls();
  const again = rig.again(host, MANAGED);
  assertEquals(await settle(again), true, said(again));
  assertEquals(made(rig).length, 1);
  assertEquals(rig.calls(), { DescribeNetworkInterfaces: 2, DescribeRouteTables: 1 });
});

Deno.test("an agent that was ended between making and attaching attaches what it has made", async () => {
  await using rig = managedRig();
  const host = rig.host(MANAGED);
  rig.aws.control.fail("html 500", { action: "AttachNetworkInterface", times: 2 });
  assertEquals(await host.turn([OWN]), false);
  assertEquals(made(rig).map(({ attachment }) => attachment), [undefined]);
  const again = rig.again(host, MANAGED);
  assertEquals(await settle(again), true, said(again));
  assertEquals(made(rig).map(({ attachment }) => attachment?.instanceId), [host.instanceId]);
});

Deno.test("an interface is made once, also when the answer is lost and the call made again on its way", async () => {
  await using rig = managedRig();
  const host = rig.host(MANAGED);
  rig.aws.control.fail("lost answer", { action: "CreateNetworkInterface" });
  assertEquals(await settle(host), true, said(host));
  assertEquals(made(rig).length, 1);
});

Deno.test("an interface that can't be attached is deleted again, and the reason is told", async () => {
  await using rig = managedRig();
  const host = rig.host(MANAGED);
  const full = new AwsError(
    "AttachmentLimitExceeded",
    "Interface count 4 exceeds the limit for m5.large",
    400,
  );
  rig.aws.control.fail(full, { action: "AttachNetworkInterface" });
  assertEquals(await host.turn([OWN]), false);
  assertEquals(made(rig), []);
  assertStringIncludes(said(host), "Interface count 4 exceeds the limit");
  assertStringIncludes(
    said(host),
    `cloud-route-missing: it is not known whether packets for ${OWN} get to this host`,
  );
  assertEquals(await settle(host), true, said(host));
});

Deno.test("an interface whose attaching was not answered stays, and is found attached", async () => {
  await using rig = managedRig();
  const host = rig.host(MANAGED);
  rig.aws.control.fail("lost answer", { action: "AttachNetworkInterface" });
  assertEquals(await host.turn([OWN]), false);
  assertEquals(await settle(host), true, said(host));
  const [eni, ...others] = made(rig);
  assertEquals([others.length, eni!.attachment!.deleteOnTermination], [0, true]);
});

Deno.test("an interface that an operator has detached is attached again", async () => {
  await using rig = managedRig();
  const host = rig.host(MANAGED);
  await settle(host);
  const [eni] = made(rig);
  eni!.attachment = undefined;
  assertEquals(await settle(host), true, said(host));
  assertEquals(made(rig).map(({ id, attachment }) => [id, attachment?.instanceId]), [[
    eni!.id,
    host.instanceId,
  ]]);
});

Deno.test("what may not be done for an interface is told with action and resource", async () => {
  await using rig = new AwsRig();
  const host = rig.host(MANAGED);
  assertEquals(await host.turn([OWN]), false);
  assertStringIncludes(said(host), "may not ec2:CreateNetworkInterface");
  assertStringIncludes(said(host), "allow it on network-interface/*, subnet/* and security-group/*");
});

Deno.test("an interface of another instance with the same cluster tag is left alone", async () => {
  await using rig = managedRig();
  const tags = { "flannel.io/instance": "i-0123456789abcdef0", "flannel.io/cluster": "blue" };
  const other = rig.aws.cloud.addInterface(rig.subnetIds[0], { tags });
  const host = rig.host(MANAGED);
  await settle(host);
  assertEquals(other.attachment, undefined);
  assertEquals(made(rig).length, 2);
});
