import type { AwsVpcConfig } from "../../config/aws_schema.ts";
import type { Log } from "../../log/log.ts";
import { AF_INET6, familyOf } from "../../model/address.ts";
import { type CallOptions, describeNetworkInterfaces, type NetworkInterface } from "./ec2_calls.ts";
import type { Ec2Client } from "./ec2_client.ts";
import { Ec2Error } from "./ec2_error.ts";
import { filter } from "./ec2_form.ts";
import {
  assignAddresses,
  attachInterface,
  createInterface,
  deleteInterface,
  deleteOnTermination,
} from "./interface_calls.ts";
import type { AttachedInterface, InstanceFacts } from "./metadata.ts";

/** By these the agent knows again what it has made, and an operator whose it is. */
export const INSTANCE_TAG = "flannel.io/instance";
export const CLUSTER_TAG = "flannel.io/cluster";
/** Between looks at what EC2 says of it; the instance itself says whether it is attached. */
const LOOK_MS = 3_600_000;
/** The addresses of a network interface are one more than the secondary ones. */
const FIRST = 1;

/** What the interface is kept with. */
export interface ManagedInterfaceDeps {
  readonly config: AwsVpcConfig;
  /** A clock that nobody sets. */
  readonly elapsedMs: () => number;
  /** A text that no other has. */
  readonly uniqueId: () => string;
  readonly log: Log;
}

/**
 * Keeps one network interface of this instance for the packets of its pods: made, tagged, attached, gone with the
 * instance. What was made is found again by its tag, whether it was attached already or not; so nothing has to be
 * remembered.
 */
export class ManagedInterface {
  readonly #deps: ManagedInterfaceDeps;
  /** What was found, or made, right, and when. */
  #right: { readonly eniId: string; readonly atMs: number } | undefined;
  #token: string | undefined;

  constructor(deps: ManagedInterfaceDeps) {
    this.#deps = deps;
  }

  /**
   * Answers with the interface, or with `undefined` while it is being attached.
   *
   * @throws {Ec2Error} If EC2 refuses a step; what was made for nothing is deleted again.
   */
  async keep(
    client: Ec2Client,
    instance: InstanceFacts,
    options: CallOptions,
  ): Promise<AttachedInterface | undefined> {
    const right = this.#right;
    const known = right && instance.interfaces.find(({ id }) => id === right.eniId);
    if (known !== undefined && this.#deps.elapsedMs() - right!.atMs < LOOK_MS) return known;
    this.#right = undefined;
    const { instanceId } = instance;
    const ours = await describeNetworkInterfaces(client, {
      filters: [filter(`tag:${INSTANCE_TAG}`, instanceId)],
    }, options);
    const attached = ours.filter((one) => one.instanceId === instanceId)
      .toSorted((a, b) => (a.deviceIndex ?? 0) - (b.deviceIndex ?? 0))[0];
    if (attached === undefined) {
      const free = ours.find(({ instanceId }) => instanceId === undefined);
      if (free === undefined) await this.#make(client, instance, options);
      else await this.#attach(client, instance, free.id, options);
      return undefined;
    }
    await this.#complete(client, attached, options);
    this.#right = { eniId: attached.id, atMs: this.#deps.elapsedMs() };
    return instance.interfaces.find(({ id }) => id === attached.id);
  }

  async #make(client: Ec2Client, instance: InstanceFacts, options: CallOptions): Promise<void> {
    const { config: { managed, cluster }, log } = this.#deps;
    const first = instance.interfaces.toSorted((a, b) => a.deviceIndex - b.deviceIndex)[0];
    const subnetId = managed.subnetId ?? first?.subnetId;
    if (subnetId === undefined) {
      throw new Error(`${instance.instanceId} has no network interface to take after`);
    }
    const { securityGroupIds } = managed;
    this.#token ??= this.#deps.uniqueId();
    const eniId = await createInterface(client, {
      subnetId,
      securityGroupIds: securityGroupIds.length > 0 ? securityGroupIds : first?.securityGroupIds ?? [],
      tags: { [INSTANCE_TAG]: instance.instanceId, ...cluster !== undefined && { [CLUSTER_TAG]: cluster } },
      counts: managed,
      hasIpv6: first?.subnetPrefixes.some(({ address }) => familyOf(address) === AF_INET6) ?? false,
      token: this.#token,
    }, options);
    this.#token = undefined;
    log.write("info", "network interface made", { interface: eniId, subnet: subnetId });
    try {
      await this.#attach(client, instance, eniId, options);
    } catch (error) {
      await this.#takeBack(client, eniId, error, options);
      throw error;
    }
  }

  async #attach(
    client: Ec2Client,
    { instanceId, interfaces }: InstanceFacts,
    eniId: string,
    options: CallOptions,
  ): Promise<void> {
    const taken = new Set(interfaces.map(({ deviceIndex }) => deviceIndex));
    let deviceIndex = 0;
    while (taken.has(deviceIndex)) deviceIndex++;
    const attachmentId = await attachInterface(client, { eniId, instanceId, deviceIndex }, options);
    this.#deps.log.write("info", "network interface attached", { interface: eniId, deviceIndex });
    if (attachmentId !== undefined) await deleteOnTermination(client, { eniId, attachmentId }, options);
  }

  /** What can't be attached is of no use, and counts against the account's quota. */
  async #takeBack(client: Ec2Client, eniId: string, cause: unknown, options: CallOptions): Promise<void> {
    // It may be attached all the same, if no answer came: the next look tells.
    if (
      !(cause instanceof Ec2Error) || cause.code === "NoAnswer" || cause.action !== "AttachNetworkInterface"
    ) return;
    try {
      await deleteInterface(client, eniId, options);
      this.#deps.log.write("info", "network interface deleted", { interface: eniId });
    } catch {
      // It is found by its tag the next time.
    }
  }

  /** Gives one that is attached what it lacks, as after a restart in the middle. */
  async #complete(client: Ec2Client, eni: NetworkInterface, options: CallOptions): Promise<void> {
    const { secondaryAddresses, prefixes } = this.#deps.config.managed;
    if (!eni.isDeletedOnTermination && eni.attachmentId !== undefined) {
      await deleteOnTermination(client, { eniId: eni.id, attachmentId: eni.attachmentId }, options);
    }
    await assignAddresses(client, {
      eniId: eni.id,
      addresses: Math.max(secondaryAddresses + FIRST - eni.addressCount, 0),
      prefixes: Math.max(prefixes - eni.prefixCount, 0),
    }, options);
  }
}
