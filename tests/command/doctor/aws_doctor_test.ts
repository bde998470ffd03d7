import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { runDoctor } from "../../../src/command/doctor/doctor.ts";
import { UsageError } from "../../../src/config/usage_error.ts";
import type { PolicyDocument } from "../../double/aws/policy.ts";
import { DoctorRig, printedPolicy } from "./aws_doctor_rig.ts";

/** The policy of a role, without one action. */
function without(policy: PolicyDocument, action: string): PolicyDocument {
  const Statement = policy.Statement.map((one) => ({
    ...one,
    Action: [one.Action].flat().filter((name) => name !== action),
  }));
  return { ...policy, Statement };
}

Deno.test("loden doctor --aws says what is right, changes nothing, and prints a policy", async () => {
  await using doctor = new DoctorRig();
  const { eni, instance, rig: { tableId, aws } } = doctor;
  const { isWell, text } = await doctor.run();
  const lines = text.slice(0, text.indexOf("\n\n")).split("\n");
  const [group] = eni.groups;
  assertEquals(lines, [
    `ok    this is ${instance.id} in eu-central-1; packets for pods come in by ${eni.id}`,
    "ok    ec2:DescribeRouteTables is allowed",
    `ok    the route table ${tableId} has 2 routes (500 is the quota if it was never raised)`,
    `ok    ec2:CreateRoute of 10.244.0.0/24 in ${tableId} is allowed`,
    `ok    ec2:ReplaceRoute of 10.244.0.0/24 in ${tableId} is allowed`,
    `ok    ec2:DeleteRoute of 10.244.0.0/24 in ${tableId} is allowed`,
    `ok    the source/destination check of ${eni.id} is off`,
    `ok    ec2:ModifyNetworkInterfaceAttribute of ${eni.id} is allowed`,
    `ok    ${group} let the pod network through`,
  ]);
  assertEquals(isWell, true);
  assertStringIncludes(text, "it is for what has the tag flannel.io/cluster=blue:\n{\n");
  assertEquals(printedPolicy(text), doctor.rig.policy({}));
  const changes = aws.control.calls.filter(({ service, action, isDryRun }) =>
    service === "ec2" && !action.startsWith("Describe") && !isDryRun
  );
  assertEquals([changes.length, doctor.rig.routes()], [0, []]);
});

const denied: readonly [keys: Record<string, unknown>, actions: string[]][] = [
  [{}, [
    "CreateRoute",
    "DeleteRoute",
    "DescribeNetworkInterfaces",
    "DescribeRouteTables",
    "ModifyNetworkInterfaceAttribute",
    "ReplaceRoute",
  ]],
  [{ ENI: "tag:flannel.io/cluster=blue" }, ["DescribeNetworkInterfaces"]],
  [{ ENI: "managed" }, [
    "AssignPrivateIpAddresses",
    "AttachNetworkInterface",
    "CreateNetworkInterface",
    "DeleteNetworkInterface",
    "DescribeNetworkInterfaces",
    "ModifyNetworkInterfaceAttribute",
  ]],
];

for (const [keys, actions] of denied) {
  Deno.test(`loden doctor --aws names each action that is denied, with ${JSON.stringify(keys)}`, async () => {
    await using doctor = new DoctorRig();
    const { identities, cloud } = doctor.rig.aws;
    const policy = doctor.rig.policy(keys);
    if (keys["ENI"] === "managed") {
      const tags = { "flannel.io/instance": doctor.instance.id, "flannel.io/cluster": "blue" };
      cloud.plug(cloud.addInterface(doctor.eni.subnetId, { tags }), doctor.instance.id, 1);
    }
    identities.setPolicies("node", [policy]);
    const { text } = await doctor.run(keys);
    assertEquals(text.includes("may not"), false, text);
    for (const action of actions) {
      identities.setPolicies("node", [without(policy, `ec2:${action}`)]);
      const { isWell, text } = await doctor.run(keys);
      assertEquals(isWell, false, action);
      assertMatch(text, new RegExp(`^WRONG the role of this host may not ec2:${action} on `, "m"));
      assertEquals(printedPolicy(text), policy, "what to allow is there");
    }
    assertEquals(doctor.rig.routes(), []);
  });
}

