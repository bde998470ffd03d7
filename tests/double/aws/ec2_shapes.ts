import type { Cloud } from "./cloud.ts";
import type {
  Attachment,
  Instance,
  NetworkInterface,
  RouteTable,
  SecurityGroup,
  SecurityRule,
  Subnet,
  Tags,
} from "./resources.ts";
import { describedRoutes, isIpv6, stateOf } from "./routes.ts";
import type { XmlValue } from "./xml.ts";

/** When everything was made, as far as anybody asks. */
const MADE_AT = new Date("2026-01-01T00:00:00Z");
/** EC2's numbers of the states of an instance. */
const STATE_CODES: Readonly<Record<Instance["state"], number>> = {
  "pending": 0,
  "running": 16,
  "shutting-down": 32,
  "terminated": 48,
  "stopping": 64,
  "stopped": 80,
};

/** `RouteTable` of EC2's service model. */
export function routeTableShape(cloud: Cloud, table: RouteTable): XmlValue {
  const association = (member: Readonly<Record<string, XmlValue>>, at: number) => ({
    routeTableAssociationId: `rtbassoc-${table.id.slice(4)}${at}`,
    routeTableId: table.id,
    ...member,
    associationState: { state: "associated" },
  });
  const associations = [
    ...table.isMain ? [{ main: true }] : [],
    ...table.subnetIds.map((subnetId) => ({ subnetId, main: false })),
  ];
  return {
    routeTableId: table.id,
    vpcId: table.vpcId,
    ownerId: cloud.account,
    routeSet: describedRoutes(table).map((route) => {
      const { destination, target, origin } = route;
      const instanceId = cloud.interfaces.get(target)?.attachment?.instanceId;
      return {
        [isIpv6(destination) ? "destinationIpv6CidrBlock" : "destinationCidrBlock"]: destination,
        ...target.startsWith("eni-")
          ? {
            instanceId,
            instanceOwnerId: instanceId && cloud.account,
            networkInterfaceId: target,
          }
          : { gatewayId: target },
        state: stateOf(cloud, route),
        origin,
      };
    }),
    associationSet: associations.map(association),
    propagatingVgwSet: [],
    tagSet: tagShape(table.tags),
  };
}

/** `NetworkInterface` of EC2's service model. */
export function interfaceShape(cloud: Cloud, eni: NetworkInterface): XmlValue {
  return {
    ...sharedShape(cloud, eni),
    availabilityZone: cloud.subnets.get(eni.subnetId)!.zone,
    requesterManaged: false,
    attachment: eni.attachment && {
      ...attachmentShape(eni.attachment),
      instanceId: eni.attachment.instanceId,
      instanceOwnerId: cloud.account,
    },
    tagSet: tagShape(eni.tags),
  };
}

/** `InstanceNetworkInterface` of EC2's service model: less. */
function instanceInterfaceShape(cloud: Cloud, eni: NetworkInterface): XmlValue {
  return { ...sharedShape(cloud, eni), attachment: attachmentShape(eni.attachment!) };
}

function sharedShape(cloud: Cloud, eni: NetworkInterface): Readonly<Record<string, XmlValue>> {
  return {
    networkInterfaceId: eni.id,
    subnetId: eni.subnetId,
    vpcId: eni.vpcId,
    description: eni.description,
    ownerId: cloud.account,
    status: statusOf(eni),
    macAddress: eni.mac,
    privateIpAddress: eni.addresses[0],
    sourceDestCheck: eni.sourceDestCheck,
    groupSet: groupsShape(cloud, eni),
    privateIpAddressesSet: eni.addresses.map((privateIpAddress, at) => ({
      privateIpAddress,
      primary: at === 0,
    })),
    ipv4PrefixSet: eni.ipv4Prefixes.map((ipv4Prefix) => ({ ipv4Prefix })),
    ipv6AddressesSet: eni.ipv6Addresses.map((ipv6Address) => ({ ipv6Address })),
    interfaceType: "interface",
  };
}

function attachmentShape(attachment: Attachment): Readonly<Record<string, XmlValue>> {
  return {
    attachmentId: attachment.id,
    deviceIndex: attachment.deviceIndex,
    networkCardIndex: 0,
    status: attachment.status,
    attachTime: MADE_AT,
    deleteOnTermination: attachment.deleteOnTermination,
  };
}

