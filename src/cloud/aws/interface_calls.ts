import { object, optional, safeParse, string } from "zod/mini";
import type { ManagedEniConfig } from "../../config/aws_schema.ts";
import type { CallOptions } from "./ec2_calls.ts";
import type { Ec2Client } from "./ec2_client.ts";
import { Ec2Error } from "./ec2_error.ts";
import type { FormValue } from "./ec2_form.ts";

/** Of what a network interface is made. */
export interface NewInterface {
  readonly subnetId: string;
  readonly securityGroupIds: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
  readonly counts: Pick<ManagedEniConfig, "secondaryAddresses" | "prefixes">;
  readonly hasIpv6: boolean;
  /** The same for one wish, however often it is asked for: EC2 makes one only. */
  readonly token: string;
}

const created = object({
  CreateNetworkInterfaceResponse: object({ networkInterface: object({ networkInterfaceId: string() }) }),
});
const attached = object({ AttachNetworkInterfaceResponse: object({ attachmentId: optional(string()) }) });

/** Makes a network interface, and answers with its id. */
export async function createInterface(
  client: Ec2Client,
  { subnetId, securityGroupIds, tags, counts, hasIpv6, token }: NewInterface,
  options: CallOptions & { readonly isDryRun?: true },
): Promise<string> {
  const action = "CreateNetworkInterface";
  const { secondaryAddresses, prefixes } = counts;
  const answer = await client.call(action, {
    SubnetId: subnetId,
    SecurityGroupId: securityGroupIds,
    Description: "pods of this instance, kept by Loden",
    SecondaryPrivateIpAddressCount: secondaryAddresses || undefined,
    Ipv4PrefixCount: prefixes || undefined,
    Ipv6AddressCount: hasIpv6 ? 1 : undefined,
    TagSpecification: [{ ResourceType: "network-interface", Tag: tagList(tags) }],
    ClientToken: token,
    DryRun: options.isDryRun,
  }, options);
  const outcome = safeParse(created, answer);
  if (!outcome.success) {
    throw new Ec2Error(action, { code: "NoAnswer", message: "the answer is not understood" });
  }
  return outcome.data.CreateNetworkInterfaceResponse.networkInterface.networkInterfaceId;
}

function tagList(tags: Readonly<Record<string, string>>): FormValue {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
}

/** Attaches a network interface, and answers with the id of the attachment. */
export async function attachInterface(
  client: Ec2Client,
  { eniId, instanceId, deviceIndex }: {
    readonly eniId: string;
    readonly instanceId: string;
    readonly deviceIndex: number;
  },
  options: CallOptions,
): Promise<string | undefined> {
  const answer = await client.call("AttachNetworkInterface", {
    NetworkInterfaceId: eniId,
    InstanceId: instanceId,
    DeviceIndex: deviceIndex,
  }, options);
  const outcome = safeParse(attached, answer);
  return outcome.success ? outcome.data.AttachNetworkInterfaceResponse.attachmentId : undefined;
}

/** Has a network interface go with its instance. */
export async function deleteOnTermination(
  client: Ec2Client,
  { eniId, attachmentId }: { readonly eniId: string; readonly attachmentId: string },
  options: CallOptions,
): Promise<void> {
  await client.call("ModifyNetworkInterfaceAttribute", {
    NetworkInterfaceId: eniId,
    Attachment: { AttachmentId: attachmentId, DeleteOnTermination: true },
  }, options);
}

/** Gives a network interface more addresses. */
export async function assignAddresses(
  client: Ec2Client,
  { eniId, addresses, prefixes }: {
    readonly eniId: string;
    readonly addresses: number;
    readonly prefixes: number;
  },
  options: CallOptions,
): Promise<void> {
  const action = "AssignPrivateIpAddresses";
  // EC2 takes one of the two at a time.
  if (addresses > 0) {
    await client.call(
      action,
      { NetworkInterfaceId: eniId, SecondaryPrivateIpAddressCount: addresses },
      options,
    );
  }
  if (prefixes > 0) {
    await client.call(action, { NetworkInterfaceId: eniId, Ipv4PrefixCount: prefixes }, options);
  }
}

/** Deletes a network interface that is attached to nothing. */
export async function deleteInterface(client: Ec2Client, eniId: string, options: CallOptions): Promise<void> {
  await client.call("DeleteNetworkInterface", { NetworkInterfaceId: eniId }, options);
}
