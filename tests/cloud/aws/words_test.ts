import { assertEquals } from "@std/assert";
import type { CloudRoute } from "../../../src/cloud/aws/ec2_calls.ts";
import { Ec2Error } from "../../../src/cloud/aws/ec2_error.ts";
import type { CloudChange, ForeignCloudRoute } from "../../../src/cloud/aws/route_plan.ts";
import { callReason, conflictReason, planConditions, quotaReason } from "../../../src/cloud/aws/words.ts";
import { parsePrefix } from "../../../src/model/address.ts";

const SUBNET = parsePrefix("10.244.1.0/24");

Deno.test("callReason() names action, resource and what to allow, where a role may not", () => {
  const error = new Ec2Error("CreateRoute", {
    code: "UnauthorizedOperation",
    message: "UnauthorizedOperation: no",
  });
  assertEquals(
    callReason(error, "rtb-1"),
    "the role of this host may not ec2:CreateRoute on rtb-1: allow it on route-table/* in its policy " +
      "(CreateRoute: UnauthorizedOperation: no)",
  );
  const other = new Ec2Error("DescribeRouteTables", { code: "AccessDenied", message: "AccessDenied: no" });
  assertEquals(
    callReason(other, "the route tables"),
    "the role of this host may not ec2:DescribeRouteTables on the route tables: allow it on * in its policy " +
      "(DescribeRouteTables: AccessDenied: no)",
  );
});

Deno.test("callReason() repeats what else EC2 says", () => {
  const error = new Ec2Error("CreateRoute", { code: "IncorrectState", message: "IncorrectState: later" });
  assertEquals(callReason(error, "rtb-1"), "CreateRoute: IncorrectState: later");
});

const routeOf = (destination: string, isLocal = false): CloudRoute => ({
  destination: parsePrefix(destination),
  eniId: "eni-1",
  ...{ isBlackhole: false, isPropagated: false, isLocal },
});

const quotas: readonly [routes: CloudRoute[] | undefined, destination: string, says: string, why: string][] =
  [
    [
      [routeOf("10.0.0.0/16", true), routeOf("10.1.0.0/24"), routeOf("10.2.0.0/24"), routeOf("fd00::/64")],
      "10.244.1.0/24",
      "rtb-1 of 2 routes of IPv4 is full",
      "neither the VPC's own nor the other family counts",
    ],
    [[routeOf("fd00::/64")], "fd00:1::/64", "rtb-1 of 1 routes of IPv6 is full", "each family has a quota"],
    [undefined, "10.244.1.0/24", "rtb-1 is full", "the table was not seen"],
  ];

for (const [routes, destination, says, why] of quotas) {
  Deno.test(`quotaReason() says "${says}": ${why}`, () => {
    const table = routes && { id: "rtb-1", vpcId: "vpc-1", routes };
    const change: CloudChange = {
      action: "CreateRoute",
      tableId: "rtb-1",
      destination: parsePrefix(destination),
    };
    assertEquals(
      quotaReason(table, change),
      `the route table ${says}: its quota is no larger ("routes per route table", 500 if it was never raised, ` +
        "1,000 at most); raise it in Service Quotas, or name another table",
    );
  });
}

const FOREIGN: ForeignCloudRoute = {
  tableId: "rtb-1",
  destination: SUBNET,
  target: "eni-2",
  ...{ isWhole: true, isLocal: false, isTaken: false },
};

Deno.test("conflictReason() names what to do about a route of another, and about one of the VPC's own", () => {
  assertEquals(
    conflictReason(FOREIGN),
    "the route table rtb-1 leads it to eni-2; delete that route, or set RouteConflict to replace",
  );
  assertEquals(
    conflictReason({ ...FOREIGN, isLocal: true, target: "local" }),
    "the route table rtb-1 has it as a prefix of the VPC itself; choose another network",
  );
});

Deno.test("planConditions() tells of overlaps and of parts that others take, and of nothing twice", () => {
  const part = { ...FOREIGN, destination: parsePrefix("10.244.1.128/25"), isWhole: false };
  const plan = {
    ...{ changes: [], unrouted: [] },
    foreign: [FOREIGN, part, { ...part, isLocal: true }],
    overlapping: [{ network: parsePrefix("10.244.0.0/16"), vpc: parsePrefix("10.244.1.128/25") }],
  };
  assertEquals(planConditions(plan), [
    {
      code: "cloud-network-overlaps",
      sentence:
        "the network 10.244.0.0/16 overlaps 10.244.1.128/25 of the VPC itself; choose another one of the two",
    },
    {
      code: "cloud-route-foreign",
      sentence:
        "the route table rtb-1 leads 10.244.1.128/25 to eni-2, which takes packets for pods of this host; " +
        "delete that route",
    },
  ]);
});
