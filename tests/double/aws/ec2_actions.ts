import { AwsError } from "./aws_error.ts";
import type { Cloud } from "./cloud.ts";
import {
  type DescribeDeps,
  describeInstances,
  describeInstanceTypes,
  describeNetworkInterfaces,
  describeRouteTables,
  describeSecurityGroupRules,
  describeSecurityGroups,
  describeSubnets,
} from "./ec2_describe.ts";
import { interfaceShape } from "./ec2_shapes.ts";
import { assignAddresses, assignIpv6, unassignAddresses } from "./interface_addresses.ts";
import {
  attachInterface,
  createInterface,
  deleteInterface,
  detachInterface,
  modifyInterface,
} from "./interfaces.ts";
import type { Wish } from "./policy.ts";
import type { Query } from "./query.ts";
import type { Tags } from "./resources.ts";
import { createRoute, deleteRoute, replaceRoute } from "./routes.ts";
import type { XmlValue } from "./xml.ts";

/** One action of EC2. */
export interface Action {
  /** The parameters that it knows, by their first part. */
  readonly parameters: string;
  /** What its caller must be allowed; a Describe action needs it of no resource. */
  readonly wishes?: (query: Query, cloud: Cloud) => readonly Wish[];
  readonly run: (query: Query, deps: DescribeDeps) => XmlValue;
}

const PAGES = "MaxResults NextToken Filter";
const ROUTE = "RouteTableId DestinationCidrBlock DestinationIpv6CidrBlock";
const TARGET = `${ROUTE} NetworkInterfaceId InstanceId GatewayId`;
/** Kinds of resources by how their ids begin. */
const KINDS: Readonly<Record<string, string>> = {
  "rtb": "route-table",
  "eni": "network-interface",
  "i": "instance",
  "subnet": "subnet",
  "sg": "security-group",
  "vpc": "vpc",
};

/** Every action that is understood, by its name. */
export const EC2_ACTIONS: Readonly<Record<string, Action>> = {
  DescribeRouteTables: { parameters: `RouteTableId ${PAGES}`, run: describeRouteTables },
  DescribeNetworkInterfaces: { parameters: `NetworkInterfaceId ${PAGES}`, run: describeNetworkInterfaces },
  DescribeInstances: { parameters: `InstanceId ${PAGES}`, run: describeInstances },
  DescribeInstanceTypes: { parameters: `InstanceType ${PAGES}`, run: describeInstanceTypes },
  DescribeSubnets: { parameters: `SubnetId ${PAGES}`, run: describeSubnets },
  DescribeSecurityGroups: { parameters: `GroupId ${PAGES}`, run: describeSecurityGroups },
  DescribeSecurityGroupRules: { parameters: `SecurityGroupRuleId ${PAGES}`, run: describeSecurityGroupRules },
  CreateRoute: {
    parameters: TARGET,
    wishes: (query, cloud) => wishesFor("CreateRoute", cloud, [query.required("RouteTableId")]),
    run: (query, { cloud }) => ({ return: createRoute(cloud, query) }),
  },
  ReplaceRoute: {
    parameters: `${TARGET} LocalTarget`,
    wishes: (query, cloud) => wishesFor("ReplaceRoute", cloud, [query.required("RouteTableId")]),
    run: (query, { cloud }) => ({ return: replaceRoute(cloud, query) }),
  },
  DeleteRoute: {
    parameters: ROUTE,
    wishes: (query, cloud) => wishesFor("DeleteRoute", cloud, [query.required("RouteTableId")]),
    run: (query, { cloud }) => ({ return: deleteRoute(cloud, query) }),
  },
  CreateNetworkInterface: {
    parameters: "SubnetId SecurityGroupId Description PrivateIpAddress PrivateIpAddresses ClientToken " +
      "SecondaryPrivateIpAddressCount Ipv4Prefix Ipv4PrefixCount Ipv6AddressCount TagSpecification",
    wishes: wishesToCreate,
    run: (query, { cloud }) => ({
      networkInterface: interfaceShape(cloud, createInterface(cloud, query)),
      clientToken: query.text("ClientToken"),
    }),
  },
  AttachNetworkInterface: {
    parameters: "NetworkInterfaceId InstanceId DeviceIndex NetworkCardIndex",
    wishes: (query, cloud) =>
      wishesFor("AttachNetworkInterface", cloud, [
        query.required("NetworkInterfaceId"),
        query.required("InstanceId"),
      ]),
    run: (query, { cloud }) => ({ attachmentId: attachInterface(cloud, query).id, networkCardIndex: 0 }),
  },
  DetachNetworkInterface: {
    parameters: "AttachmentId Force",
    wishes: (query, cloud) => {
      const id = query.required("AttachmentId");
      const eni = [...cloud.interfaces.values()].find(({ attachment }) => attachment?.id === id);
      const ids = eni === undefined ? ["eni-unknown"] : [eni.id, eni.attachment!.instanceId];
      return wishesFor("DetachNetworkInterface", cloud, ids);
    },
    run: (query, { cloud }) => ({ return: detachInterface(cloud, query) }),
  },
  DeleteNetworkInterface: {
    parameters: "NetworkInterfaceId",
    wishes: onInterface("DeleteNetworkInterface"),
    run: (query, { cloud }) => ({ return: deleteInterface(cloud, query) }),
  },
  ModifyNetworkInterfaceAttribute: {
    parameters: "NetworkInterfaceId SourceDestCheck Attachment SecurityGroupId",
    wishes: (query, cloud) =>
      wishesFor("ModifyNetworkInterfaceAttribute", cloud, [
        query.required("NetworkInterfaceId"),
        ...query.list("SecurityGroupId"),
      ]),
    run: (query, { cloud }) => ({ return: modifyInterface(cloud, query) }),
  },
  AssignPrivateIpAddresses: {
    parameters: "NetworkInterfaceId PrivateIpAddress SecondaryPrivateIpAddressCount AllowReassignment " +
      "Ipv4Prefix Ipv4PrefixCount",
    wishes: onInterface("AssignPrivateIpAddresses"),
    run: (query, { cloud }) => {
      const { addresses, prefixes } = assignAddresses(cloud, query);
      return {
        networkInterfaceId: query.text("NetworkInterfaceId"),
        assignedPrivateIpAddressesSet: addresses.map((privateIpAddress) => ({ privateIpAddress })),
        assignedIpv4PrefixSet: prefixes.map((ipv4Prefix) => ({ ipv4Prefix })),
        return: true,
      };
    },
  },
  UnassignPrivateIpAddresses: {
    parameters: "NetworkInterfaceId PrivateIpAddress Ipv4Prefix",
    wishes: onInterface("UnassignPrivateIpAddresses"),
    run: (query, { cloud }) => ({ return: unassignAddresses(cloud, query) }),
  },
  AssignIpv6Addresses: {
    parameters: "NetworkInterfaceId Ipv6Addresses Ipv6AddressCount",
    wishes: onInterface("AssignIpv6Addresses"),
    run: (query, { cloud }) => ({
      networkInterfaceId: query.text("NetworkInterfaceId"),
      assignedIpv6Addresses: assignIpv6(cloud, query),
    }),
  },
  CreateTags: {
    parameters: "ResourceId Tag",
    wishes: (query, cloud) =>
      wishesFor("CreateTags", cloud, query.list("ResourceId"), requestTags(query.tags)),
    run: (query, { cloud }) => ({ return: createTags(cloud, query) }),
  },
};

