import { assertEquals, assertStringIncludes } from "@std/assert";
import { AwsRig, desiredOf } from "./aws_rig.ts";

const OWN = "10.244.1.0/24";
const PEER = "10.244.2.0/24";

/** Codes and sentences of what is wrong. */
function said(host: ReturnType<AwsRig["host"]>): string[] {
  return host.cloud.conditions.map(({ code, sentence }) => `${code}: ${sentence}`);
}

Deno.test("a host that starts makes its route and turns its check off, with three calls", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  assertEquals(said(host), []);
  assertEquals(await host.turn([OWN]), true);
  assertEquals(rig.routes(), [`${OWN} ${host.eniId}`]);
  assertEquals(rig.aws.cloud.interfaces.get(host.eniId)!.sourceDestCheck, false);
  assertEquals(rig.calls(), {
    CreateRoute: 1,
    DescribeRouteTables: 1,
    ModifyNetworkInterfaceAttribute: 1,
  });
  assertEquals(said(host), []);
});

Deno.test("a host whose route is there reads the table, and writes nothing", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  await host.turn([OWN]);
  rig.calls();
  assertEquals(await host.turn([OWN]), true);
  assertEquals(rig.calls(), { DescribeRouteTables: 1 });
});

Deno.test("a host asks at most six times an hour at rest", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  await host.turn([OWN]);
  rig.calls();
  for (let minutes = 0; minutes < 60; minutes += 13) {
    host.clock.ms += 13 * 60_000;
    await host.turn([OWN]);
  }
  const calls = Object.values(rig.calls()).reduce((sum, count) => sum + count, 0);
  assertEquals(calls, 6);
});

Deno.test("a route of this host that an operator has deleted is back after the next look", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  await host.turn([OWN]);
  rig.aws.cloud.putRoute(rig.tableId, OWN, undefined);
  assertEquals(await host.turn([OWN]), true);
  assertEquals(rig.routes(), [`${OWN} ${host.eniId}`]);
});

Deno.test("a route of this host's subnet that leads to another instance is replaced, never deleted first", async () => {
  await using rig = new AwsRig();
  const [host, other] = [rig.host(), rig.host()];
  rig.aws.cloud.putRoute(rig.tableId, OWN, other.eniId);
  assertEquals(await host.turn([OWN]), true);
  assertEquals(rig.routes(), [`${OWN} ${host.eniId}`]);
  const { DescribeRouteTables, ReplaceRoute, DeleteRoute } = rig.calls();
  assertEquals({ DescribeRouteTables, ReplaceRoute, DeleteRoute }, {
    ...{ DescribeRouteTables: 1, ReplaceRoute: 1 },
    DeleteRoute: undefined,
  });
  assertStringIncludes(host.log.lines.join("\n"), `"target":"${other.eniId}"`);
});

Deno.test("a route of this host's subnet that leads elsewhere stays where the configuration says so, and the host is not ready", async () => {
  await using rig = new AwsRig();
  const [host, other] = [rig.host({ RouteConflict: "fail" }), rig.host()];
  rig.aws.cloud.putRoute(rig.tableId, OWN, other.eniId);
  await host.turn([OWN]);
  assertEquals(rig.routes(), [`${OWN} ${other.eniId}`]);
  assertEquals(said(host), [
    `cloud-route-missing: packets for ${OWN} do not get to this host: the route table ${rig.tableId} leads it to ` +
    `${other.eniId}; delete that route, or set RouteConflict to replace`,
  ]);
});

Deno.test("a route of this host that has become a black hole is replaced", async () => {
  await using rig = new AwsRig();
  const [host, gone] = [rig.host(), rig.host()];
  rig.aws.cloud.putRoute(rig.tableId, OWN, gone.eniId);
  rig.aws.cloud.setState(gone.instanceId, "terminated");
  assertEquals(await host.turn([OWN]), true);
  assertEquals(rig.routes(), [`${OWN} ${host.eniId}`]);
});