export function statusOf({ attachment }: NetworkInterface): string {
  return attachment === undefined ? "available" : attachment.status === "attached" ? "in-use" : "detaching";
}

/** `Reservation` of EC2's service model, with one instance. */
export function reservationShape(cloud: Cloud, instance: Instance): XmlValue {
  const interfaces = cloud.interfacesOf(instance.id);
  const [primary] = interfaces;
  return {
    reservationId: `r-${instance.id.slice(2)}`,
    ownerId: cloud.account,
    groupSet: [],
    instancesSet: [{
      instanceId: instance.id,
      imageId: "ami-00000000000000001",
      instanceState: { code: STATE_CODES[instance.state], name: instance.state },
      instanceType: instance.type,
      launchTime: MADE_AT,
      placement: { availabilityZone: instance.zone, tenancy: "default" },
      ...primary && {
        subnetId: primary.subnetId,
        vpcId: primary.vpcId,
        privateIpAddress: primary.addresses[0],
        sourceDestCheck: primary.sourceDestCheck,
        groupSet: groupsShape(cloud, primary),
      },
      networkInterfaceSet: interfaces.map((eni) => instanceInterfaceShape(cloud, eni)),
      tagSet: tagShape(instance.tags),
    }],
  };
}

/** `Subnet` of EC2's service model. */
export function subnetShape(cloud: Cloud, subnet: Subnet): XmlValue {
  return {
    subnetId: subnet.id,
    subnetArn: cloud.arn("subnet", subnet.id),
    state: "available",
    ownerId: cloud.account,
    vpcId: subnet.vpcId,
    cidrBlock: subnet.cidr,
    ipv6CidrBlockAssociationSet: subnet.ipv6Cidr === undefined ? [] : [{
      ipv6CidrBlock: subnet.ipv6Cidr,
      associationId: `subnet-cidr-assoc-${subnet.id.slice(7)}`,
      ipv6CidrBlockState: { state: "associated" },
    }],
    availabilityZone: subnet.zone,
    mapPublicIpOnLaunch: false,
    tagSet: tagShape(subnet.tags),
  };
}

/** `SecurityGroup` of EC2's service model. */
export function groupShape(cloud: Cloud, group: SecurityGroup): XmlValue {
  const permission = (rule: SecurityRule) => {
    const { protocol, ports, peer } = rule;
    const kind = peer.startsWith("sg-") ? "group" : isIpv6(peer) ? "ipv6" : "ipv4";
    return {
      ipProtocol: protocol,
      ...ports && { fromPort: ports[0], toPort: ports[1] },
      groups: kind === "group" ? [{ userId: cloud.account, groupId: peer }] : [],
      ipRanges: kind === "ipv4" ? [{ cidrIp: peer }] : [],
      ipv6Ranges: kind === "ipv6" ? [{ cidrIpv6: peer }] : [],
      prefixListIds: [],
    };
  };
  return {
    ownerId: cloud.account,
    groupId: group.id,
    groupName: group.name,
    groupDescription: group.name,
    vpcId: group.vpcId,
    ipPermissions: group.rules.filter(({ isEgress }) => !isEgress).map(permission),
    ipPermissionsEgress: group.rules.filter(({ isEgress }) => isEgress).map(permission),
    tagSet: tagShape(group.tags),
  };
}

/** `SecurityGroupRule` of EC2's service model. */
export function ruleShape(cloud: Cloud, group: SecurityGroup, rule: SecurityRule): XmlValue {
  const { peer, ports } = rule;
  return {
    securityGroupRuleId: rule.id,
    groupId: group.id,
    groupOwnerId: cloud.account,
    isEgress: rule.isEgress,
    ipProtocol: rule.protocol,
    fromPort: ports?.[0] ?? -1,
    toPort: ports?.[1] ?? -1,
    ...peer.startsWith("sg-")
      ? { referencedGroupInfo: { groupId: peer, userId: cloud.account } }
      : { [isIpv6(peer) ? "cidrIpv6" : "cidrIpv4"]: peer },
    tagSet: [],
  };
}

function tagShape(tags: Tags): XmlValue {
  return Object.entries(tags).map(([key, value]) => ({ key, value }));
}

function groupsShape(cloud: Cloud, eni: NetworkInterface): XmlValue {
  return eni.groups.map((groupId) => ({ groupId, groupName: cloud.securityGroups.get(groupId)!.name }));
}
