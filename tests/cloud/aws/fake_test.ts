import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ALL, allow, openSmallCloud } from "../../double/aws/small_cloud.ts";
import { webIdentityToken } from "../../double/aws/web_identity.ts";
import { AwsClient, runAws } from "./aws_client.ts";

const DESTINATION = "10.1.1.0/24";
const ISSUER = "https://oidc.example/id/LODEN";
const SUBJECT = "system:serviceaccount:kube-flannel:flannel";

Deno.test("AWS's client creates, replaces, finds and deletes routes of both families", async () => {
  await using small = openSmallCloud(2);
  const { aws, table, hosts, admin: as, subnets, vpc } = small;
  await using client = new AwsClient(aws);
  const [first, second] = hosts.map(({ eni }) => eni.id);
  const route = { RouteTableId: table.id, DestinationCidrBlock: "10.1.1.7/24" };
  const params = { ...route, NetworkInterfaceId: first };
  const codeOf = async (operation: string, params: Record<string, unknown>) =>
    (await client.ask({ as, operation, params })).error?.code ?? "ok";
  assertEquals(await codeOf("create_route", params), "ok");
  assertEquals(await codeOf("create_route", params), "RouteAlreadyExists");
  const exact = { ...params, DestinationCidrBlock: DESTINATION };
  assertEquals(await codeOf("replace_route", { ...exact, NetworkInterfaceId: second }), "ok");
  assertEquals(
    await codeOf("replace_route", { ...exact, DestinationCidrBlock: "10.9.0.0/24" }),
    "InvalidParameterValue",
  );
  assertEquals(
    await codeOf("create_route", { ...exact, RouteTableId: "rtb-0" }),
    "InvalidRouteTableID.NotFound",
  );
  assertEquals(
    await codeOf("create_route", { ...exact, NetworkInterfaceId: "eni-0" }),
    "InvalidNetworkInterfaceID.NotFound",
  );
  const ipv6 = { RouteTableId: table.id, DestinationIpv6CidrBlock: "fd00:10:1::/64" };
  assertEquals(await codeOf("create_route", { ...ipv6, NetworkInterfaceId: first }), "ok");
  const { RouteTables: [told] } = await client.get({
    ...{ as, operation: "describe_route_tables", params: { RouteTableIds: [table.id] } },
  });
  const byEni = (eni: string | undefined, at: number) => ({
    InstanceId: hosts[at]!.instance.id,
    InstanceOwnerId: aws.cloud.account,
    NetworkInterfaceId: eni,
    Origin: "CreateRoute",
    State: "active",
  });
  const local = { GatewayId: "local", Origin: "CreateRouteTable", State: "active" };
  assertEquals(told.Routes, [
    { DestinationCidrBlock: "172.20.0.0/16", ...local },
    { DestinationIpv6CidrBlock: "2001:db8:20::/56", ...local },
    { DestinationCidrBlock: DESTINATION, ...byEni(second, 1) },
    { DestinationIpv6CidrBlock: "fd00:10:1::/64", ...byEni(first, 0) },
  ]);
  assertEquals([told.VpcId, told.Associations[0].Main, told.Tags, told.PropagatingVgws], [
    vpc.id,
    true,
    [],
    [],
  ]);
  aws.cloud.setState(hosts[1]!.instance.id, "stopped");
  const own = aws.cloud.addRouteTable(vpc.id, { subnetIds: [subnets[0].id], tags: { cluster: "one" } });
  const found = async (...filters: [Name: string, ...Values: string[]][]) => {
    const Filters = filters.map(([Name, ...Values]) => ({ Name, Values }));
    const { RouteTables } = await client.get({ as, operation: "describe_route_tables", params: { Filters } });
    return RouteTables.map(({ RouteTableId }: { readonly RouteTableId: string }) => RouteTableId);
  };
  assertEquals(await found(["association.subnet-id", subnets[0].id]), [own.id]);
  assertEquals(await found(["association.main", "true"], ["vpc-id", vpc.id]), [table.id]);
  assertEquals(await found(["route.state", "blackhole"]), [table.id]);
  assertEquals(await found(["route.destination-cidr-block", "10.1.*"]), [table.id]);
  assertEquals(await found(["tag:cluster", "one", "two"]), [own.id]);
  assertEquals(await found(["tag:cluster", "two"]), []);
  for (const params of [exact, ipv6]) {
    const { NetworkInterfaceId: _, ...route } = { NetworkInterfaceId: "", ...params };
    assertEquals(await codeOf("delete_route", route), "ok");
    assertEquals(await codeOf("delete_route", route), "InvalidRoute.NotFound");
  }
  assertEquals(aws.control.tally(), {
    CreateRoute: 5,
    DeleteRoute: 4,
    DescribeRouteTables: 7,
    ReplaceRoute: 2,
  });
});

