import { assertEquals, assertRejects } from "@std/assert";
import { Ec2Error } from "../../../src/cloud/aws/ec2_error.ts";
import { findTables } from "../../../src/cloud/aws/find_tables.ts";
import type { AttachedInterface } from "../../../src/cloud/aws/metadata.ts";
import type { Mac } from "../../../src/model/address.ts";
import { cannedClient, OPTIONS, refusal } from "./canned_client.ts";

const ENI: AttachedInterface = {
  ...{ id: "eni-1", mac: 1 as Mac, deviceIndex: 0, subnetId: "subnet-1", vpcId: "vpc-1" },
  ...{ addresses: [], subnetPrefixes: [], vpcPrefixes: [], securityGroupIds: [] },
};

function tables(...ids: string[]): string {
  const items = ids.map((id) => `<item><routeTableId>${id}</routeTableId><vpcId>vpc-1</vpcId></item>`);
  return `<DescribeRouteTablesResponse><routeTableSet>${
    items.join("")
  }</routeTableSet></DescribeRouteTablesResponse>`;
}

const BY_SUBNET = "DescribeRouteTables&Filter.1.Name=association.subnet-id&Filter.1.Value.1=subnet-1";
const MAIN = "DescribeRouteTables&Filter.1.Name=association.main&Filter.1.Value.1=true" +
  "&Filter.2.Name=vpc-id&Filter.2.Value.1=vpc-1";

const cases: readonly [ids: string[], answers: string[], found: string[], forms: string[], why: string][] = [
  [["rtb-2", "rtb-1"], [tables("rtb-1", "rtb-2")], ["rtb-1", "rtb-2"], [
    "DescribeRouteTables&RouteTableId.1=rtb-2&RouteTableId.2=rtb-1",
  ], "all that are named, in one call"],
  [[], [tables("rtb-1")], ["rtb-1"], [BY_SUBNET], "that of the subnet"],
  [
    [],
    [tables(), tables("rtb-main")],
    ["rtb-main"],
    [BY_SUBNET, MAIN],
    "the main one, if the subnet has none",
  ],
  [[], [tables(), tables("rtb-main", "rtb-other")], ["rtb-main"], [BY_SUBNET, MAIN], "there is one main one"],
];

for (const [ids, answers, found, forms, why] of cases) {
  Deno.test(`findTables() finds ${found.join(" and ")}: ${why}`, async () => {
    const canned = cannedClient(...answers);
    const tables = await findTables(canned.client, { ids, eni: ENI }, OPTIONS);
    assertEquals([tables.map(({ id }) => id), canned.forms], [found, forms]);
  });
}

Deno.test("findTables() names the tables that are not there", async () => {
  const { client } = cannedClient(tables("rtb-1"));
  const error = await assertRejects(
    () => findTables(client, { ids: ["rtb-1", "rtb-2", "rtb-3"], eni: ENI }, OPTIONS),
    Error,
  );
  assertEquals(error.message, "there is no route table rtb-2, rtb-3 in this region");
});

Deno.test("findTables() repeats what EC2 says of a table that is not there", async () => {
  const { client } = cannedClient(
    refusal("InvalidRouteTableID.NotFound", "The routeTable ID 'rtb-2' does not exist"),
  );
  await assertRejects(() => findTables(client, { ids: ["rtb-2"], eni: ENI }, OPTIONS), Ec2Error, "rtb-2");
});

Deno.test("findTables() says that there is none at all", async () => {
  const { client } = cannedClient(tables());
  const error = await assertRejects(() => findTables(client, { ids: [], eni: ENI }, OPTIONS), Error);
  assertEquals(
    error.message,
    "neither the subnet subnet-1 nor vpc-1 has a route table; name one in RouteTableID",
  );
});
