import type { AwsVpcConfig } from "../../config/aws_schema.ts";
import { errorText } from "../../log/error_text.ts";
import { formatPrefix, type Prefix } from "../../model/address.ts";
import { type CallOptions, changeRoute, describeNetworkInterfaces, turnCheckOff } from "./ec2_calls.ts";
import type { Ec2Client } from "./ec2_client.ts";
import { Ec2Error } from "./ec2_error.ts";
import { filter } from "./ec2_form.ts";
import { findTables } from "./find_tables.ts";
import { createInterface } from "./interface_calls.ts";
import { CLUSTER_TAG, INSTANCE_TAG } from "./managed_interface.ts";
import type { AttachedInterface, InstanceFacts } from "./metadata.ts";
import { planCloud } from "./route_plan.ts";
import { describeSecurityGroups, groupFaults } from "./security_groups.ts";
import { callReason, planConditions } from "./words.ts";

/** One thing that was looked at. */
export interface Finding {
  readonly verdict: "ok" | "wrong" | "unknown";
  readonly text: string;
}

/** What is examined. */
export interface Examined {
  readonly config: AwsVpcConfig;
  readonly instance: InstanceFacts;
  readonly eni: AttachedInterface;
  /** Whether the agent has to make another one first, which takes after `eni`. */
  readonly isToBeMade: boolean;
  readonly client: Ec2Client;
  readonly networks: readonly { readonly network: Prefix; readonly subnetLength: number }[];
}

const ok = (text: string): Finding => ({ verdict: "ok", text });
const wrong = (text: string): Finding => ({ verdict: "wrong", text });
const unknown = (text: string): Finding => ({ verdict: "unknown", text });

/** Looks at what the agent needs of a VPC, and changes nothing: each call that would is a dry run. */
export async function* examine(examined: Examined, options: CallOptions): AsyncGenerator<Finding> {
  const { instance, eni, config, isToBeMade } = examined;
  const way = isToBeMade
    ? `packets for pods are to come in by an interface that the agent makes after ${eni.id}`
    : `packets for pods come in by ${eni.id}`;
  yield ok(`this is ${instance.instanceId} in ${instance.region}; ${way}`);
  yield* examineTables(examined, options);
  if (!isToBeMade) yield* examineCheck(examined, options);
  if (config.eni.kind === "managed") yield* examineManaged(examined, options);
  yield* examineGroups(examined, options);
}

async function* examineTables(
  { client, eni, config, instance, networks }: Examined,
  options: CallOptions,
): AsyncGenerator<Finding> {
  let tables;
  try {
    tables = await findTables(client, { ids: config.routeTableIds, eni }, options);
  } catch (error) {
    return yield wrong(sayWhy(error, "the route tables"));
  }
  yield ok("ec2:DescribeRouteTables is allowed");
  const attached = new Set(instance.interfaces.map(({ id }) => id));
  const policy = { eniId: eni.id, attached, takesForeign: false, cleansBlackholes: false };
  const plan = planCloud({ own: [], peers: [], networks }, tables, policy);
  for (const { sentence } of planConditions(plan)) yield wrong(sentence);
  for (const { id, routes } of tables) {
    yield ok(`the route table ${id} has ${routes.length} routes (500 is the quota if it was never raised)`);
    for (const { network, subnetLength } of networks) {
      const destination: Prefix = { address: network.address, length: subnetLength };
      for (const action of ["CreateRoute", "ReplaceRoute", "DeleteRoute"] as const) {
        const target = action === "DeleteRoute" ? {} : { eniId: eni.id };
        const call = () =>
          changeRoute(client, { action, tableId: id, destination, ...target }, {
            ...options,
            isDryRun: true,
          });
        yield await tryDry(call, `ec2:${action} of ${formatPrefix(destination)} in ${id}`, id);
      }
    }
  }
}

async function* examineCheck(
  { client, eni, config }: Examined,
  options: CallOptions,
): AsyncGenerator<Finding> {
  try {
    const [found] = await describeNetworkInterfaces(client, { ids: [eni.id] }, options);
    if (found?.isChecked === false) yield ok(`the source/destination check of ${eni.id} is off`);
    else if (config.turnsCheckOff) {
      yield unknown(`the source/destination check of ${eni.id} is on; the agent turns it off`);
    } else {
      yield wrong(`the source/destination check of ${eni.id} is on, and SourceDestCheck says to keep it`);
    }
  } catch (error) {
    yield wrong(sayWhy(error, eni.id));
  }
  if (config.turnsCheckOff) {
    const call = () => turnCheckOff(client, eni.id, { ...options, isDryRun: true });
    yield await tryDry(call, `ec2:ModifyNetworkInterfaceAttribute of ${eni.id}`, eni.id);
  }
}