Deno.test("AWS's client reads page after page, and is refused what EC2 refuses", async () => {
  await using small = openSmallCloud(0);
  const { aws, vpc, admin: as } = small;
  await using client = new AwsClient(aws);
  for (let count = 1; count < 12; count++) {
    aws.cloud.addRouteTable(vpc.id, { tags: count > 8 ? { own: "1" } : {} });
  }
  const operation = "describe_route_tables";
  const sizes = async (params: Record<string, unknown>) =>
    (await client.ask({ as, operation, params, page: 5 })).pages!.map(({ RouteTables }) =>
      RouteTables.length
    );
  assertEquals(await sizes({}), [5, 5, 2]);
  const Filters = [{ Name: "tag:own", Values: ["1"] }];
  assertEquals(await sizes({ Filters }), [3]);
  aws.control.isCutFirst = true;
  assertEquals(await sizes({ Filters }), [0, 1, 2]);
  const codeOf = async (params: Record<string, unknown>) =>
    (await client.ask({ as, operation, params })).error?.code ?? "ok";
  assertEquals(
    await codeOf({ MaxResults: 5, RouteTableIds: [...aws.cloud.routeTables.keys()] }),
    "InvalidParameterCombination",
  );
  assertEquals(await codeOf({ MaxResults: 5, NextToken: "eyJ2" }), "InvalidPaginationToken");
  assertEquals(
    await codeOf({ Filters: [{ Name: "route.colour", Values: ["red"] }] }),
    "InvalidParameterValue",
  );
  assertEquals(await codeOf({}), "ok");
  aws.control.isUnqualifiedRefused = true;
  assertEquals(await codeOf({}), "OperationNotPermitted");
});

