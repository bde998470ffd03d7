import { assertEquals, assertRejects } from "@std/assert";
import {
  attachedTo,
  changeRoute,
  describeNetworkInterfaces,
  describeRouteTables,
  turnCheckOff,
} from "../../../src/cloud/aws/ec2_calls.ts";
import { Ec2Error } from "../../../src/cloud/aws/ec2_error.ts";
import { filter } from "../../../src/cloud/aws/ec2_form.ts";
import { formatPrefix, parsePrefix } from "../../../src/model/address.ts";
import { cannedClient, OPTIONS, refusal } from "./canned_client.ts";

const HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n';

/** An answer of DescribeRouteTables with these items, as EC2 lays it out. */
function tables(items: string, token = ""): string {
  return `${HEAD}<DescribeRouteTablesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">\n    ` +
    `<requestId>r</requestId>\n    <routeTableSet>${items}</routeTableSet>${token}\n</DescribeRouteTablesResponse>`;
}

const table = (id: string, routes: string) =>
  `<item><routeTableId>${id}</routeTableId><vpcId>vpc-1</vpcId>${routes}<tagSet/><ownerId>1</ownerId></item>`;
const set = (...routes: string[]) =>
  `<routeSet>${routes.map((route) => `<item>${route}</item>`).join("")}</routeSet>`;

const ids = { ids: ["rtb-1"] };
const all = { filters: [filter("vpc-id", "vpc-1")] };

const shapes: readonly [answer: string, tables: string[], why: string][] = [
  [tables(""), [], "a set may be empty"],
  [tables("\n    "), [], "with blanks"],
  [
    `${HEAD}<DescribeRouteTablesResponse><routeTableSet/></DescribeRouteTablesResponse>`,
    [],
    "or closed at once",
  ],
  [
    `${HEAD}<DescribeRouteTablesResponse><requestId>r</requestId></DescribeRouteTablesResponse>`,
    [],
    "or left out",
  ],
  [tables(table("rtb-1", set())), ["rtb-1"], "one item is a set"],
  [tables(table("rtb-1", "<routeSet/>") + table("rtb-2", "")), ["rtb-1", "rtb-2"], "two are one, too"],
];

for (const [answer, found, why] of shapes) {
  Deno.test(`describeRouteTables() finds ${found.length} tables: ${why}`, async () => {
    const { client } = cannedClient(answer);
    assertEquals((await describeRouteTables(client, all, OPTIONS)).map(({ id }) => id), found);
  });
}

const routes: readonly [route: string, read: string, why: string][] = [
  [
    "<destinationCidrBlock>10.1.0.0/24</destinationCidrBlock><networkInterfaceId>eni-1</networkInterfaceId>" +
    "<instanceId>i-1</instanceId><instanceOwnerId>1</instanceOwnerId><state>active</state><origin>CreateRoute</origin>",
    "10.1.0.0/24 eni-1 i-1",
    "an interface of an instance",
  ],
  [
    "<destinationCidrBlock>10.1.0.0/24</destinationCidrBlock><networkInterfaceId>eni-1</networkInterfaceId><state>blackhole</state>",
    "10.1.0.0/24 eni-1 undefined blackhole",
    "one that is gone",
  ],
  [
    "<destinationIpv6CidrBlock>2001:db8:1::/64</destinationIpv6CidrBlock><egressOnlyInternetGatewayId>eigw-1</egressOnlyInternetGatewayId>",
    "2001:db8:1::/64 undefined eigw-1",
    "the other family",
  ],
  [
    "<destinationCidrBlock>10.0.0.0/16</destinationCidrBlock><gatewayId>local</gatewayId><origin>CreateRouteTable</origin>",
    "10.0.0.0/16 undefined local local",
    "the VPC's own",
  ],
  [
    "<destinationCidrBlock>10.0.0.0/16</destinationCidrBlock><networkInterfaceId>eni-9</networkInterfaceId><origin>CreateRouteTable</origin>",
    "10.0.0.0/16 eni-9 undefined local",
    "the VPC's own, that was led to a middlebox",
  ],
  [
    "<destinationCidrBlock>10.2.0.0/16</destinationCidrBlock><gatewayId>vgw-1</gatewayId><origin>EnableVgwRoutePropagation</origin>",
    "10.2.0.0/16 undefined vgw-1 propagated",
    "a gateway's",
  ],
  [
    "<destinationCidrBlock>10.2.0.0/16</destinationCidrBlock><networkInterfaceId>eni-2</networkInterfaceId><origin>Advertisement</origin>",
    "10.2.0.0/16 eni-2 undefined propagated",
    "a route server's",
  ],
  [
    "<destinationCidrBlock>10.3.0.0/16</destinationCidrBlock><odbNetworkArn>arn:x</odbNetworkArn><state>active</state><newThing><a/></newThing>",
    "10.3.0.0/16 undefined undefined",
    "a target of tomorrow",
  ],
  [
    "<destinationPrefixListId>pl-1</destinationPrefixListId><gatewayId>vpce-1</gatewayId>",
    "",
    "a list of prefixes",
  ],
  ["<destinationCidrBlock>ten</destinationCidrBlock><gatewayId>igw-1</gatewayId>", "", "no prefix at all"],
];

