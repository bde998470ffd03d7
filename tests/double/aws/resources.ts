import { formatAddress, parseAddress, parsePrefix } from "../../../src/model/address.ts";
import { invalidValue } from "./aws_error.ts";

/** Values by key, as AWS hangs them on resources. */
export type Tags = Readonly<Record<string, string>>;

/** A private network. */
export interface Vpc {
  readonly id: string;
  readonly cidrs: readonly string[];
  readonly ipv6Cidrs: readonly string[];
  tags: Tags;
}

/** A part of a VPC, in one availability zone. */
export interface Subnet {
  readonly id: string;
  readonly vpcId: string;
  readonly cidr: string;
  readonly ipv6Cidr: string | undefined;
  readonly zone: string;
  tags: Tags;
}

/** One row of a route table. `target` is the id of an ENI or a gateway, or `local`. */
export interface Route {
  /** In canonical form. */
  readonly destination: string;
  target: string;
  readonly origin: "CreateRouteTable" | "CreateRoute" | "EnableVgwRoutePropagation";
}

/** What says where packets that leave a subnet go. */
export interface RouteTable {
  readonly id: string;
  readonly vpcId: string;
  isMain: boolean;
  /** Those that it is associated with by name; the main table has all that no table names. */
  readonly subnetIds: string[];
  routes: Route[];
  tags: Tags;
  /** What Describe still says, and how many times more. */
  stale?: { readonly routes: readonly Route[]; left: number };
}

/** Where an ENI is plugged in. */
export interface Attachment {
  readonly id: string;
  readonly instanceId: string;
  readonly deviceIndex: number;
  deleteOnTermination: boolean;
  /** `detaching` ends after some looks. */
  status: "attached" | "detaching";
  looksLeft: number;
}

/** An ENI. */
export interface NetworkInterface {
  readonly id: string;
  readonly subnetId: string;
  readonly vpcId: string;
  readonly mac: string;
  readonly description: string;
  groups: readonly string[];
  /** The primary one first. */
  addresses: string[];
  ipv6Addresses: string[];
  ipv4Prefixes: string[];
  sourceDestCheck: boolean;
  attachment: Attachment | undefined;
  tags: Tags;
}

export interface Instance {
  readonly id: string;
  readonly type: string;
  readonly zone: string;
  /** The name of the role that its metadata service has credentials for. */
  readonly role: string | undefined;
  state: "pending" | "running" | "stopping" | "stopped" | "shutting-down" | "terminated";
  tags: Tags;
}

/** Who may send what to an ENI, or be sent to by it. */
export interface SecurityRule {
  readonly id: string;
  readonly isEgress: boolean;
  /** `-1` is all. */
  readonly protocol: string;
  readonly ports?: readonly [from: number, to: number];
  /** A prefix, or the id of a security group. */
  readonly peer: string;
}

export interface SecurityGroup {
  readonly id: string;
  readonly name: string;
  readonly vpcId: string;
  rules: SecurityRule[];
  tags: Tags;
}

/** What an instance type can have. */
export interface InstanceType {
  readonly interfaces: number;
  readonly addressesPerInterface: number;
}

/** What the account is held to, and how slow the cloud is. Each may be set at any time. */
export interface CloudSettings {
  /** Of a table and a family, the local routes not counted. */
  routesPerTable: number;
  /** How many times after a write DescribeRouteTables still says what was before. */
  staleLooks: number;
  /** How many looks a detachment takes. */
  detachLooks: number;
}

/** What an ENI begins with, where it is not what AWS would choose. */
export interface NewInterface {
  readonly address?: string;
  readonly mac?: string;
  /** It gets an IPv6 address too, if its subnet has such. */
  readonly isIpv6?: boolean;
  readonly description?: string;
  readonly groups?: readonly string[];
  readonly tags?: Tags;
}

/** @throws {AwsError} If `text` is no prefix of the family. */
export function canonicalPrefix(text: string, parameter: string, isIpv6: boolean): string {
  try {
    const prefix = parsePrefix(text);
    if ((typeof prefix.address === "bigint") === isIpv6) {
      return `${formatAddress(prefix.address)}/${prefix.length}`;
    }
  } catch {
    // It is refused below.
  }
  throw invalidValue(
    `Value (${text}) for parameter ${parameter} is invalid. This is not a valid CIDR block.`,
  );
}

/** An address in the form in which it is compared. */
export function canonicalAddress(text: string): string {
  try {
    return formatAddress(parseAddress(text));
  } catch {
    throw invalidValue(`Value (${text}) for parameter address is invalid.`);
  }
}
