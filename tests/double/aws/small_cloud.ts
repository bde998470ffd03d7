import { FakeAws, type FakeAwsOptions } from "./fake_aws.ts";
import type { Credentials } from "./identities.ts";
import type { PolicyDocument, Statement } from "./policy.ts";
import type { Instance, NetworkInterface, RouteTable, Subnet, Vpc } from "./resources.ts";

/** May do everything. */
export const ALL: PolicyDocument = allow({ Action: "*", Resource: "*" });

/** What a test begins with: a VPC with a subnet in each of two zones, and instances in turn in both. */
export interface SmallCloud extends AsyncDisposable {
  readonly aws: FakeAws;
  readonly vpc: Vpc;
  readonly subnets: readonly [Subnet, Subnet];
  /** The main one, which both subnets go by. */
  readonly table: RouteTable;
  readonly hosts: readonly { readonly instance: Instance; readonly eni: NetworkInterface }[];
  /** May do everything. */
  readonly admin: Credentials;
}

/** Opens it. */
export function openSmallCloud(hosts: number, options: FakeAwsOptions = {}): SmallCloud {
  const aws = FakeAws.open(options);
  const { cloud, identities } = aws;
  const vpc = cloud.addVpc({ cidr: "172.20.0.0/16", ipv6Cidrs: ["2001:db8:20::/56"] });
  const subnets = ["a", "b"].map((letter, at) =>
    cloud.addSubnet(vpc.id, {
      cidr: `172.20.${at}.0/24`,
      ipv6Cidr: `2001:db8:20:${at}::/64`,
      zone: `${cloud.region}${letter}`,
    })
  ) as [Subnet, Subnet];
  identities.addRole("host", [ALL]);
  return {
    ...{ aws, vpc, subnets },
    table: cloud.tableOf(subnets[0].id),
    hosts: Array.from({ length: hosts }, (_, at) => cloud.runInstance(subnets[at % 2]!.id, { role: "host" })),
    admin: identities.addUser("admin", [ALL]),
    [Symbol.asyncDispose]: () => aws[Symbol.asyncDispose](),
  };
}

/** A policy of one statement. */
export function allow(statement: Omit<Statement, "Effect">): PolicyDocument {
  return { Version: "2012-10-17", Statement: [{ Effect: "Allow", ...statement }] };
}