Deno.test("AWS's client makes an ENI, plugs it in, sets it up and takes it away again", async () => {
  await using small = openSmallCloud(1);
  const { aws, subnets, hosts, admin: as, vpc } = small;
  await using client = new AwsClient(aws);
  const get = (operation: string, params: Record<string, unknown>) => client.get({ as, operation, params });
  const group = aws.cloud.addSecurityGroup(vpc.id, { name: "pods" });
  const InstanceId = hosts[0]!.instance.id;
  const { NetworkInterface: made } = await get("create_network_interface", {
    SubnetId: subnets[0].id,
    Groups: [group.id],
    Description: "pods",
    TagSpecifications: [{ ResourceType: "network-interface", Tags: [{ Key: "owner", Value: "loden" }] }],
  });
  assertEquals([made.Status, made.SourceDestCheck, made.Groups], ["available", true, [
    { GroupId: group.id, GroupName: "pods" },
  ]]);
  const NetworkInterfaceId = made.NetworkInterfaceId;
  const attach = { NetworkInterfaceId, InstanceId };
  const { AttachmentId } = await get("attach_network_interface", { ...attach, DeviceIndex: 1 });
  await get("modify_network_interface_attribute", { NetworkInterfaceId, SourceDestCheck: { Value: false } });
  await get("modify_network_interface_attribute", {
    NetworkInterfaceId,
    Attachment: { AttachmentId, DeleteOnTermination: true },
  });
  const { AssignedPrivateIpAddresses, AssignedIpv4Prefixes } = await get("assign_private_ip_addresses", {
    ...{ NetworkInterfaceId, SecondaryPrivateIpAddressCount: 2 },
  });
  assertEquals([AssignedPrivateIpAddresses.length, AssignedIpv4Prefixes], [2, []]);
  await get("assign_private_ip_addresses", { NetworkInterfaceId, PrivateIpAddresses: ["172.20.0.77"] });
  const { AssignedIpv4Prefixes: [prefix] } = await get("assign_private_ip_addresses", {
    ...{ NetworkInterfaceId, Ipv4PrefixCount: 1 },
  });
  assertMatch(prefix.Ipv4Prefix, /^172\.20\.0\.\d+\/28$/);
  const { AssignedIpv6Addresses } = await get("assign_ipv6_addresses", {
    NetworkInterfaceId,
    Ipv6AddressCount: 1,
  });
  await get("unassign_private_ip_addresses", { NetworkInterfaceId, PrivateIpAddresses: ["172.20.0.77"] });
  await get("create_tags", { Resources: [NetworkInterfaceId], Tags: [{ Key: "more", Value: "x&y" }] });
  const Filters = Object.entries({
    "attachment.instance-id": InstanceId,
    "attachment.device-index": "1",
    "attachment.status": "attached",
    "addresses.private-ip-address": made.PrivateIpAddress,
    "mac-address": made.MacAddress,
    "subnet-id": subnets[0].id,
    "vpc-id": vpc.id,
    "status": "in-use",
    "tag:owner": "loden",
    "tag-key": "more",
  }).map(([Name, value]) => ({ Name, Values: [value] }));
  const { NetworkInterfaces: [eni, ...others] } = await get("describe_network_interfaces", { Filters });
  assertEquals(others, []);
  assertEquals([eni.SourceDestCheck, eni.Attachment.DeleteOnTermination], [false, true]);
  assertEquals(eni.PrivateIpAddresses.map(({ Primary }: { readonly Primary: boolean }) => Primary), [
    ...[true, false, false],
  ]);
  assertEquals(eni.Ipv6Addresses, [{ Ipv6Address: AssignedIpv6Addresses[0] }]);
  assertEquals(eni.TagSet, [{ Key: "owner", Value: "loden" }, { Key: "more", Value: "x&y" }]);
  const { Reservations: [{ Instances: [instance] }] } = await get("describe_instances", {
    InstanceIds: [InstanceId],
  });
  assertEquals([instance.NetworkInterfaces.length, instance.State.Name], [2, "running"]);
  const errorOf = async (operation: string, params: Record<string, unknown>) =>
    (await client.ask({ as, operation, params })).error?.code;
  assertEquals(await errorOf("delete_network_interface", { NetworkInterfaceId }), "InvalidParameterValue");
  await get("detach_network_interface", { AttachmentId });
  // A detachment takes its time: the first look still meets it.
  assertEquals(await errorOf("delete_network_interface", { NetworkInterfaceId }), "InvalidParameterValue");
  await get("delete_network_interface", { NetworkInterfaceId });
  assertEquals(
    await errorOf("describe_network_interfaces", { NetworkInterfaceIds: [NetworkInterfaceId] }),
    "InvalidNetworkInterfaceID.NotFound",
  );
  const { InstanceTypes: [type] } = await get("describe_instance_types", { InstanceTypes: ["t3.medium"] });
  assertEquals([type.NetworkInfo.MaximumNetworkInterfaces, type.NetworkInfo.Ipv4AddressesPerInterface], [
    3,
    6,
  ]);
  const { Subnets } = await get("describe_subnets", { SubnetIds: [subnets[1].id] });
  assertEquals(Subnets[0].CidrBlock, subnets[1].cidr);
  const { SecurityGroups } = await get("describe_security_groups", { GroupIds: [group.id] });
  assertEquals(SecurityGroups[0].IpPermissions[0].UserIdGroupPairs[0].GroupId, group.id);
  const byGroup = [{ Name: "group-id", Values: [group.id] }];
  const { SecurityGroupRules } = await get("describe_security_group_rules", { Filters: byGroup });
  assertEquals(SecurityGroupRules[1].CidrIpv4, "0.0.0.0/0");
});

