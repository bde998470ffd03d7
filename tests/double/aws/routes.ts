import { isOverlapping, parsePrefix, prefixEquals } from "../../../src/model/address.ts";
import { AwsError, invalidValue } from "./aws_error.ts";
import type { Cloud } from "./cloud.ts";
import type { Query } from "./query.ts";
import {
  canonicalPrefix,
  type Instance,
  type NetworkInterface,
  type Route,
  type RouteTable,
} from "./resources.ts";

/** A route as packets meet it. */
export interface Way {
  readonly destination: string;
  readonly state: "active" | "blackhole";
  /** The ENI that it leads to; `undefined` for a local route or a gateway, and for an ENI that is gone. */
  readonly eni: NetworkInterface | undefined;
}

/** Whose interfaces packets can't be delivered to. One that is still stopping can. */
const DEAD: readonly Instance["state"][] = ["stopped", "terminated"];

/** The ways out of a subnet, for what plays the VPC's router. */
export function waysOf(cloud: Cloud, subnetId: string): readonly Way[] {
  return cloud.tableOf(subnetId).routes.map((route) => ({
    destination: route.destination,
    state: stateOf(cloud, route),
    eni: cloud.interfaces.get(route.target),
  }));
}

/** A route to an ENI that is gone, unplugged, or in an instance that does not run is a black hole. */
export function stateOf(cloud: Cloud, { target }: Route): Way["state"] {
  if (!target.startsWith("eni-")) return "active";
  const attachment = cloud.interfaces.get(target)?.attachment;
  if (attachment?.status !== "attached") return "blackhole";
  const instance = cloud.instances.get(attachment.instanceId);
  return instance === undefined || DEAD.includes(instance.state) ? "blackhole" : "active";
}

/** What DescribeRouteTables says now: it may be late. */
export function describedRoutes(table: RouteTable): readonly Route[] {
  if (table.stale === undefined) return table.routes;
  const { routes } = table.stale;
  if (--table.stale.left <= 0) delete table.stale;
  return routes;
}

/** CreateRoute. */
export function createRoute(cloud: Cloud, query: Query): boolean {
  const table = tableOf(cloud, query);
  const destination = destinationOf(query, true);
  const target = targetOf(cloud, table, query);
  checkInsideVpc(cloud, table, destination, target);
  if (table.routes.some((route) => route.destination === destination)) {
    throw new AwsError("RouteAlreadyExists", `The route identified by ${destination} already exists.`);
  }
  const isSameFamily = (route: Route) => isIpv6(route.destination) === isIpv6(destination);
  const used = table.routes.filter((route) => route.target !== "local" && isSameFamily(route)).length;
  if (used >= cloud.settings.routesPerTable) {
    throw new AwsError("RouteLimitExceeded", "The maximum number of routes has been reached.");
  }
  write(cloud, table, [...table.routes, { destination, target, origin: "CreateRoute" }]);
  return true;
}

/** ReplaceRoute. */
export function replaceRoute(cloud: Cloud, query: Query): boolean {
  const table = tableOf(cloud, query);
  const destination = destinationOf(query, false);
  const isLocalTarget = query.flag("LocalTarget") ?? false;
  const target = isLocalTarget ? "local" : targetOf(cloud, table, query);
  const old = table.routes.find((route) => route.destination === destination);
  if (old === undefined) {
    throw invalidValue(
      `There is no route defined for '${destination}' in the route table. Use CreateRoute instead.`,
    );
  }
  if (isLocalTarget && old.origin !== "CreateRouteTable") {
    throw invalidValue(`The route '${destination}' is not a local route.`);
  }
  write(cloud, table, table.routes.map((route) => route === old ? { ...old, target } : route));
  return true;
}

/** DeleteRoute. */
export function deleteRoute(cloud: Cloud, query: Query): boolean {
  const table = tableOf(cloud, query);
  const destination = destinationOf(query, false);
  const old = table.routes.find((route) => route.destination === destination);
  if (old === undefined) {
    const kind = isIpv6(destination) ? "destination-ipv6-cidr-block" : "destination-cidr-block";
    throw new AwsError(
      "InvalidRoute.NotFound",
      `no route with ${kind} ${destination} in route table ${table.id}`,
    );
  }
  if (old.origin === "CreateRouteTable") {
    throw invalidValue(`cannot remove local route ${destination} in route table ${table.id}`);
  }
  write(cloud, table, table.routes.filter((route) => route !== old));
  return true;
}