Deno.test("loden doctor --aws says that groups were not seen, where that is not allowed: the agent needs it not", async () => {
  await using doctor = new DoctorRig();
  doctor.rig.aws.identities.setPolicies("node", [
    without(doctor.rig.policy({}), "ec2:DescribeSecurityGroups"),
  ]);
  const { isWell, text } = await doctor.run();
  assertEquals(isWell, true);
  assertMatch(
    text,
    /^\? {5}whether security groups let the pod network through was not seen: .*DescribeSecurityGroups/m,
  );
});

Deno.test("loden doctor --aws finds groups that drop pods' packets", async () => {
  await using doctor = new DoctorRig();
  const group = doctor.rig.aws.cloud.securityGroups.get(doctor.eni.groups[0]!)!;
  group.rules = group.rules.filter(({ peer }) => peer !== "10.0.0.0/8");
  const { isWell, text } = await doctor.run();
  assertEquals(isWell, false);
  assertStringIncludes(
    text,
    `WRONG ${group.id} let nothing in from 10.244.0.0/16: allow all traffic in from that prefix; ` +
      "a rule that names a security group does not match pods",
  );
});

const checks: readonly [keys: Record<string, unknown>, isOn: boolean, line: RegExp, isWell: boolean][] = [
  [{}, true, /^\? {5}the source\/destination check of eni-\w+ is on; the agent turns it off$/m, true],
  [{}, false, /^ok {4}the source\/destination check of eni-\w+ is off$/m, true],
  [{ SourceDestCheck: "keep" }, true, /^WRONG .*is on, and SourceDestCheck says to keep it$/m, false],
  [{ SourceDestCheck: "keep" }, false, /^ok {4}the source\/destination check of eni-\w+ is off$/m, true],
];

for (const [keys, isOn, line, isRight] of checks) {
  Deno.test(`loden doctor --aws tells of a check that is ${isOn ? "on" : "off"}, with ${JSON.stringify(keys)}`, async () => {
    await using doctor = new DoctorRig();
    doctor.eni.sourceDestCheck = isOn;
    const { isWell, text } = await doctor.run(keys);
    assertMatch(text, line);
    assertEquals(isWell, isRight);
    assertEquals(doctor.eni.sourceDestCheck, isOn, "nothing is changed");
    assertEquals(text.includes("ec2:ModifyNetworkInterfaceAttribute"), keys["SourceDestCheck"] !== "keep");
  });
}

Deno.test("loden doctor --aws lists interfaces that the agent has made and no instance has", async () => {
  await using doctor = new DoctorRig();
  const { cloud, identities } = doctor.rig.aws;
  identities.setPolicies("node", [doctor.rig.policy({ ENI: "managed" })]);
  const keys = { ENI: "managed" };
  const before = await doctor.run(keys);
  assertEquals(before.isWell, true, before.text);
  assertStringIncludes(
    before.text,
    "packets for pods are to come in by an interface that the agent makes after",
  );
  assertStringIncludes(before.text, "ok    no network interface of blue is left over");
  const tags = { "flannel.io/instance": "i-gone", "flannel.io/cluster": "blue" };
  const left = cloud.addInterface(doctor.eni.subnetId, { tags });
  cloud.addInterface(doctor.eni.subnetId, { tags: { ...tags, "flannel.io/cluster": "red" } });
  const { isWell, text } = await doctor.run(keys);
  assertEquals(isWell, false);
  assertStringIncludes(
    text,
    `WRONG network interfaces of blue that no instance has: ${left.id} (made for i-gone); ` +
      "delete those of instances that are gone",
  );
  assertEquals(cloud.interfaces.has(left.id), true);
});

Deno.test("loden doctor --aws looks at the subnet and the groups of an interface that is still to be made", async () => {
  await using doctor = new DoctorRig();
  const { cloud } = doctor.rig.aws;
  const other = cloud.addSubnet(doctor.rig.vpcId, { cidr: "10.0.3.0/24" });
  const table = cloud.addRouteTable(doctor.rig.vpcId, { subnetIds: [other.id] });
  const group = cloud.addSecurityGroup(doctor.rig.vpcId, { name: "pods" });
  const { text } = await doctor.run({ ENI: "managed", ENISubnetID: other.id, ENISecurityGroups: group.id });
  assertStringIncludes(text, `ok    the route table ${table.id} has 2 routes`);
  assertStringIncludes(text, `${group.id} let nothing in from 10.244.0.0/16`);
});