Deno.test("AWS's client is known by its key, its token and its clock, or not at all", async () => {
  await using small = openSmallCloud(0);
  const { aws, admin } = small;
  await using client = new AwsClient(aws);
  const told = async (ask: Partial<Parameters<AwsClient["ask"]>[0]>) => {
    const { error } = await client.ask({ operation: "describe_route_tables", ...ask });
    return error === undefined ? "ok" : `${error.code} ${error.status}`;
  };
  const stsTold = (as: typeof admin) => told({ service: "sts", operation: "get_caller_identity", as });
  const wrong = { ...admin, secretAccessKey: "wrong" };
  const unknown = { ...admin, accessKeyId: "AKIAUNKNOWN000000000" };
  assertEquals([await told({ as: admin }), await stsTold(admin)], ["ok", "ok"]);
  assertEquals([await told({ as: wrong }), await stsTold(wrong)], [
    "AuthFailure 401",
    "SignatureDoesNotMatch 403",
  ]);
  assertEquals([await told({ as: unknown }), await stsTold(unknown)], [
    "AuthFailure 401",
    "InvalidClientTokenId 403",
  ]);
  assertEquals(await told({ unsigned: true }), "AuthFailure 401");
  const session = aws.identities.issue("host", "i-1", 3600);
  assertEquals(await told({ as: session }), "ok");
  assertEquals(await told({ as: { ...session, sessionToken: "other" } }), "AuthFailure 401");
  aws.identities.expire(session.accessKeyId);
  assertEquals([await told({ as: session }), await stsTold(session)], [
    "RequestExpired 400",
    "ExpiredToken 403",
  ]);
  aws.control.clockOffsetMs = 6 * 60_000;
  assertEquals([await told({ as: admin }), await stsTold(admin)], [
    "AuthFailure 401",
    "SignatureDoesNotMatch 403",
  ]);
});

Deno.test("AWS's client may do what a policy says, until it says otherwise", async () => {
  await using small = openSmallCloud(1);
  const { aws, table, vpc, hosts, subnets } = small;
  const { cloud, control, identities } = aws;
  await using client = new AwsClient(aws);
  const Resource = cloud.arn("route-table", "*");
  const Condition = { StringEquals: { "aws:ResourceTag/cluster": "one" } };
  const policies = [
    allow({ Action: "ec2:Describe*", Resource: "*" }),
    allow({ Action: ["ec2:CreateRoute", "ec2:DeleteRoute"], Resource, Condition }),
    allow({
      Action: "ec2:CreateNetworkInterface",
      Resource: cloud.arn("network-interface", "*"),
      Condition: { StringEquals: { "aws:RequestTag/cluster": "one" } },
    }),
    allow({
      Action: "ec2:CreateNetworkInterface",
      Resource: [cloud.arn("subnet", "*"), cloud.arn("security-group", "*")],
      Condition: { ArnEquals: { "ec2:Vpc": cloud.arn("vpc", vpc.id) } },
    }),
    allow({
      Action: "ec2:CreateTags",
      Resource: cloud.arn("network-interface", "*"),
      Condition: { StringEquals: { "ec2:CreateAction": "CreateNetworkInterface" } },
    }),
  ];
  const as = identities.addUser("agent", policies);
  const own = cloud.addRouteTable(vpc.id, { tags: { cluster: "one" } });
  const params = { DestinationCidrBlock: DESTINATION, NetworkInterfaceId: hosts[0]!.eni.id };
  const create = (RouteTableId: string, more: Record<string, unknown> = {}) =>
    client.ask({ as, operation: "create_route", params: { ...params, RouteTableId, ...more } });
  const { error } = await create(table.id);
  assertEquals([error?.code, error?.status], ["UnauthorizedOperation", 403]);
  assertStringIncludes(
    error!.message,
    `You are not authorized to perform this operation. User: arn:aws:iam::${cloud.account}:user/agent is not authorized to perform: ec2:CreateRoute on resource: ${
      cloud.arn("route-table", table.id)
    } because no identity-based policy allows the ec2:CreateRoute action. Encoded authorization failure message: `,
  );
  const dry = async (RouteTableId: string) => (await create(RouteTableId, { DryRun: true })).error;
  const [allowed, denied] = [await dry(own.id), await dry(table.id)];
  assertEquals([allowed?.code, allowed?.status], ["DryRunOperation", 412]);
  assertEquals([denied?.code, denied?.status], ["UnauthorizedOperation", 403]);
  assertEquals((await create(own.id)).result.Return, true);
  const makeEni = async (tags: Record<string, string>) =>
    (await client.ask({
      as,
      operation: "create_network_interface",
      params: {
        SubnetId: subnets[0].id,
        TagSpecifications: [{
          ResourceType: "network-interface",
          Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
        }],
      },
    })).error?.code ?? "ok";
  assertEquals([await makeEni({ cluster: "one" }), await makeEni({ cluster: "two" })], [
    "ok",
    "UnauthorizedOperation",
  ]);
  identities.setPolicies("agent", [ALL, {
    Version: "2012-10-17",
    Statement: [{ Effect: "Deny", Action: "ec2:DescribeRouteTables", Resource: "*" }],
  }]);
  const { error: later } = await client.ask({ as, operation: "describe_route_tables" });
  assertStringIncludes(
    later!.message,
    "ec2:DescribeRouteTables with an explicit deny in an identity-based policy",
  );
  assertEquals(control.calls.map(({ result }) => result), [
    ...["UnauthorizedOperation", "DryRunOperation", "UnauthorizedOperation", "ok", "ok"],
    ...["UnauthorizedOperation", "UnauthorizedOperation"],
  ]);
});

