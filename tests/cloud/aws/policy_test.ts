import { assert, assertEquals } from "@std/assert";
import { leastPolicy, partitionOf } from "../../../src/cloud/aws/policy.ts";
import { DoctorRig, printedPolicy } from "../../command/doctor/aws_doctor_rig.ts";
import { AwsError } from "../../double/aws/aws_error.ts";
import type { PolicyDocument } from "../../double/aws/policy.ts";
import { awsConfig, AwsRig } from "./aws_rig.ts";

const OWN = "10.244.1.0/24";
const HOUR_MS = 3_600_000;

/** All that an agent may come to do, with this policy: whether it did it, and has nothing to complain of. */
async function runsWell(keys: Record<string, unknown>, policy: PolicyDocument): Promise<boolean> {
  await using rig = new AwsRig();
  const { cloud, control, identities } = rig.aws;
  const isManaged = keys["ENI"] === "managed";
  identities.setPolicies("node", [policy]);
  const [host, other, gone] = [rig.host(keys, { maxAttempts: 1 }), rig.host(), rig.host()];
  const settle = async (...own: string[]) => {
    for (let turn = 0; turn < 5; turn++) if (await host.turn(own)) return host.cloud.conditions.length === 0;
    return false;
  };
  const taken = "10.244.2.0/24";
  cloud.putRoute(rig.tableId, taken, other.eniId);
  cloud.putRoute(rig.tableId, "10.244.9.0/24", gone.eniId);
  cloud.setState(gone.instanceId, "terminated");
  if (isManaged) {
    control.fail(new AwsError("AttachmentLimitExceeded", "too many"), { action: "AttachNetworkInterface" });
  }
  if (!await settle(OWN, taken)) return false;
  const mine = cloud.interfacesOf(host.instanceId).at(-1)!;
  if (isManaged) {
    mine.addresses = mine.addresses.slice(0, 1);
    mine.attachment!.deleteOnTermination = false;
  }
  mine.sourceDestCheck = true;
  host.clock.ms += HOUR_MS + 1;
  if (keys["SourceDestCheck"] === "keep") mine.sourceDestCheck = false;
  const isWell = await settle(OWN, taken);
  const left = [...cloud.interfaces.values()].filter(({ attachment }) => attachment === undefined);
  // What was made and could not be attached is gone again, and not only attached later.
  const isDeleted = control.calls.some((one) =>
    one.action === "DeleteNetworkInterface" && one.result === "ok"
  );
  return isWell && isDeleted === isManaged && left.length === 0 && !mine.sourceDestCheck &&
    mine.attachment!.deleteOnTermination &&
    mine.addresses.length === (isManaged ? 3 : 1) &&
    rig.routes().join() === [`${OWN} ${mine.id}`, `${taken} ${mine.id}`].join();
}

/** What the doctor says with a policy, beside what is well. */
async function doctorSays(keys: Record<string, unknown>, policy?: PolicyDocument): Promise<string> {
  await using doctor = new DoctorRig();
  if (policy !== undefined) doctor.rig.aws.identities.setPolicies("node", [policy]);
  const { text } = await doctor.run(keys);
  return policy === undefined
    ? text
    : text.split("\n").filter((line) => /^(?:WRONG|\?)/.test(line)).join("\n");
}

const MODES: readonly Record<string, unknown>[] = [
  { ENI: "device-index=0" },
  { ENI: "device-index=0", SourceDestCheck: "keep" },
  { ENI: "managed", ENISecondaryAddresses: 2 },
];

for (const keys of MODES) {
  Deno.test(`the policy that the doctor prints is enough, and the least, with ${JSON.stringify(keys)}`, async () => {
    const policy = printedPolicy(await doctorSays(keys));
    if (keys["SourceDestCheck"] !== "keep") assert(await runsWell(keys, policy), "it is enough");
    const said = await doctorSays(keys, policy);
    assertEquals(said.includes("WRONG"), false, said);
    const fails = async (Statement: PolicyDocument["Statement"]) => {
      const less: PolicyDocument = { ...policy, Statement };
      return await doctorSays(keys, less) !== said || !await runsWell(keys, less);
    };
    for (const one of policy.Statement) {
      assert(await fails(policy.Statement.filter((other) => other !== one)), `${one.Sid} is needed`);
      for (const action of [one.Action].flat()) {
        const Action = [one.Action].flat().filter((other) => other !== action);
        const less = policy.Statement.map((other) => other === one ? { ...one, Action } : other);
        assert(await fails(less), `${action} of ${one.Sid} is needed`);
      }
      for (const resource of [one.Resource].flat()) {
        const Resource = [one.Resource].flat().filter((other) => other !== resource);
        const less = policy.Statement.map((other) => other === one ? { ...one, Resource } : other);
        assert(await fails(less), `${resource} of ${one.Sid} is needed`);
      }
    }
  });
}

Deno.test("the least policy is for what has the cluster's tag: another cluster's tables and interfaces are refused", async () => {
  await using rig = new AwsRig();
  const [host, second] = [rig.host(), rig.host()];
  const table = rig.aws.cloud.routeTables.get(rig.tableId)!;
  const { tags } = table;
  table.tags = { "flannel.io/cluster": "red" };
  assertEquals(await host.turn([OWN]), false);
  assertEquals(rig.routes(), []);
  table.tags = tags;
  const eni = rig.aws.cloud.interfaces.get(second.eniId)!;
  eni.tags = {};
  assertEquals(await second.turn([OWN]), false);
  assertEquals(eni.sourceDestCheck, true);
});

const partitions: readonly [region: string, partition: string][] = [
  ["eu-west-1", "aws"],
  ["cn-north-1", "aws-cn"],
  ["us-gov-east-1", "aws-us-gov"],
  ["us-iso-east-1", "aws-iso"],
  ["us-isob-east-1", "aws-iso-b"],
  ["eu-isoe-west-1", "aws-iso-e"],
  ["us-isof-south-1", "aws-iso-f"],
  ["eusc-de-east-1", "aws-eusc"],
];

for (const [region, partition] of partitions) {
  Deno.test(`the least policy in ${region} is of the partition ${partition}`, () => {
    assertEquals(partitionOf(region), partition);
    const { Statement } = leastPolicy(awsConfig(), { partition, region, account: "1", cluster: "c" });
    assertEquals(Statement[1]!.Resource, `arn:${partition}:ec2:${region}:1:route-table/*`);
  });
}