Deno.test("loden doctor --aws tells of a network that overlaps the VPC, and of a table that is not there", async () => {
  await using doctor = new DoctorRig();
  const overlapping = await doctor.run({}, { args: ["--aws"] });
  assertEquals(overlapping.isWell, true);
  doctor.rig.aws.cloud.routeTables.get(doctor.rig.tableId)!.routes.push({
    destination: "10.244.0.0/17",
    target: "local",
    origin: "CreateRouteTable",
  });
  const { isWell, text } = await doctor.run();
  assertEquals(isWell, false);
  assertStringIncludes(text, "WRONG the network 10.244.0.0/16 overlaps 10.244.0.0/17 of the VPC itself");
  const lost = await doctor.run({ RouteTableID: "rtb-0123456789abcdef0" });
  assertEquals(lost.isWell, false);
  assertStringIncludes(lost.text, "rtb-0123456789abcdef0");
});

const AT = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

Deno.test("loden doctor --aws says that a host has no metadata, or is none of EC2's", async () => {
  await using doctor = new DoctorRig();
  const lost = await assertRejects(
    () => doctor.run({}, { environment: { [AT]: "http://127.0.0.1:1" } }),
    Error,
  );
  assertMatch(lost.message, /^Cannot look further: the instance metadata service does not answer \(/);
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    ({ method }) => method === "PUT" ? new Response("token") : new Response("", { status: 404 }),
  );
  const url = `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}`;
  const other = await assertRejects(() => doctor.run({}, { environment: { [AT]: url } }), Error);
  assertEquals(
    other.message,
    "Cannot look further: the instance metadata service has no instance-id: is this an EC2 instance?",
  );
});

Deno.test("loden doctor --aws says that a host has no credentials, or wrong ones", async () => {
  await using doctor = new DoctorRig();
  doctor.rig.aws.cloud.instances.set(doctor.instance.id, { ...doctor.instance, role: undefined });
  const keys = {
    AWS_ACCESS_KEY_ID: undefined,
    AWS_SECRET_ACCESS_KEY: undefined,
    AWS_SESSION_TOKEN: undefined,
  };
  const none = await doctor.run({}, { environment: keys });
  assertEquals(none.isWell, false);
  assertMatch(none.text, /^WRONG no credentials from the role of the instance \(give it one/m);
  const wrong = await doctor.run({}, { environment: { AWS_SECRET_ACCESS_KEY: "wrong" } });
  assertEquals(wrong.isWell, false);
  assertStringIncludes(wrong.text, "WRONG DescribeRouteTables: AuthFailure");
});

Deno.test("loden doctor --aws names an interface that the configuration means and the instance has not", async () => {
  await using doctor = new DoctorRig();
  const { isWell, text } = await doctor.run({ ENI: "device-index=4" });
  assertEquals(isWell, false);
  assertStringIncludes(text, `WRONG no network interface of ${doctor.instance.id} has device index 4`);
  assertStringIncludes(text, '"Sid": "Routes"');
});

Deno.test("loden doctor --aws chooses the interface by the underlay's address, as the agent does", async () => {
  await using doctor = new DoctorRig();
  const { text } = await doctor.run({ ENI: "auto" });
  assertMatch(
    text,
    /^WRONG no network interface of i-\w+ has the address \S+(?: or \S+)* of the underlay; it has eni/m,
  );
});

const usages: readonly [args: string[], message: string][] = [
  [["--aws", "here"], 'Cannot read "here": doctor takes flags alone'],
  [
    ["--aws", "-nonsense"],
    "Cannot read flag \"-nonsense\": there is no such flag; see 'loden doctor --help'",
  ],
];

for (const [args, message] of usages) {
  Deno.test(`loden doctor ${args.join(" ")} is refused in a sentence`, async () => {
    await using doctor = new DoctorRig();
    assertEquals((await assertRejects(() => doctor.run({}, { args }), UsageError)).message, message);
  });
}

Deno.test("loden doctor --aws is for the backend aws-vpc", async () => {
  await using doctor = new DoctorRig();
  const error = await assertRejects(() => doctor.run({}, { args: ["--aws", "-backend=host-gw"] }), Error);
  assertEquals(
    error.message,
    "Cannot look at AWS: the backend is host-gw; name aws-vpc, as with -backend=aws-vpc",
  );
});

for (const args of [["-h"], ["--aws", "-help"], ["--help"]]) {
  Deno.test(`loden doctor ${args.join(" ")} prints how it is used`, async () => {
    const lines: string[] = [];
    const deps = { environment: {}, print: (line: string) => void lines.push(line) };
    assertEquals(await runDoctor(args, deps, { signal: new AbortController().signal }), true);
    assert(lines.join("\n").startsWith("Usage: loden doctor "));
  });
}