Deno.test("AWS's client meets what a test has AWS do wrong", async () => {
  await using small = openSmallCloud(1);
  const { aws: { control, cloud }, aws, admin: as, table, hosts } = small;
  await using client = new AwsClient(aws);
  const told = async (timeout?: number) => {
    const ask = { as, operation: "describe_route_tables", params: { RouteTableIds: [table.id] } };
    const { error } = await client.ask({ ...ask, ...timeout !== undefined && { timeout } });
    return error === undefined ? "ok" : error.code;
  };
  control.fail("throttle", { action: "Describe*", times: 2 });
  assertEquals([await told(), await told(), await told()], [
    "RequestLimitExceeded",
    "RequestLimitExceeded",
    "ok",
  ]);
  control.fail("throttle");
  control.retryAfterSeconds = 7;
  const throttled = await fetch(aws.ec2.url, { method: "POST", body: "Action=DescribeRouteTables" });
  assertStringIncludes(await throttled.text(), "<Code>RequestLimitExceeded</Code>");
  assertEquals([throttled.status, throttled.headers.get("retry-after")], [503, "7"]);
  control.fail("silence");
  assertEquals(await told(1), "ReadTimeoutError");
  for (const fault of ["html 500", "html 502", "cut"] as const) {
    control.fail(fault);
    assert(await told() !== "ok", fault);
  }
  control.limit("DescribeRouteTables", 2, 1);
  assertEquals([await told(), await told(), await told()], ["ok", "ok", "RequestLimitExceeded"]);
  control.heal();
  const params = {
    RouteTableId: table.id,
    DestinationCidrBlock: DESTINATION,
    NetworkInterfaceId: hosts[0]!.eni.id,
  };
  control.before({ action: "CreateRoute" }, () => cloud.putRoute(table.id, DESTINATION, "eni-0"));
  const create = async () => (await client.ask({ as, operation: "create_route", params })).error?.code;
  assertEquals(await create(), "RouteAlreadyExists");
  cloud.putRoute(table.id, DESTINATION, undefined);
  control.fail("lost answer");
  assert(await create() !== undefined);
  assertEquals(table.routes.at(-1)?.destination, DESTINATION);
});

