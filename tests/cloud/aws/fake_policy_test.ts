import { assertEquals, assertThrows } from "@std/assert";
import {
  judge,
  type PolicyDocument,
  type Statement,
  type Verdict,
  type Wish,
} from "../../double/aws/policy.ts";

const TABLE = "arn:aws:ec2:eu-central-1:123456789012:route-table/rtb-1";
const ROUTES: Statement = {
  Effect: "Allow",
  Action: ["ec2:CreateRoute", "ec2:ReplaceRoute"],
  Resource: "arn:aws:ec2:eu-central-1:123456789012:route-table/*",
  Condition: { StringEquals: { "aws:ResourceTag/flannel.io/cluster": "one" } },
};
const TAGGED = { "aws:ResourceTag/flannel.io/cluster": "one" };

const CASES: readonly [
  name: string,
  statements: readonly Statement[],
  wish: Partial<Wish>,
  verdict: Verdict,
][] = [
  ["an action on a resource with the tag", [ROUTES], { context: TAGGED }, "allowed"],
  ["the action in other letters, as IAM does", [{ ...ROUTES, Action: "EC2:createroute" }], {
    context: TAGGED,
  }, "allowed"],
  [
    "an action that is not in the list",
    [ROUTES],
    { action: "ec2:DeleteRoute", context: TAGGED },
    "implicit deny",
  ],
  ["a resource with another tag", [ROUTES], {
    context: { "aws:ResourceTag/flannel.io/cluster": "two" },
  }, "implicit deny"],
  ["a resource without a tag", [ROUTES], {}, "implicit deny"],
  ["a resource of another account", [ROUTES], {
    resource: TABLE.replace("123456789012", "210987654321"),
    context: TAGGED,
  }, "implicit deny"],
  ["what a Deny names too", [ROUTES, { Effect: "Deny", Action: "ec2:*Route", Resource: "*" }], {
    context: TAGGED,
  }, "explicit deny"],
  ["what no policy names", [], {}, "implicit deny"],
  [
    "a tag that fits a pattern",
    [{
      ...ROUTES,
      Condition: { StringLike: { "aws:ResourceTag/flannel.io/cluster": "o*" } },
    }],
    { context: TAGGED },
    "allowed",
  ],
  [
    "one of several values",
    [{
      ...ROUTES,
      Condition: { StringEquals: { "ec2:CreateAction": ["RunInstances", "CreateNetworkInterface"] } },
    }],
    { context: { "ec2:CreateAction": "CreateNetworkInterface" } },
    "allowed",
  ],
  [
    "only some of several keys",
    [{
      ...ROUTES,
      Condition: { StringEquals: { "ec2:CreateAction": "x", "ec2:Region": "y" } },
    }],
    { context: { "ec2:CreateAction": "x", "ec2:Region": "z" } },
    "implicit deny",
  ],
  [
    "tag keys that are all among those named",
    [{
      ...ROUTES,
      Condition: { "ForAllValues:StringEquals": { "aws:TagKeys": ["a", "b"] } },
    }],
    { context: { "aws:TagKeys": ["a"] } },
    "allowed",
  ],
  [
    "a tag key that is not among those named",
    [{
      ...ROUTES,
      Condition: { "ForAllValues:StringEquals": { "aws:TagKeys": ["a", "b"] } },
    }],
    { context: { "aws:TagKeys": ["a", "c"] } },
    "implicit deny",
  ],
  [
    "a key that is not there and must differ",
    [{
      ...ROUTES,
      Condition: { StringNotEquals: { "aws:ResourceTag/owner": "other" } },
    }],
    {},
    "allowed",
  ],
];

for (const [name, Statement, wish, verdict] of CASES) {
  Deno.test(`judge() says ${verdict} to ${name}`, () => {
    const policies: PolicyDocument[] = [{ Version: "2012-10-17", Statement }];
    assertEquals(
      judge(policies, { action: "ec2:CreateRoute", resource: TABLE, context: {}, ...wish }),
      verdict,
    );
  });
}

Deno.test("judge() throws on a condition operator that it does not know", () => {
  const policy: PolicyDocument = {
    Version: "2012-10-17",
    Statement: [{ ...ROUTES, Condition: { IpAddress: { "aws:SourceIp": "192.0.2.0/24" } } }],
  };
  const wish = { action: "ec2:CreateRoute", resource: TABLE, context: TAGGED };
  assertThrows(() => judge([policy], wish), TypeError, "IpAddress");
});