Deno.test("the black hole of a host that is gone is deleted; one of a host with a lease, of another length, or outside the network stays", async () => {
  await using rig = new AwsRig();
  const [host, gone] = [rig.host(), rig.host()];
  const left = ["10.244.9.0/24", PEER, "10.244.16.0/20", "10.99.0.0/24"];
  for (const destination of left) rig.aws.cloud.putRoute(rig.tableId, destination, gone.eniId);
  rig.aws.cloud.setState(gone.instanceId, "terminated");
  await host.turn([OWN], [PEER]);
  assertEquals(rig.routes().map((route) => route.split(" ")[0]), [OWN, ...left.slice(1)].sort());
});

Deno.test("a black hole stays where the configuration says so, and while others are remembered only", async () => {
  await using rig = new AwsRig();
  const gone = rig.host();
  rig.aws.cloud.putRoute(rig.tableId, "10.244.9.0/24", gone.eniId);
  rig.aws.cloud.setState(gone.instanceId, "terminated");
  await rig.host({ BlackholeCleanup: false }).turn(["10.244.1.0/24"]);
  assertEquals(rig.routes().length, 2);
});

Deno.test("the black hole of a host that is gone is deleted once others are known, if it was seen before", async () => {
  await using rig = new AwsRig();
  const [host, gone] = [rig.host(), rig.host()];
  rig.aws.cloud.putRoute(rig.tableId, "10.244.9.0/24", gone.eniId);
  rig.aws.cloud.setState(gone.instanceId, "terminated");
  const { cloud } = host;
  const desired = desiredOf({ own: [OWN] });
  assertEquals(cloud.want(desired, { isRemembered: true }), true);
  await cloud.turn({ signal: rig.signal });
  assertEquals(rig.routes().length, 2);
  assertEquals(cloud.want(desired, { isRemembered: true }), false);
  assertEquals(cloud.want(desired, { isRemembered: false }), true);
  await cloud.turn({ signal: rig.signal });
  assertEquals(rig.routes(), [`${OWN} ${host.eniId}`]);
  assertEquals(cloud.want(desired, { isRemembered: false }), false);
});

Deno.test("a former route of a host whose subnet is another's now is that one's to replace", async () => {
  await using rig = new AwsRig();
  const [host, other] = [rig.host(), rig.host()];
  await host.turn([OWN]);
  // Had this one deleted it, the other's could be gone: a look and a call are two steps.
  await host.turn(["10.244.7.0/24"], [OWN]);
  assertEquals(rig.routes(), [`${OWN} ${host.eniId}`, `10.244.7.0/24 ${host.eniId}`]);
  await other.turn([OWN], ["10.244.7.0/24"]);
  assertEquals(rig.routes(), [`${OWN} ${other.eniId}`, `10.244.7.0/24 ${host.eniId}`]);
});

Deno.test("a former route is left alone while others are only remembered, and looked at again once they are known", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  await host.turn([OWN]);
  const { cloud } = host;
  const desired = desiredOf({ own: ["10.244.7.0/24"], peers: [OWN] });
  assertEquals(cloud.want(desired, { isRemembered: true }), true);
  await cloud.turn({ signal: rig.signal });
  assertEquals(rig.routes(), [`${OWN} ${host.eniId}`, `10.244.7.0/24 ${host.eniId}`]);
  assertEquals(cloud.want(desiredOf({ own: ["10.244.7.0/24"] }), { isRemembered: false }), true);
  await cloud.turn({ signal: rig.signal });
  assertEquals(rig.routes(), [`10.244.7.0/24 ${host.eniId}`]);
});

Deno.test("a host that has another subnet now takes its former route away", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  await host.turn([OWN]);
  await host.turn(["10.244.7.0/24"]);
  assertEquals(rig.routes(), [`10.244.7.0/24 ${host.eniId}`]);
});

