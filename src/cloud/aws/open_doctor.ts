import type { AwsVpcConfig } from "../../config/aws_schema.ts";
import { type Address, formatMac, type Prefix } from "../../model/address.ts";
import { attachedTo, type CallOptions, describeNetworkInterfaces } from "./ec2_calls.ts";
import { chooseInterface } from "./choose_interface.ts";
import { examine, type Examined, type Finding, sayWhy } from "./examine.ts";
import { filter } from "./ec2_form.ts";
import { INSTANCE_TAG } from "./managed_interface.ts";
import { metadataReader, readInstance } from "./metadata.ts";
import { openEc2, regionOf } from "./open_aws_cloud.ts";
import { leastPolicy, partitionOf } from "./policy.ts";

/** What is examined. */
export interface DoctorContext {
  readonly config: AwsVpcConfig;
  readonly networks: readonly { readonly network: Prefix; readonly subnetLength: number }[];
  readonly underlay: readonly Address[];
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Examines a VPC for the agent of this instance, and answers with the policy that the agent needs. */
export async function* openDoctor(
  { config, networks, underlay, environment }: DoctorContext,
  options: CallOptions,
): AsyncGenerator<Finding, string> {
  const read = metadataReader(environment);
  const instance = await readInstance(read, regionOf(environment));
  const { region, interfaces } = instance;
  const client = openEc2(region, environment);
  yield* examineChosen({ config, networks, underlay, instance, client }, options);
  const [first] = interfaces;
  const account = first && await read(`network/interfaces/macs/${formatMac(first.mac)}/owner-id`);
  const policy = leastPolicy(config, {
    partition: partitionOf(region),
    region,
    account: account?.trim() || "ACCOUNT",
    cluster: config.cluster ?? "CLUSTER",
  });
  return JSON.stringify(policy, undefined, 2);
}

/** Finds the interface that is meant, and examines what leads to it. */
async function* examineChosen(
  { config, networks, underlay, instance, client }:
    & Omit<DoctorContext, "environment">
    & Pick<Examined, "instance" | "client">,
  options: CallOptions,
): AsyncGenerator<Finding> {
  const { eni: choice } = config;
  const tag = choice.kind === "tag"
    ? filter(`tag:${choice.key}`, choice.value)
    : filter(`tag:${INSTANCE_TAG}`, instance.instanceId);
  let tagged: readonly string[] = [];
  if (choice.kind === "tag" || choice.kind === "managed") {
    try {
      const filters = attachedTo(instance.instanceId, tag);
      tagged = (await describeNetworkInterfaces(client, { filters }, options)).map(({ id }) => id);
    } catch (error) {
      options.signal.throwIfAborted();
      return yield { verdict: "wrong", text: sayWhy(error, "the network interfaces of this instance") };
    }
  }
  const isToBeMade = choice.kind === "managed" && tagged.length === 0;
  // What the agent has not made yet takes after the first one.
  const meant = choice.kind !== "managed"
    ? choice
    : isToBeMade
    ? { kind: "device-index", deviceIndex: 0 } as const
    : { kind: "id", id: tagged[0]! } as const;
  const eni = chooseInterface(instance, meant, { underlay, tagged });
  if (typeof eni === "string") return yield { verdict: "wrong", text: eni };
  const { subnetId, securityGroupIds } = config.managed;
  const like = {
    ...eni,
    ...isToBeMade && subnetId !== undefined && { subnetId },
    ...isToBeMade && securityGroupIds.length > 0 && { securityGroupIds },
  };
  yield* examine({ config, instance, eni: like, isToBeMade, client, networks }, options);
}
