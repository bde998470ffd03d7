import type { AwsVpcConfig } from "../../config/aws_schema.ts";
import { CLUSTER_TAG } from "./managed_interface.ts";

/** One statement of a policy of IAM's. */
interface Statement {
  readonly Sid: string;
  readonly Effect: "Allow";
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** Whose policy it is. */
export interface PolicyScope {
  readonly partition: string;
  readonly region: string;
  readonly account: string;
  /** The value of the tag `flannel.io/cluster`. */
  readonly cluster: string;
}

/** The partition by how a region's name begins. */
const PARTITIONS: readonly (readonly [start: string, partition: string])[] = [
  ["cn-", "aws-cn"],
  ["us-gov-", "aws-us-gov"],
  ["us-iso-", "aws-iso"],
  ["us-isob-", "aws-iso-b"],
  ["us-isof-", "aws-iso-f"],
  ["eu-isoe-", "aws-iso-e"],
  ["eusc-", "aws-eusc"],
];

/** The partition of a region, as its ARNs name it. */
export function partitionOf(region: string): string {
  return PARTITIONS.find(([start]) => region.startsWith(start))?.[1] ?? "aws";
}

/**
 * The least that the role of a host needs, as a policy of IAM's: what reads can't be narrowed, what changes is
 * narrowed to tables and interfaces with the cluster's tag.
 *
 * Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2".
 */
export function leastPolicy(
  { eni, turnsCheckOff }: Pick<AwsVpcConfig, "eni" | "turnsCheckOff">,
  { partition, region, account, cluster }: PolicyScope,
): { readonly Version: "2012-10-17"; readonly Statement: readonly Statement[] } {
  const arn = (what: string) => `arn:${partition}:ec2:${region}:${account}:${what}/*`;
  const isTagged = { StringEquals: { [`aws:ResourceTag/${CLUSTER_TAG}`]: cluster } };
  const isManaged = eni.kind === "managed";
  const statements: Statement[] = [
    {
      Sid: "Read",
      Effect: "Allow",
      Action: ["ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups"],
      Resource: "*",
    },
    {
      Sid: "Routes",
      Effect: "Allow",
      Action: ["ec2:CreateRoute", "ec2:DeleteRoute", "ec2:ReplaceRoute"],
      Resource: arn("route-table"),
      Condition: isTagged,
    },
  ];
  if (turnsCheckOff || isManaged) {
    statements.push({
      Sid: "SourceDestCheck",
      Effect: "Allow",
      Action: "ec2:ModifyNetworkInterfaceAttribute",
      Resource: arn("network-interface"),
      Condition: isTagged,
    });
  }
  if (isManaged) statements.push(...managedStatements(arn, { isTagged, cluster }));
  return { Version: "2012-10-17", Statement: statements };
}

/** What it takes to make a network interface, attach it and take it away. */
function managedStatements(
  arn: (what: string) => string,
  { isTagged, cluster }: { readonly isTagged: Statement["Condition"]; readonly cluster: string },
): Statement[] {
  return [
    {
      Sid: "MakeInterface",
      Effect: "Allow",
      Action: "ec2:CreateNetworkInterface",
      Resource: arn("network-interface"),
      Condition: { StringEquals: { [`aws:RequestTag/${CLUSTER_TAG}`]: cluster } },
    },
    {
      Sid: "MakeInterfaceIn",
      Effect: "Allow",
      Action: "ec2:CreateNetworkInterface",
      Resource: [arn("subnet"), arn("security-group")],
    },
    {
      Sid: "TagInterface",
      Effect: "Allow",
      Action: "ec2:CreateTags",
      Resource: arn("network-interface"),
      Condition: { StringEquals: { "ec2:CreateAction": "CreateNetworkInterface" } },
    },
    {
      Sid: "UseInterface",
      Effect: "Allow",
      Action: [
        "ec2:AssignPrivateIpAddresses",
        "ec2:AttachNetworkInterface",
        "ec2:DeleteNetworkInterface",
      ],
      Resource: arn("network-interface"),
      ...isTagged !== undefined && { Condition: isTagged },
    },
    {
      Sid: "AttachTo",
      Effect: "Allow",
      Action: "ec2:AttachNetworkInterface",
      Resource: arn("instance"),
      ...isTagged !== undefined && { Condition: isTagged },
    },
  ];
}