Deno.test("a host that has another subnet now is not ready before its route is there", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  await host.turn([OWN]);
  host.cloud.want(desiredOf({ own: ["10.244.7.0/24"] }), { isRemembered: false });
  assertEquals(said(host), [
    "cloud-route-missing: it is not known whether packets for 10.244.7.0/24 get to this host: " +
    "the route tables were not read yet",
  ]);
  await host.turn(["10.244.7.0/24"]);
  assertEquals(said(host), []);
});

Deno.test("several tables get the route each, as RouteTableID lists them, and text with commas is a list", async () => {
  await using rig = new AwsRig();
  const second = rig.aws.cloud.addRouteTable(rig.vpcId, { tags: { "flannel.io/cluster": "blue" } }).id;
  const host = rig.host({ RouteTableID: [rig.tableId, second] });
  assertEquals(await host.turn([OWN]), true);
  assertEquals([rig.routes(), rig.routes(second)], [[`${OWN} ${host.eniId}`], [`${OWN} ${host.eniId}`]]);
  assertEquals(rig.calls().DescribeRouteTables, 1);
});

Deno.test("a subnet without a table of its own has the VPC's main one", async () => {
  await using rig = new AwsRig();
  const table = rig.aws.cloud.routeTables.get(rig.tableId)!;
  rig.aws.cloud.routeTables.set(rig.tableId, { ...table, subnetIds: [] });
  const main = [...rig.aws.cloud.routeTables.values()].find(({ isMain }) => isMain)!;
  rig.aws.cloud.routeTables.set(main.id, { ...main, tags: { "flannel.io/cluster": "blue" } });
  const host = rig.host();
  assertEquals(await host.turn([OWN]), true);
  assertEquals(rig.routes(main.id), [`${OWN} ${host.eniId}`]);
});

Deno.test("a table that is not there is named", async () => {
  await using rig = new AwsRig();
  const host = rig.host({ RouteTableID: "rtb-0123456789abcdef0" });
  assertEquals(await host.turn([OWN]), false);
  assertStringIncludes(said(host).join(), "rtb-0123456789abcdef0");
});

Deno.test("an interface that the configuration names and the instance has not is told, with those that it has", async () => {
  await using rig = new AwsRig();
  for (const ENI of ["eni-0123456789abcdef0", "device-index=3", "tag:pods=yes"]) {
    const host = rig.host({ ENI });
    assertEquals(await host.turn([OWN]), false, ENI);
    assertStringIncludes(said(host).join(), `it has ${host.eniId} (device 0)`, ENI);
  }
  assertEquals(rig.routes(), []);
});

Deno.test("a secondary interface is found by its id, device index or tag, and gets the route", async () => {
  await using rig = new AwsRig();
  const { cloud } = rig.aws;
  for (const [n, ENI] of ["id", "device-index=1", "tag:pods=yes"].entries()) {
    const eni = cloud.addInterface(rig.subnetIds[1], { tags: { pods: "yes", "flannel.io/cluster": "blue" } });
    const host = rig.host({ ENI: ENI === "id" ? eni.id : ENI });
    cloud.plug(eni, host.instanceId, 1);
    assertEquals(await host.turn([`10.244.${n}.0/24`]), true, said(host).join());
    assertStringIncludes(rig.routes().join(), `10.244.${n}.0/24 ${eni.id}`);
  }
});

Deno.test("a check that may not be turned off makes the host not ready, unless it is off already", async () => {
  await using rig = new AwsRig();
  rig.aws.identities.setPolicies("node", [rig.policy({ SourceDestCheck: "keep" })]);
  const host = rig.host();
  assertEquals(await host.turn([OWN]), false);
  assertStringIncludes(
    said(host).join(),
    `cloud-check-on: the source/destination check of ${host.eniId} is on`,
  );
  assertStringIncludes(said(host).join(), "ec2:ModifyNetworkInterfaceAttribute");
  rig.aws.cloud.interfaces.get(host.eniId)!.sourceDestCheck = false;
  assertEquals(await host.turn([OWN]), true);
  assertEquals(said(host), []);
});