for (const [route, read, why] of routes) {
  Deno.test(`describeRouteTables() reads "${read}": ${why}`, async () => {
    const { client } = cannedClient(tables(table("rtb-1", set(route))));
    const [found] = await describeRouteTables(client, ids, OPTIONS);
    const lines = found!.routes.map(({ destination, eniId, target, isBlackhole, isPropagated, isLocal }) =>
      [
        `${formatPrefix(destination)} ${eniId} ${target}`,
        ...isBlackhole ? ["blackhole"] : [],
        ...isPropagated ? ["propagated"] : [],
        ...isLocal ? ["local"] : [],
      ].join(" ")
    );
    assertEquals(lines.join(), read);
  });
}

const broken: readonly [answer: string, at: string][] = [
  ["<DescribeInstancesResponse/>", "DescribeRouteTablesResponse"],
  ["<DescribeRouteTablesResponse/>", "DescribeRouteTablesResponse"],
  [tables("<item>text</item>"), "DescribeRouteTablesResponse.routeTableSet.0"],
  [tables("<item><vpcId>vpc-1</vpcId></item>"), "DescribeRouteTablesResponse.routeTableSet.0.routeTableId"],
  [
    tables("<item><routeTableId><a/></routeTableId><vpcId>v</vpcId></item>"),
    "DescribeRouteTablesResponse.routeTableSet.0.routeTableId",
  ],
];

for (const [answer, at] of broken) {
  Deno.test(`describeRouteTables() says that an answer is not understood, at ${at}`, async () => {
    const { client } = cannedClient(answer);
    const error = await assertRejects(() => describeRouteTables(client, ids, OPTIONS), Ec2Error);
    assertEquals(error.message, `DescribeRouteTables: the answer is not understood, at ${at}`);
  });
}

Deno.test("describeRouteTables() reads page after page, also after empty ones", async () => {
  const { client, forms } = cannedClient(
    tables("", "<nextToken>a+b=</nextToken>"),
    tables(table("rtb-1", ""), "<nextToken>c</nextToken>"),
    tables("", "<nextToken>d</nextToken>"),
    tables(table("rtb-2", ""), "<nextToken/>"),
  );
  assertEquals((await describeRouteTables(client, all, OPTIONS)).map(({ id }) => id), ["rtb-1", "rtb-2"]);
  const plain = "DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1";
  assertEquals(forms, [plain, ...["a+b=", "c", "d"].map((token) => `${plain}&NextToken=${token}`)]);
});

Deno.test("describeRouteTables() refuses pages without an end: a part is not the whole", async () => {
  const { client, forms } = cannedClient(tables("", "<nextToken>again</nextToken>"));
  await assertRejects(() => describeRouteTables(client, all, OPTIONS), Ec2Error, "more than 50 pages");
  assertEquals(forms.length, 50);
});

const INTERFACE = "<networkInterfaceId>eni-1</networkInterfaceId><macAddress>02:00:00:00:00:01</macAddress>" +
  "<subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId><status>in-use</status><sourceDestCheck>true</sourceDestCheck>";
