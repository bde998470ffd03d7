import {
  _default,
  array,
  object,
  optional,
  pipe,
  safeParse,
  string,
  transform,
  union,
  unknown,
  type ZodMiniType,
} from "zod/mini";
import { parseAnyPrefix } from "../../config/address_text.ts";
import { AF_INET, familyOf, formatPrefix, type Prefix } from "../../model/address.ts";
import type { Ec2Client } from "./ec2_client.ts";
import { Ec2Error } from "./ec2_error.ts";
import { filter, type FormValue } from "./ec2_form.ts";

/** More pages than this are no answer: what is asked for is some tables or interfaces, and some pages may be empty. */
const MAX_PAGES = 50;

/** A route of a VPC's route table. */
export interface CloudRoute {
  readonly destination: Prefix;
  /** The network interface that it leads to; absent where it leads elsewhere. */
  readonly eniId?: string;
  /** What else it leads to: a gateway, a transit gateway, `local`. */
  readonly target?: string;
  /** Whether what it leads to is gone. */
  readonly isBlackhole: boolean;
  /** Whether a gateway or a route server has announced it: a route that is made goes before it. */
  readonly isPropagated: boolean;
  /** Whether it came with the table: it leads to the VPC itself, if nobody had it lead elsewhere. */
  readonly isLocal: boolean;
}

/** A route table of a VPC. */
export interface CloudTable {
  readonly id: string;
  readonly vpcId: string;
  readonly routes: readonly CloudRoute[];
}

/** A network interface, as EC2 knows it. */
export interface NetworkInterface {
  readonly id: string;
  readonly mac: string;
  readonly subnetId: string;
  readonly vpcId: string;
  /** Whether packets with foreign addresses are dropped. */
  readonly isChecked: boolean;
  readonly status: string;
  readonly instanceId: string | undefined;
  readonly attachmentId: string | undefined;
  readonly deviceIndex: number | undefined;
  /** Whether it goes with its instance. */
  readonly isDeletedOnTermination: boolean;
  /** Its IPv4 addresses, the first one included. */
  readonly addressCount: number;
  /** Its IPv4 prefixes. */
  readonly prefixCount: number;
  readonly securityGroupIds: readonly string[];
  readonly tags: ReadonlyMap<string, string>;
}

/** A set of EC2's: `<set><item/>…</set>`; one item is no list in what the reader makes of it, none is text, or nothing. */
export function items<T>(item: ZodMiniType<T>): ZodMiniType<readonly T[]> {
  const list = pipe(
    unknown(),
    transform((set: unknown): unknown => {
      if (typeof set !== "object" || set === null) return [];
      const { item } = set as { readonly item?: unknown };
      return item === undefined ? [] : Array.isArray(item) ? item : [item];
    }),
  );
  return _default(pipe(list, array(item)), []) as unknown as ZodMiniType<readonly T[]>;
}

const tagSet = items(object({ key: string(), value: string() }));

const route = object({
  destinationCidrBlock: optional(string()),
  destinationIpv6CidrBlock: optional(string()),
  networkInterfaceId: optional(string()),
  instanceId: optional(string()),
  gatewayId: optional(string()),
  natGatewayId: optional(string()),
  transitGatewayId: optional(string()),
  vpcPeeringConnectionId: optional(string()),
  localGatewayId: optional(string()),
  carrierGatewayId: optional(string()),
  egressOnlyInternetGatewayId: optional(string()),
  coreNetworkArn: optional(string()),
  state: optional(string()),
  origin: optional(string()),
});

const table = object({ routeTableId: string(), vpcId: string(), routeSet: items(route) });

const describedTables = object({
  DescribeRouteTablesResponse: object({ routeTableSet: items(table), nextToken: optional(string()) }),
});

const described = object({
  networkInterfaceId: string(),
  macAddress: string(),
  subnetId: string(),
  vpcId: string(),
  sourceDestCheck: string(),
  status: string(),
  attachment: optional(union([
    object({
      attachmentId: optional(string()),
      instanceId: optional(string()),
      deviceIndex: optional(string()),
      deleteOnTermination: optional(string()),
    }),
    string(),
  ])),
  privateIpAddressesSet: items(object({ privateIpAddress: string() })),
  ipv4PrefixSet: items(object({ ipv4Prefix: string() })),
  groupSet: items(object({ groupId: string() })),
  tagSet,
});

const describedInterfaces = object({
  DescribeNetworkInterfacesResponse: object({
    networkInterfaceSet: items(described),
    nextToken: optional(string()),
  }),
});

/** Reads an answer. @throws {Ec2Error} If it has not the shape of the API reference. */
export function read<T>(action: string, schema: ZodMiniType<T>, answer: unknown): T {
  const outcome = safeParse(schema, answer);
  if (outcome.success) return outcome.data;
  const [issue] = outcome.error.issues;
  const message = `the answer is not understood, at ${issue?.path.join(".") || "its root"}`;
  throw new Ec2Error(action, { code: "NoAnswer", message });
}

/** Asks page by page. @throws {Ec2Error} If there is no end to it: a part would pass for the whole. */
async function pages<T>(
  action: string,
  ask: (
    token: string | undefined,
  ) => Promise<{ readonly found: readonly T[]; readonly next: string | undefined }>,
): Promise<readonly T[]> {
  const all: T[] = [];
  let token: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const { found, next } = await ask(token);
    all.push(...found);
    if (next === undefined || next === "") return all;
    token = next;
  }
  throw new Ec2Error(action, { code: "NoAnswer", message: `the answer has more than ${MAX_PAGES} pages` });
}