Deno.test("a check that another turns on again is turned off within an hour", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  await host.turn([OWN]);
  rig.aws.cloud.interfaces.get(host.eniId)!.sourceDestCheck = true;
  host.clock.ms += 3_600_001;
  await host.turn([OWN]);
  assertEquals(rig.aws.cloud.interfaces.get(host.eniId)!.sourceDestCheck, false);
});

Deno.test("another that makes the route between look and call is met by a second look, and replaced", async () => {
  await using rig = new AwsRig();
  const [host, other] = [rig.host(), rig.host()];
  rig.aws.control.before(
    { action: "CreateRoute" },
    () => rig.aws.cloud.putRoute(rig.tableId, OWN, other.eniId),
  );
  assertEquals(await host.turn([OWN]), false);
  assertStringIncludes(said(host).join(), "cloud-route-missing");
  assertEquals(await host.turn([OWN]), true);
  assertEquals(rig.routes(), [`${OWN} ${host.eniId}`]);
});

Deno.test("a full table is told with its name, its use and its quota, and the host is not ready", async () => {
  await using rig = new AwsRig();
  rig.aws.cloud.settings.routesPerTable = 5;
  const other = rig.host();
  for (let n = 20; n < 25; n++) rig.aws.cloud.putRoute(rig.tableId, `10.244.${n}.0/24`, other.eniId);
  const host = rig.host();
  assertEquals(await host.turn([OWN]), false);
  const [text] = said(host);
  assertStringIncludes(text!, `cloud-route-missing: packets for ${OWN} do not get to this host`);
  assertStringIncludes(text!, `${rig.tableId} of 5 routes of IPv4 is full`);
});

Deno.test("a throttled call is made again; one that stays throttled is told, and what is there stays", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  rig.aws.control.fail("throttle", { action: "Describe*", times: 2 });
  assertEquals(await host.turn([OWN]), true);
  rig.aws.control.fail("throttle", { action: "Describe*", times: 99 });
  assertEquals(await host.turn([OWN]), false);
  assertStringIncludes(said(host).join(), "cloud-not-answering");
  assertEquals(rig.routes(), [`${OWN} ${host.eniId}`]);
});

Deno.test("what may not be done is told with action and resource", async () => {
  await using rig = new AwsRig();
  rig.aws.identities.setPolicies("node", [{
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: "ec2:Describe*", Resource: "*" }],
  }]);
  const host = rig.host();
  assertEquals(await host.turn([OWN]), false);
  const text = said(host).join("\n");
  assertStringIncludes(text, `may not ec2:CreateRoute on ${rig.tableId}`);
  rig.aws.identities.setPolicies("node", [rig.policy({})]);
  assertEquals(await host.turn([OWN]), true);
  assertEquals(said(host), []);
});

Deno.test("a route that EC2 will not have is told in EC2's words, and not as another's change", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  assertEquals(await host.turn(["10.0.77.0/24"]), false);
  assertStringIncludes(said(host).join(), "Route destination doesn't match any subnet CIDR blocks.");
  assertEquals(rig.routes(), []);
});

Deno.test("a prefix of the VPC itself is never taken, and the host is told to have another network", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  await host.turn(["10.0.0.0/16"]);
  assertEquals(rig.aws.cloud.routeTables.get(rig.tableId)!.routes.map(({ target }) => target), [
    "local",
    "local",
  ]);
  assertStringIncludes(said(host).join(), "has it as a prefix of the VPC itself; choose another network");
  assertEquals(rig.calls().ReplaceRoute, undefined);
});

