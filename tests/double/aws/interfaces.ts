import { AwsError, invalidValue } from "./aws_error.ts";
import type { Cloud } from "./cloud.ts";
import { checkFree, giveAddresses, giveIpv6, interfaceOf } from "./interface_addresses.ts";
import type { Query } from "./query.ts";
import type { Attachment, NetworkInterface, Subnet } from "./resources.ts";

/** A look at an ENI, after some of which it is detached. */
export function lookAt(cloud: Cloud, eni: NetworkInterface): void {
  if (eni.attachment?.status !== "detaching" || eni.attachment.looksLeft-- > 0) return;
  eni.attachment = undefined;
  cloud.changed();
}

/** CreateNetworkInterface. */
export function createInterface(cloud: Cloud, query: Query): NetworkInterface {
  const token = query.text("ClientToken");
  const earlier = cloud.interfaces.get(cloud.clientTokens.get(token ?? "") ?? "");
  if (earlier !== undefined) return earlier;
  const subnet = subnetOf(cloud, query.required("SubnetId"));
  const groups = query.list("SecurityGroupId");
  for (const id of groups) checkGroup(cloud, id, subnet.vpcId);
  const primary = query.text("PrivateIpAddress") ??
    query.structures("PrivateIpAddresses").find((one) => one.flag("Primary"))?.required("PrivateIpAddress");
  if (primary !== undefined) checkFree(cloud, subnet, primary);
  const eni = cloud.addInterface(subnet.id, {
    description: query.text("Description") ?? "",
    tags: query.tagsFor("network-interface"),
    ...groups.length > 0 && { groups },
    ...primary !== undefined && { address: primary },
  });
  const addresses = query.structures("PrivateIpAddresses").map((one) => one.required("PrivateIpAddress"))
    .filter((address) => address !== primary);
  const prefixes = query.structures("Ipv4Prefix").map((one) => one.required("Ipv4Prefix"));
  const count = query.integer("SecondaryPrivateIpAddressCount") ?? 0;
  const prefixCount = query.integer("Ipv4PrefixCount") ?? 0;
  try {
    giveAddresses(cloud, eni, { addresses, count, prefixes, prefixCount }, false);
    for (let left = query.integer("Ipv6AddressCount") ?? 0; left > 0; left--) giveIpv6(cloud, eni);
  } catch (error) {
    cloud.interfaces.delete(eni.id);
    throw error;
  }
  if (token !== undefined) cloud.clientTokens.set(token, eni.id);
  cloud.changed();
  return eni;
}

/** AttachNetworkInterface. */
export function attachInterface(cloud: Cloud, query: Query): Attachment {
  const eni = interfaceOf(cloud, query.required("NetworkInterfaceId"));
  const instanceId = query.required("InstanceId");
  const index = query.integer("DeviceIndex") ?? Number(query.required("DeviceIndex"));
  const instance = cloud.instances.get(instanceId);
  if (instance === undefined) {
    throw new AwsError("InvalidInstanceID.NotFound", `The instance ID '${instanceId}' does not exist`);
  }
  if (instance.state !== "running" && instance.state !== "stopped") {
    throw new AwsError(
      "IncorrectState",
      `The instance '${instanceId}' is not in the 'running' or 'stopped' state.`,
    );
  }
  if (eni.attachment !== undefined) {
    throw new AwsError("InvalidNetworkInterface.InUse", `Interface: [${eni.id}] in use.`);
  }
  if (cloud.subnets.get(eni.subnetId)!.zone !== instance.zone) {
    throw new AwsError(
      "InvalidParameterCombination",
      "You may not attach a network interface to an instance if they are not in the same availability zone",
    );
  }
  const present = cloud.interfacesOf(instanceId);
  if (present.some(({ attachment }) => attachment!.deviceIndex === index)) {
    throw invalidValue(
      `Instance '${instanceId}' already has an interface attached at device index '${index}'.`,
    );
  }
  const limit = cloud.instanceTypes.get(instance.type)!.interfaces;
  if (present.length >= limit) {
    throw new AwsError(
      "AttachmentLimitExceeded",
      `Interface count ${present.length + 1} exceeds the limit for ${instance.type}`,
    );
  }
  const attachment = cloud.plug(eni, instanceId, index);
  cloud.changed();
  return attachment;
}

/** DetachNetworkInterface. */
export function detachInterface(cloud: Cloud, query: Query): boolean {
  const eni = attachedOf(cloud, query.required("AttachmentId"));
  const attachment = eni.attachment!;
  if (attachment.deviceIndex === 0) {
    throw new AwsError(
      "OperationNotPermitted",
      "The network interface at device index 0 and networkCard index 0 cannot be detached.",
    );
  }
  attachment.status = "detaching";
  attachment.looksLeft = cloud.settings.detachLooks;
  cloud.changed();
  return true;
}

/** DeleteNetworkInterface. */
export function deleteInterface(cloud: Cloud, query: Query): boolean {
  const eni = interfaceOf(cloud, query.required("NetworkInterfaceId"));
  lookAt(cloud, eni);
  if (eni.attachment !== undefined) throw invalidValue(`Network interface '${eni.id}' is currently in use.`);
  cloud.interfaces.delete(eni.id);
  cloud.changed();
  return true;
}

/** ModifyNetworkInterfaceAttribute: one attribute at a time. */
export function modifyInterface(cloud: Cloud, query: Query): boolean {
  const eni = interfaceOf(cloud, query.required("NetworkInterfaceId"));
  const check = query.flag("SourceDestCheck.Value");
  const attachmentId = query.text("Attachment.AttachmentId");
  const groups = query.list("SecurityGroupId");
  const asked = [check !== undefined, attachmentId !== undefined, groups.length > 0].filter(Boolean).length;
  if (asked === 0) {
    throw new AwsError("InvalidParameterCombination", "No attributes specified.");
  }
  if (asked > 1) {
    throw new AwsError("InvalidParameterCombination", "Fields for multiple attribute types specified.");
  }
  if (check !== undefined) eni.sourceDestCheck = check;
  for (const id of groups) checkGroup(cloud, id, eni.vpcId);
  if (groups.length > 0) eni.groups = groups;
  if (attachmentId !== undefined) {
    if (eni.attachment?.id !== attachmentId) attachedOf(cloud, attachmentId);
    if (eni.attachment?.id !== attachmentId) {
      throw invalidValue(`Attachment '${attachmentId}' is not one of '${eni.id}'.`);
    }
    eni.attachment.deleteOnTermination = query.flag("Attachment.DeleteOnTermination") ??
      eni.attachment.deleteOnTermination;
  }
  cloud.changed();
  return true;
}

function checkGroup(cloud: Cloud, id: string, vpcId: string): void {
  if (cloud.securityGroups.get(id)?.vpcId !== vpcId) {
    throw new AwsError("InvalidGroup.NotFound", `The security group '${id}' does not exist`);
  }
}

function attachedOf(cloud: Cloud, attachmentId: string): NetworkInterface {
  const eni = [...cloud.interfaces.values()].find(({ attachment }) => attachment?.id === attachmentId);
  if (eni === undefined) {
    throw new AwsError(
      "InvalidAttachmentID.NotFound",
      `The network interface attachment ID '${attachmentId}' does not exist`,
    );
  }
  return eni;
}

function subnetOf(cloud: Cloud, id: string): Subnet {
  const subnet = cloud.subnets.get(id);
  if (subnet === undefined) {
    throw new AwsError("InvalidSubnetID.NotFound", `The subnet ID '${id}' does not exist`);
  }
  return subnet;
}