/** What a call is made with. */
export interface CallOptions {
  readonly signal: AbortSignal;
}

/** The route tables with these ids, or that the filters let through. */
export async function describeRouteTables(
  client: Ec2Client,
  which: { readonly ids: readonly string[] } | { readonly filters: readonly FormValue[] },
  options: CallOptions,
): Promise<readonly CloudTable[]> {
  const action = "DescribeRouteTables";
  const parameters = "ids" in which ? { RouteTableId: which.ids } : { Filter: which.filters };
  const tables = await pages(action, async (token) => {
    const answer = await client.call(action, { ...parameters, NextToken: token }, options);
    const { routeTableSet, nextToken } = read(action, describedTables, answer).DescribeRouteTablesResponse;
    return { found: routeTableSet, next: nextToken };
  });
  return tables.map(({ routeTableId, vpcId, routeSet }) => ({
    id: routeTableId,
    vpcId,
    routes: routeSet.flatMap(routeOf),
  }));
}

/** One to a prefix list, or to what can't be read, is left out: it is none of ours. */
function routeOf(found: (typeof route)["_zod"]["output"]): CloudRoute[] {
  const text = found.destinationCidrBlock ?? found.destinationIpv6CidrBlock;
  if (text === undefined) return [];
  let destination: Prefix;
  try {
    destination = parseAnyPrefix(text);
  } catch {
    return [];
  }
  const target = found.gatewayId ?? found.natGatewayId ?? found.transitGatewayId ??
    found.vpcPeeringConnectionId ?? found.localGatewayId ?? found.carrierGatewayId ??
    found.egressOnlyInternetGatewayId ?? found.coreNetworkArn ?? found.instanceId;
  return [{
    destination,
    ...found.networkInterfaceId !== undefined && { eniId: found.networkInterfaceId },
    ...target !== undefined && { target },
    isBlackhole: found.state === "blackhole",
    isPropagated: found.origin === "EnableVgwRoutePropagation" || found.origin === "Advertisement",
    isLocal: found.origin === "CreateRouteTable" || found.gatewayId === "local",
  }];
}

/** The network interfaces with these ids, or that the filters let through. */
export async function describeNetworkInterfaces(
  client: Ec2Client,
  which: { readonly ids: readonly string[] } | { readonly filters: readonly FormValue[] },
  options: CallOptions,
): Promise<readonly NetworkInterface[]> {
  const action = "DescribeNetworkInterfaces";
  const parameters = "ids" in which ? { NetworkInterfaceId: which.ids } : { Filter: which.filters };
  const found = await pages(action, async (token) => {
    const answer = await client.call(action, { ...parameters, NextToken: token }, options);
    const { networkInterfaceSet, nextToken } =
      read(action, describedInterfaces, answer).DescribeNetworkInterfacesResponse;
    return { found: networkInterfaceSet, next: nextToken };
  });
  return found.map(interfaceOf);
}

function interfaceOf(found: (typeof described)["_zod"]["output"]): NetworkInterface {
  const attachment = typeof found.attachment === "object" ? found.attachment : undefined;
  return {
    id: found.networkInterfaceId,
    mac: found.macAddress,
    subnetId: found.subnetId,
    vpcId: found.vpcId,
    isChecked: found.sourceDestCheck === "true",
    status: found.status,
    instanceId: attachment?.instanceId,
    attachmentId: attachment?.attachmentId,
    deviceIndex: attachment?.deviceIndex === undefined ? undefined : Number(attachment.deviceIndex),
    isDeletedOnTermination: attachment?.deleteOnTermination === "true",
    addressCount: found.privateIpAddressesSet.length,
    prefixCount: found.ipv4PrefixSet.length,
    securityGroupIds: found.groupSet.map(({ groupId }) => groupId),
    tags: new Map(found.tagSet.map(({ key, value }) => [key, value])),
  };
}

function destinationOf(prefix: Prefix): { readonly [name: string]: FormValue } {
  const isIpv4 = familyOf(prefix.address) === AF_INET;
  return { [isIpv4 ? "DestinationCidrBlock" : "DestinationIpv6CidrBlock"]: formatPrefix(prefix) };
}

/** Makes a route of a table, gives it another target, or takes it away. */
export async function changeRoute(
  client: Ec2Client,
  change: {
    readonly action: "CreateRoute" | "ReplaceRoute" | "DeleteRoute";
    readonly tableId: string;
    readonly destination: Prefix;
    /** The network interface that it leads to; absent for `DeleteRoute`. */
    readonly eniId?: string;
  },
  options: CallOptions & { readonly isDryRun?: true },
): Promise<void> {
  const { action, tableId, destination, eniId } = change;
  await client.call(action, {
    RouteTableId: tableId,
    ...destinationOf(destination),
    NetworkInterfaceId: eniId,
    DryRun: options.isDryRun,
  }, options);
}

/** Has packets with foreign addresses pass a network interface, as those of pods are to it. */
export async function turnCheckOff(
  client: Ec2Client,
  eniId: string,
  options: CallOptions & { readonly isDryRun?: true },
): Promise<void> {
  await client.call("ModifyNetworkInterfaceAttribute", {
    NetworkInterfaceId: eniId,
    SourceDestCheck: { Value: false },
    DryRun: options.isDryRun,
  }, options);
}

/** Those attached to an instance, of one subnet of EC2's filters. */
export function attachedTo(instanceId: string, ...more: readonly FormValue[]): readonly FormValue[] {
  return [filter("attachment.instance-id", instanceId), ...more];
}