async function* examineManaged(examined: Examined, options: CallOptions): AsyncGenerator<Finding> {
  const { client, eni, instance, config } = examined;
  const { cluster, managed } = config;
  const call = async () =>
    void await createInterface(client, {
      subnetId: managed.subnetId ?? eni.subnetId,
      securityGroupIds: managed.securityGroupIds.length > 0 ? managed.securityGroupIds : eni.securityGroupIds,
      tags: { [INSTANCE_TAG]: instance.instanceId, ...cluster !== undefined && { [CLUSTER_TAG]: cluster } },
      counts: managed,
      hasIpv6: false,
      token: crypto.randomUUID(),
    }, { ...options, isDryRun: true });
  yield await tryDry(call, "ec2:CreateNetworkInterface", "a network interface");
  yield* examineUse(examined, options);
  if (cluster === undefined) return;
  try {
    const filters = [
      filter(`tag:${CLUSTER_TAG}`, cluster),
      filter("status", "available"),
      filter("tag-key", INSTANCE_TAG),
    ];
    const left = await describeNetworkInterfaces(client, { filters }, options);
    if (left.length === 0) yield ok(`no network interface of ${cluster} is left over`);
    else {
      const names = left.map(({ id, tags }) => `${id} (made for ${tags.get(INSTANCE_TAG)})`).join(", ");
      yield wrong(
        `network interfaces of ${cluster} that no instance has: ${names}; delete those of instances that are gone`,
      );
    }
  } catch (error) {
    yield wrong(sayWhy(error, "network interfaces"));
  }
}

/** Tries what is done to an interface that was made; none of it can be tried on another one. */
async function* examineUse(
  { client, eni, instance: { instanceId }, isToBeMade }: Examined,
  options: CallOptions,
): AsyncGenerator<Finding> {
  const calls: Readonly<Record<string, Readonly<Record<string, string | number>>>> = {
    AttachNetworkInterface: { InstanceId: instanceId, DeviceIndex: eni.deviceIndex },
    AssignPrivateIpAddresses: { SecondaryPrivateIpAddressCount: 1 },
    DeleteNetworkInterface: {},
  };
  if (isToBeMade) {
    const names = [...Object.keys(calls), "ModifyNetworkInterfaceAttribute"].map((action) => `ec2:${action}`);
    return yield unknown(`${names.join(", ")} can be tried once the interface is made`);
  }
  for (const [action, more] of Object.entries(calls)) {
    const parameters = { NetworkInterfaceId: eni.id, ...more, DryRun: true };
    const call = async () => void await client.call(action, parameters, options);
    yield await tryDry(call, `ec2:${action} of ${eni.id}`, eni.id);
  }
}

async function* examineGroups(
  { client, eni, networks }: Examined,
  options: CallOptions,
): AsyncGenerator<Finding> {
  if (eni.securityGroupIds.length === 0) return;
  try {
    const groups = await describeSecurityGroups(client, eni.securityGroupIds, options);
    const faults = groupFaults(groups, networks.map(({ network }) => network));
    for (const fault of faults) yield wrong(fault);
    if (faults.length === 0) yield ok(`${eni.securityGroupIds.join(", ")} let the pod network through`);
  } catch (error) {
    yield unknown(
      `whether security groups let the pod network through was not seen: ${sayWhy(error, "security groups")}`,
    );
  }
}

/** Tries a call that changes nothing. */
async function tryDry(call: () => Promise<void>, what: string, resource: string): Promise<Finding> {
  try {
    await call();
    return unknown(`${what} was not tried as a dry run`);
  } catch (error) {
    if (error instanceof Ec2Error && error.code === "DryRunOperation") return ok(`${what} is allowed`);
    if (error instanceof Ec2Error && error.isRefusal) return wrong(callReason(error, resource));
    return unknown(`${what} was not tried: ${errorText(error)}`);
  }
}

/** Why a call was not done. */
export function sayWhy(error: unknown, resource: string): string {
  return error instanceof Ec2Error ? callReason(error, resource) : errorText(error);
}
