import { AwsError } from "./aws_error.ts";
import type { Cloud } from "./cloud.ts";
import type { Control } from "./control.ts";
import {
  groupShape,
  interfaceShape,
  reservationShape,
  routeTableShape,
  ruleShape,
  statusOf,
  subnetShape,
} from "./ec2_shapes.ts";
import { type FilterTable, pageOf, passes } from "./filters.ts";
import { lookAt } from "./interfaces.ts";
import type { Query } from "./query.ts";
import type {
  Instance,
  NetworkInterface,
  RouteTable,
  SecurityGroup,
  SecurityRule,
  Subnet,
  Tags,
} from "./resources.ts";
import { isIpv6, stateOf } from "./routes.ts";
import type { XmlValue } from "./xml.ts";

/** What a Describe action answers from. */
export interface DescribeDeps {
  readonly cloud: Cloud;
  readonly control: Control;
}

/** How one kind of resource is described. */
interface Kind<T> {
  /** The parameter with ids. */
  readonly ids: string;
  readonly all: ReadonlyMap<string, T>;
  readonly filters: FilterTable<T>;
  readonly maxResults: number;
  readonly notFound: (id: string) => AwsError;
  readonly set: string;
  readonly shape: (resource: T) => XmlValue;
}

/** DescribeRouteTables. */
export function describeRouteTables(query: Query, deps: DescribeDeps): XmlValue {
  const { cloud } = deps;
  const ipv4 = (table: RouteTable) => table.routes.filter(({ destination }) => !isIpv6(destination));
  const ipv6 = (table: RouteTable) => table.routes.filter(({ destination }) => isIpv6(destination));
  const filters: FilterTable<RouteTable> = {
    "route-table-id": ({ id }) => [id],
    "vpc-id": ({ vpcId }) => [vpcId],
    "owner-id": () => [cloud.account],
    "association.main": ({ isMain, subnetIds }) => [...isMain ? [true] : [], ...subnetIds.map(() => false)],
    "association.subnet-id": ({ subnetIds }) => subnetIds,
    "association.route-table-id": (table) => table.isMain || table.subnetIds.length > 0 ? [table.id] : [],
    "route.state": ({ routes }) => routes.map((route) => stateOf(cloud, route)),
    "route.destination-cidr-block": (table) => ipv4(table).map(({ destination }) => destination),
    "route.destination-ipv6-cidr-block": (table) => ipv6(table).map(({ destination }) => destination),
    "route.gateway-id": ({ routes }) =>
      routes.map(({ target }) => target).filter((one) => !one.startsWith("eni-")),
    "route.instance-id": ({ routes }) =>
      routes.map(({ target }) => cloud.interfaces.get(target)?.attachment?.instanceId),
    "route.origin": ({ routes }) => routes.map(({ origin }) => origin),
  };
  return describe(query, deps, {
    ids: "RouteTableId",
    all: cloud.routeTables,
    filters,
    maxResults: 100,
    notFound: (id) =>
      new AwsError("InvalidRouteTableID.NotFound", `The routeTable ID '${id}' does not exist`),
    set: "routeTableSet",
    shape: (table) => routeTableShape(cloud, table),
  });
}

/** DescribeNetworkInterfaces. */
export function describeNetworkInterfaces(query: Query, deps: DescribeDeps): XmlValue {
  const { cloud } = deps;
  const filters: FilterTable<NetworkInterface> = {
    "network-interface-id": ({ id }) => [id],
    "attachment.attachment-id": ({ attachment }) => [attachment?.id],
    "attachment.instance-id": ({ attachment }) => [attachment?.instanceId],
    "attachment.device-index": ({ attachment }) => [attachment?.deviceIndex],
    "attachment.status": ({ attachment }) => [attachment?.status],
    "attachment.delete-on-termination": ({ attachment }) => [attachment?.deleteOnTermination],
    "addresses.private-ip-address": ({ addresses }) => addresses,
    "private-ip-address": ({ addresses }) => addresses,
    "ipv6-addresses.ipv6-address": ({ ipv6Addresses }) => ipv6Addresses,
    "mac-address": ({ mac }) => [mac],
    "subnet-id": ({ subnetId }) => [subnetId],
    "vpc-id": ({ vpcId }) => [vpcId],
    "group-id": ({ groups }) => groups,
    "description": ({ description }) => [description],
    "source-dest-check": ({ sourceDestCheck }) => [sourceDestCheck],
    "status": (eni) => [statusOf(eni)],
    "availability-zone": ({ subnetId }) => [cloud.subnets.get(subnetId)!.zone],
  };
  for (const eni of cloud.interfaces.values()) lookAt(cloud, eni);
  return describe(query, deps, {
    ids: "NetworkInterfaceId",
    all: cloud.interfaces,
    filters,
    maxResults: 1000,
    notFound: (id) =>
      new AwsError("InvalidNetworkInterfaceID.NotFound", `The networkInterface ID '${id}' does not exist`),
    set: "networkInterfaceSet",
    shape: (eni) => interfaceShape(cloud, eni),
  });
}