Deno.test("a route that another has deleted between look and call is made by the second look", async () => {
  await using rig = new AwsRig();
  const [host, other] = [rig.host(), rig.host()];
  rig.aws.cloud.putRoute(rig.tableId, OWN, other.eniId);
  rig.aws.control.before(
    { action: "ReplaceRoute" },
    () => rig.aws.cloud.putRoute(rig.tableId, OWN, undefined),
  );
  assertEquals(await host.turn([OWN]), false);
  assertStringIncludes(said(host).join(), "was changed meanwhile, and is read again");
  assertEquals(await host.turn([OWN]), true);
  assertEquals(rig.routes(), [`${OWN} ${host.eniId}`]);
});

for (const fault of ["html 500", "html 502", "cut", { hugeBytes: 8 * 2 ** 20 }] as const) {
  Deno.test(`an answer that is none (${JSON.stringify(fault)}) is told, and the next look goes well`, async () => {
    await using rig = new AwsRig();
    const host = rig.host();
    rig.aws.control.fail(fault, { action: "DescribeRouteTables", times: 9 });
    assertEquals(await host.turn([OWN]), false);
    assertStringIncludes(said(host).join(), "cloud-route-missing");
    rig.aws.control.heal();
    assertEquals(await host.turn([OWN]), true);
    assertEquals(said(host), []);
  });
}

Deno.test("a call whose answer was lost is done, and seen by the next look", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  rig.aws.control.fail("lost answer", { action: "CreateRoute" });
  assertEquals(await host.turn([OWN]), false);
  assertEquals(await host.turn([OWN]), true);
  assertEquals(rig.routes(), [`${OWN} ${host.eniId}`]);
});

Deno.test("a route that the next look does not show yet is not made twice to the end of days", async () => {
  await using rig = new AwsRig();
  rig.aws.cloud.settings.staleLooks = 2;
  const host = rig.host();
  for (let n = 0; n < 6 && !await host.turn([OWN]); n++);
  assertEquals(rig.routes(), [`${OWN} ${host.eniId}`]);
  assertEquals(said(host), []);
});

Deno.test("IPv6 has its routes in the same table", async () => {
  await using rig = new AwsRig();
  const host = rig.host({}, { isIpv6: true });
  assertEquals(await host.turn([OWN, "fd00:244:0:1::/64"]), true);
  assertEquals(rig.routes(), [`${OWN} ${host.eniId}`, `fd00:244:0:1::/64 ${host.eniId}`]);
});

Deno.test("a route of others to a part of this host's subnet is told and left alone", async () => {
  await using rig = new AwsRig();
  const [host, other] = [rig.host(), rig.host()];
  rig.aws.cloud.putRoute(rig.tableId, "10.244.1.128/25", other.eniId);
  assertEquals(await host.turn([OWN]), true);
  assertEquals(said(host), [
    `cloud-route-foreign: the route table ${rig.tableId} leads 10.244.1.128/25 to ${other.eniId}, ` +
    "which takes packets for pods of this host; delete that route",
  ]);
});

Deno.test("a network that overlaps the VPC makes the host not ready", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  host.cloud.want({
    own: [],
    peers: [],
    networks: [{ network: { address: 0x0a000000 as never, length: 12 }, subnetLength: 24 }],
  }, { isRemembered: false });
  await host.cloud.turn({ signal: rig.signal });
  assertStringIncludes(
    said(host).join(),
    "cloud-network-overlaps: the network 10.0.0.0/12 overlaps 10.0.0.0/16",
  );
});

Deno.test("a host that has had no route since the last look but one is named", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  await host.turn([OWN], [PEER]);
  assertEquals(said(host), []);
  await host.turn([OWN], [PEER]);
  assertStringIncludes(
    said(host).join(),
    `cloud-peers-missing: the route table ${rig.tableId} has no working route to ${PEER}`,
  );
});

Deno.test("a metadata service that answers without a token only, or not at all, is told", async () => {
  await using rig = new AwsRig();
  const host = rig.host();
  rig.aws.control.fail("silence", { action: "PUT *", times: 9 });
  assertEquals(await host.turn([OWN]), false);
  assertStringIncludes(said(host).join(), "the instance metadata service does not answer");
});