export function isIpv6(destination: string): boolean {
  return destination.includes(":");
}

function write(cloud: Cloud, table: RouteTable, routes: Route[]): void {
  const left = cloud.settings.staleLooks;
  if (left > 0) table.stale = { routes: table.stale?.routes ?? table.routes, left };
  table.routes = routes;
  cloud.changed();
}

/** @throws {AwsError} If the table does not exist. */
function tableOf(cloud: Cloud, query: Query): RouteTable {
  const id = query.required("RouteTableId");
  const table = cloud.routeTables.get(id);
  if (table === undefined) {
    throw new AwsError("InvalidRouteTableID.NotFound", `The routeTable ID '${id}' does not exist`);
  }
  return table;
}

/** @param isForgiving Host bits are cleared: only what creates a route does that, all else has to name it exactly. */
function destinationOf(query: Query, isForgiving: boolean): string {
  const [ipv4, ipv6] = [query.text("DestinationCidrBlock"), query.text("DestinationIpv6CidrBlock")];
  if ((ipv4 === undefined) === (ipv6 === undefined)) {
    throw ipv4 === undefined
      ? new AwsError("MissingParameter", "The request must contain the parameter destinationCidrBlock")
      : new AwsError("InvalidParameterCombination", "Only one destination can be specified.");
  }
  const text = ipv4 ?? ipv6!;
  const parameter = ipv4 === undefined ? "destinationIpv6CidrBlock" : "destinationCidrBlock";
  const canonical = canonicalPrefix(text, parameter, ipv4 === undefined);
  return isForgiving || ipv4 === undefined ? canonical : text;
}

function targetOf(cloud: Cloud, table: RouteTable, query: Query): string {
  const [eni, instance, gateway] = ["NetworkInterfaceId", "InstanceId", "GatewayId"]
    .map((name) => query.text(name));
  const given = [eni, instance, gateway].filter((one) => one !== undefined);
  if (given.length !== 1) {
    throw given.length === 0
      ? new AwsError(
        "MissingParameter",
        "The request must contain exactly one of gatewayId, natGatewayId, networkInterfaceId, vpcPeeringConnectionId, egressOnlyInternetGatewayId or transitGatewayId",
      )
      : new AwsError("InvalidParameterCombination", "Only one route target can be specified.");
  }
  if (gateway !== undefined) return gateway;
  const target = eni ?? onlyInterfaceOf(cloud, instance!);
  const found = cloud.interfaces.get(target);
  if (found === undefined) {
    throw new AwsError(
      "InvalidNetworkInterfaceID.NotFound",
      `The networkInterface ID '${target}' does not exist`,
    );
  }
  if (found.vpcId !== table.vpcId) {
    throw invalidValue(`route table ${table.id} and interface ${target} belong to different networks`);
  }
  return target;
}

function onlyInterfaceOf(cloud: Cloud, instanceId: string): string {
  if (!cloud.instances.has(instanceId)) {
    throw new AwsError("InvalidInstanceID.NotFound", `The instance ID '${instanceId}' does not exist`);
  }
  const [only, ...more] = cloud.interfacesOf(instanceId);
  if (only === undefined || more.length > 0) {
    throw new AwsError(
      "InvalidInstanceID",
      `There are multiple interfaces attached to instance '${instanceId}'. Please specify an interface ID for the operation instead.`,
    );
  }
  return only.id;
}

/** What lies in the VPC can only be sent elsewhere as a whole subnet, and only to an ENI. */
function checkInsideVpc(cloud: Cloud, table: RouteTable, destination: string, target: string): void {
  const { cidrs, ipv6Cidrs } = cloud.vpcs.get(table.vpcId)!;
  const prefix = parsePrefix(destination);
  const around = [...cidrs, ...ipv6Cidrs].map(parsePrefix)
    .find((own) => isOverlapping(own, prefix) && own.length < prefix.length);
  if (around === undefined) return;
  if (!target.startsWith("eni-")) {
    throw invalidValue(
      "Route target is not supported. This route only supports interface and instance targets.",
    );
  }
  const subnets = [...cloud.subnets.values()].filter(({ vpcId }) => vpcId === table.vpcId);
  const isSubnet = subnets.flatMap(({ cidr, ipv6Cidr }) => [cidr, ...ipv6Cidr ? [ipv6Cidr] : []])
    .some((cidr) => prefixEquals(parsePrefix(cidr), prefix));
  if (!isSubnet) throw invalidValue("Route destination doesn't match any subnet CIDR blocks.");
}