function createTags(cloud: Cloud, query: Query): boolean {
  const found = query.list("ResourceId").map((id) => {
    const resource = resourceOf(cloud, id);
    if (resource === undefined) throw new AwsError("InvalidID", `The ID '${id}' is not valid`);
    return resource;
  });
  for (const resource of found) resource.tags = { ...resource.tags, ...query.tags };
  cloud.changed();
  return true;
}

function onInterface(action: string): (query: Query, cloud: Cloud) => readonly Wish[] {
  return (query, cloud) => wishesFor(action, cloud, [query.required("NetworkInterfaceId")]);
}

/** One wish for each resource that is touched: each must be allowed. */
function wishesFor(action: string, cloud: Cloud, ids: readonly string[], more: Wish["context"] = {}): Wish[] {
  return ids.map((id) => {
    const resource = resourceOf(cloud, id);
    const kind = KINDS[id.slice(0, id.indexOf("-"))] ?? "*";
    const tags = Object.entries(resource?.tags ?? {}).flatMap(([key, value]) => [
      [`aws:ResourceTag/${key}`, value],
      [`ec2:ResourceTag/${key}`, value],
    ]);
    return {
      action: `ec2:${action}`,
      resource: cloud.arn(kind, id),
      context: { ...contextOf(cloud, resource?.vpcId), ...Object.fromEntries(tags), ...more },
    };
  });
}

/**
 * A new ENI is `*` still, and has no VPC yet: only its tags can be asked for, and not of the subnet and the groups. Tags
 * that it begins with are a wish of their own. See "Actions, resources, and condition keys for Amazon EC2".
 */
function wishesToCreate(query: Query, cloud: Cloud): readonly Wish[] {
  const action = "CreateNetworkInterface";
  const subnetId = query.required("SubnetId");
  const tags = query.tagsFor("network-interface");
  const resource = cloud.arn("network-interface", "*");
  const context = { "ec2:Region": cloud.region, ...requestTags(tags) };
  const ofVpc = contextOf(cloud, cloud.subnets.get(subnetId)?.vpcId);
  return [
    { action: `ec2:${action}`, resource, context },
    ...wishesFor(action, cloud, [subnetId, ...query.list("SecurityGroupId")]),
    ...Object.keys(tags).length > 0
      ? [{
        action: "ec2:CreateTags",
        resource,
        context: { ...context, ...ofVpc, "ec2:CreateAction": action },
      }]
      : [],
  ];
}

function requestTags(tags: Tags): Wish["context"] {
  const entries = Object.entries(tags).map(([key, value]) => [`aws:RequestTag/${key}`, value]);
  const keys = Object.keys(tags);
  return { ...Object.fromEntries(entries), ...keys.length > 0 && { "aws:TagKeys": keys } };
}

function contextOf(cloud: Cloud, vpcId: string | undefined): Wish["context"] {
  return { "ec2:Region": cloud.region, ...vpcId !== undefined && { "ec2:Vpc": cloud.arn("vpc", vpcId) } };
}

function resourceOf(cloud: Cloud, id: string): { tags: Tags; readonly vpcId?: string } | undefined {
  return cloud.routeTables.get(id) ?? cloud.interfaces.get(id) ?? cloud.instances.get(id) ??
    cloud.subnets.get(id) ?? cloud.securityGroups.get(id) ?? cloud.vpcs.get(id);
}