const interfaces = (more: string) =>
  `${HEAD}<DescribeNetworkInterfacesResponse><networkInterfaceSet><item>${INTERFACE}${more}</item></networkInterfaceSet>` +
  "</DescribeNetworkInterfacesResponse>";

Deno.test("describeNetworkInterfaces() reads what is attached, with its addresses, prefixes, groups and tags", async () => {
  const { client } = cannedClient(interfaces(
    "<attachment><attachmentId>a-1</attachmentId><instanceId>i-1</instanceId><deviceIndex>2</deviceIndex>" +
      "<deleteOnTermination>true</deleteOnTermination></attachment>" +
      "<privateIpAddressesSet><item><privateIpAddress>10.0.0.4</privateIpAddress></item>" +
      "<item><privateIpAddress>10.0.0.5</privateIpAddress></item></privateIpAddressesSet>" +
      "<ipv4PrefixSet><item><ipv4Prefix>10.0.0.16/28</ipv4Prefix></item></ipv4PrefixSet>" +
      "<groupSet><item><groupId>sg-1</groupId><groupName>x</groupName></item></groupSet>" +
      "<tagSet><item><key>a</key><value/></item><item><key>b</key><value>1 &amp; 2</value></item></tagSet>",
  ));
  assertEquals(await describeNetworkInterfaces(client, { ids: ["eni-1"] }, OPTIONS), [{
    id: "eni-1",
    mac: "02:00:00:00:00:01",
    subnetId: "subnet-1",
    vpcId: "vpc-1",
    isChecked: true,
    status: "in-use",
    instanceId: "i-1",
    attachmentId: "a-1",
    deviceIndex: 2,
    isDeletedOnTermination: true,
    addressCount: 2,
    prefixCount: 1,
    securityGroupIds: ["sg-1"],
    tags: new Map([["a", ""], ["b", "1 & 2"]]),
  }]);
});

for (const attachment of ["", "<attachment/>"]) {
  Deno.test(`describeNetworkInterfaces() reads one that is attached to nothing ("${attachment}")`, async () => {
    const { client } = cannedClient(interfaces(attachment));
    const [found] = await describeNetworkInterfaces(client, { filters: attachedTo("i-1") }, OPTIONS);
    const { instanceId, attachmentId, deviceIndex, isDeletedOnTermination, tags } = found!;
    assertEquals([instanceId, attachmentId, deviceIndex, isDeletedOnTermination], [
      undefined,
      undefined,
      undefined,
      false,
    ]);
    assertEquals(tags.size, 0);
  });
}

const DONE = "<R><return>true</return></R>";
const calls: readonly [
  make: (client: ReturnType<typeof cannedClient>["client"]) => Promise<void>,
  form: string,
][] = [
  [
    (client) =>
      changeRoute(client, {
        action: "CreateRoute",
        tableId: "rtb-1",
        destination: parsePrefix("10.1.0.0/24"),
        eniId: "eni-1",
      }, OPTIONS),
    "CreateRoute&RouteTableId=rtb-1&DestinationCidrBlock=10.1.0.0/24&NetworkInterfaceId=eni-1",
  ],
  [
    (client) =>
      changeRoute(client, {
        action: "DeleteRoute",
        tableId: "rtb-1",
        destination: parsePrefix("fd00:1::/64"),
      }, { ...OPTIONS, isDryRun: true }),
    "DeleteRoute&RouteTableId=rtb-1&DestinationIpv6CidrBlock=fd00:1::/64&DryRun=true",
  ],
  [
    (client) => turnCheckOff(client, "eni-1", OPTIONS),
    "ModifyNetworkInterfaceAttribute&NetworkInterfaceId=eni-1&SourceDestCheck.Value=false",
  ],
];

for (const [make, form] of calls) {
  Deno.test(`a change is sent as ${form}, and a refusal of it is an error`, async () => {
    const right = cannedClient(DONE);
    await make(right.client);
    assertEquals(right.forms, [form]);
    await assertRejects(
      () => make(cannedClient(refusal("IncorrectState")).client),
      Ec2Error,
      "IncorrectState",
    );
  });
}