/** DescribeInstances. */
export function describeInstances(query: Query, deps: DescribeDeps): XmlValue {
  const { cloud } = deps;
  const primary = ({ id }: Instance) => cloud.interfacesOf(id)[0];
  const filters: FilterTable<Instance> = {
    "instance-id": ({ id }) => [id],
    "instance-state-name": ({ state }) => [state],
    "instance-type": ({ type }) => [type],
    "vpc-id": (instance) => [primary(instance)?.vpcId],
    "subnet-id": (instance) => [primary(instance)?.subnetId],
    "private-ip-address": (instance) => [primary(instance)?.addresses[0]],
    "network-interface.network-interface-id": ({ id }) => cloud.interfacesOf(id).map((eni) => eni.id),
  };
  return describe(query, deps, {
    ids: "InstanceId",
    all: cloud.instances,
    filters,
    maxResults: 1000,
    notFound: (id) => new AwsError("InvalidInstanceID.NotFound", `The instance ID '${id}' does not exist`),
    set: "reservationSet",
    shape: (instance) => reservationShape(cloud, instance),
  });
}

/** DescribeSubnets. */
export function describeSubnets(query: Query, deps: DescribeDeps): XmlValue {
  const filters: FilterTable<Subnet> = {
    "subnet-id": ({ id }) => [id],
    "vpc-id": ({ vpcId }) => [vpcId],
    "cidr-block": ({ cidr }) => [cidr],
    "availability-zone": ({ zone }) => [zone],
  };
  return describe(query, deps, {
    ids: "SubnetId",
    all: deps.cloud.subnets,
    filters,
    maxResults: 1000,
    notFound: (id) => new AwsError("InvalidSubnetID.NotFound", `The subnet ID '${id}' does not exist`),
    set: "subnetSet",
    shape: (subnet) => subnetShape(deps.cloud, subnet),
  });
}

/** DescribeSecurityGroups. */
export function describeSecurityGroups(query: Query, deps: DescribeDeps): XmlValue {
  const filters: FilterTable<SecurityGroup> = {
    "group-id": ({ id }) => [id],
    "group-name": ({ name }) => [name],
    "vpc-id": ({ vpcId }) => [vpcId],
  };
  return describe(query, deps, {
    ids: "GroupId",
    all: deps.cloud.securityGroups,
    filters,
    maxResults: 1000,
    notFound: (id) => new AwsError("InvalidGroup.NotFound", `The security group '${id}' does not exist`),
    set: "securityGroupInfo",
    shape: (group) => groupShape(deps.cloud, group),
  });
}

/** DescribeSecurityGroupRules. */
export function describeSecurityGroupRules(query: Query, deps: DescribeDeps): XmlValue {
  interface OwnedRule extends SecurityRule {
    readonly group: SecurityGroup;
    readonly tags: Tags;
  }
  const rules = [...deps.cloud.securityGroups.values()].flatMap((group) =>
    group.rules.map((rule): [string, OwnedRule] => [rule.id, { ...rule, group, tags: {} }])
  );
  return describe<OwnedRule>(query, deps, {
    ids: "SecurityGroupRuleId",
    all: new Map(rules),
    filters: { "group-id": ({ group }) => [group.id], "security-group-rule-id": ({ id }) => [id] },
    maxResults: 1000,
    notFound: (id) =>
      new AwsError(
        "InvalidSecurityGroupRuleId.NotFound",
        `The security group rule ID '${id}' does not exist`,
      ),
    set: "securityGroupRuleSet",
    shape: ({ group, ...rule }) => ruleShape(deps.cloud, group, rule),
  });
}

/** DescribeInstanceTypes. */
export function describeInstanceTypes(query: Query, deps: DescribeDeps): XmlValue {
  const types = [...deps.cloud.instanceTypes].map(([id, type]) => ({ id, ...type, tags: {} }));
  return describe(query, deps, {
    ids: "InstanceType",
    all: new Map(types.map((type) => [type.id, type])),
    filters: { "instance-type": ({ id }) => [id] },
    maxResults: 100,
    notFound: (id) =>
      new AwsError("InvalidInstanceType", `The following supplied instance types do not exist: [${id}]`),
    set: "instanceTypeSet",
    shape: ({ id, interfaces, addressesPerInterface }) => ({
      instanceType: id,
      networkInfo: {
        maximumNetworkInterfaces: interfaces,
        maximumNetworkCards: 1,
        defaultNetworkCardIndex: 0,
        ipv4AddressesPerInterface: addressesPerInterface,
        ipv6AddressesPerInterface: addressesPerInterface,
        ipv6Supported: true,
        enaSupport: "required",
      },
    }),
  });
}

function describe<T extends { readonly id: string; readonly tags: Tags }>(
  query: Query,
  { control }: DescribeDeps,
  kind: Kind<T>,
): XmlValue {
  const ids = query.list(kind.ids);
  const { filters } = query;
  const isPaged = query.text("MaxResults") !== undefined;
  if (control.isUnqualifiedRefused && ids.length === 0 && filters.length === 0 && !isPaged) {
    throw new AwsError("OperationNotPermitted", "Unpaginated and unqualified requests are not permitted.");
  }
  const missing = ids.find((id) => !kind.all.has(id));
  if (missing !== undefined) throw kind.notFound(missing);
  const isWanted = (resource: T) =>
    passes(resource, filters, kind.filters) && (ids.length === 0 || ids.includes(resource.id));
  const { page, nextToken } = pageOf(query, [...kind.all.values()], isWanted, {
    ids: kind.ids,
    max: kind.maxResults,
    isCutFirst: control.isCutFirst,
  });
  return { [kind.set]: page.map(kind.shape), nextToken };
}