Deno.test("AWS's client becomes a role by a service account's token, if that is right", async () => {
  await using small = openSmallCloud(0);
  const { aws } = small;
  await using client = new AwsClient(aws);
  const RoleArn = aws.identities.addRole("pods", [ALL], {
    ...{ issuer: ISSUER, audience: "sts.amazonaws.com", subject: SUBJECT },
  });
  const right = { issuer: ISSUER, subject: SUBJECT, audience: "sts.amazonaws.com" };
  const token = (other: Partial<typeof right> = {}, lifeMs = 60_000) =>
    webIdentityToken({ ...right, ...other, expiresAt: new Date(aws.control.now() + lifeMs) });
  const become = (WebIdentityToken: string, more: Record<string, unknown> = {}) =>
    client.ask({
      service: "sts",
      operation: "assume_role_with_web_identity",
      params: { RoleArn, RoleSessionName: "loden", WebIdentityToken, ...more },
    });
  const { result } = await become(token(), { DurationSeconds: 900 });
  assertEquals(result.AssumedRoleUser.Arn, `arn:aws:sts::${aws.cloud.account}:assumed-role/pods/loden`);
  assertEquals([result.Audience, result.SubjectFromWebIdentityToken], [right.audience, SUBJECT]);
  const as = {
    accessKeyId: result.Credentials.AccessKeyId,
    secretAccessKey: result.Credentials.SecretAccessKey,
    sessionToken: result.Credentials.SessionToken,
  };
  const { Arn } = await client.get({ service: "sts", operation: "get_caller_identity", as });
  assertEquals(Arn, result.AssumedRoleUser.Arn);
  const refusal = async (WebIdentityToken: string, more: Record<string, unknown> = {}) =>
    (await become(WebIdentityToken, more)).error?.code;
  assertEquals(await refusal(token({}, -1000)), "ExpiredTokenException");
  assertEquals(await refusal(token({ issuer: "https://other.example" })), "InvalidIdentityToken");
  assertEquals(await refusal(token({ audience: "vault" })), "InvalidIdentityToken");
  assertEquals(await refusal(`${token()}x`), "InvalidIdentityToken");
  assertEquals(await refusal("no token"), "InvalidIdentityToken");
  assertEquals(await refusal(token({ subject: "system:serviceaccount:default:default" })), "AccessDenied");
  assertEquals(await refusal(token(), { RoleArn: aws.identities.roleArn("none-such") }), "AccessDenied");
});

Deno.test("the program aws finds a role's credentials in the metadata service and in the container's", async () => {
  await using small = openSmallCloud(1);
  const { aws, hosts } = small;
  const { instance } = hosts[0]!;
  const imds = aws.openImds(instance.id);
  const env = { AWS_EC2_METADATA_SERVICE_ENDPOINT: `${imds.url}/`, AWS_METADATA_SERVICE_TIMEOUT: "5" };
  const { Arn } = await runAws(aws, ["sts", "get-caller-identity"], { env });
  assertEquals(Arn, `arn:aws:sts::${aws.cloud.account}:assumed-role/host/${instance.id}`);
  assertEquals(aws.control.count("PUT /latest/api/token"), 1);
  const container = aws.openContainerCredentials("host", () => "the token");
  const full = {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `${container.url}/v1/credentials`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN: "the token",
  };
  const filters = ["--filters", `Name=vpc-id,Values=${small.vpc.id}`, "--dry-run"];
  assertStringIncludes(
    await runAws(aws, ["ec2", "describe-route-tables", ...filters], { env: full }),
    "DryRunOperation",
  );
  assertEquals(aws.control.count("DescribeRouteTables", "assumed-role/host/container"), 1);
  const wrong = { ...full, AWS_CONTAINER_AUTHORIZATION_TOKEN: "other", AWS_EC2_METADATA_DISABLED: "true" };
  assertMatch(await runAws(aws, ["ec2", "describe-route-tables"], { env: wrong }), /401|credentials/i);
});
