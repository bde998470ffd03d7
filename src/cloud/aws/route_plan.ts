import { familyOf, formatPrefix, isOverlapping, type Prefix, prefixEquals } from "../../model/address.ts";
import type { DesiredCloud } from "../../model/state.ts";
import type { CloudRoute, CloudTable } from "./ec2_calls.ts";

/** What the route tables are held against. */
export interface RoutePolicy {
  /** The network interface that packets for this host's pods are to come in by. */
  readonly eniId: string;
  /** All that are attached to this instance: what leads to one of them is this host's. */
  readonly attached: ReadonlySet<string>;
  /** Whether a route of this host's subnet that leads to another host gives way. */
  readonly takesForeign: boolean;
  /** Whether routes that hosts left behind which are gone are deleted. */
  readonly cleansBlackholes: boolean;
}

/** One call that a table needs. */
export interface CloudChange {
  readonly action: "CreateRoute" | "ReplaceRoute" | "DeleteRoute";
  readonly tableId: string;
  readonly destination: Prefix;
  /** Absent for `DeleteRoute`. */
  readonly eniId?: string;
}

/** A route of a table that is not ours, and takes packets for this host's pods. */
export interface ForeignCloudRoute {
  readonly tableId: string;
  readonly destination: Prefix;
  /** What it leads to: `eni-0abc`, `tgw-0abc`. */
  readonly target: string;
  /** Whether it takes all packets for one of this host's subnets, or those of a part. */
  readonly isWhole: boolean;
  /** Whether it is the VPC's own, which nobody may take. */
  readonly isLocal: boolean;
  /** Whether it was, or will be in this pass, replaced. */
  readonly isTaken: boolean;
}

/** What is to be done in the route tables, and what stands in the way. */
export interface CloudPlan {
  readonly changes: readonly CloudChange[];
  readonly foreign: readonly ForeignCloudRoute[];
  /** Subnets of other hosts that a table has no working route to. */
  readonly unrouted: readonly { readonly tableId: string; readonly subnet: Prefix }[];
  /** Cluster networks that overlap a prefix of the VPC itself. */
  readonly overlapping: readonly { readonly network: Prefix; readonly vpc: Prefix }[];
}

/** Compares what the route tables of a VPC must hold for this host with what they hold. */
export function planCloud(
  desired: DesiredCloud,
  tables: readonly CloudTable[],
  policy: RoutePolicy,
): CloudPlan {
  const plans = tables.map((table) => planTable(desired, table, policy));
  return {
    changes: plans.flatMap(({ changes }) => changes),
    foreign: plans.flatMap(({ foreign }) => foreign),
    unrouted: plans.flatMap(({ unrouted }) => unrouted),
    overlapping: overlapsOf(desired, tables),
  };
}

type TablePlan = Omit<CloudPlan, "overlapping">;

function planTable(
  desired: DesiredCloud,
  { id: tableId, routes }: CloudTable,
  policy: RoutePolicy,
): TablePlan {
  const changes: CloudChange[] = [];
  const foreign: ForeignCloudRoute[] = [];
  const find = (subnet: Prefix) =>
    routes.find((route) => !route.isPropagated && prefixEquals(route.destination, subnet));
  for (const subnet of desired.own) {
    const found = find(subnet);
    const make = (action: CloudChange["action"]) =>
      void changes.push({ action, tableId, destination: subnet, eniId: policy.eniId });
    if (found === undefined) make("CreateRoute");
    else if (found.isLocal || found.isBlackhole || found.eniId !== policy.eniId) {
      const { isLocal } = found;
      const isOwn = !isLocal &&
        (found.isBlackhole || found.eniId !== undefined && policy.attached.has(found.eniId));
      const isTaken = isOwn || !isLocal && policy.takesForeign;
      if (isTaken) make("ReplaceRoute");
      if (!isOwn) {
        foreign.push({
          tableId,
          destination: subnet,
          target: targetOf(found),
          isWhole: true,
          isLocal,
          isTaken,
        });
      }
    }
    // A longer prefix wins, and none of ours is longer than the subnet.
    for (const route of routes.filter((route) => isPartOf(route.destination, subnet))) {
      if (route.eniId === policy.eniId && !route.isBlackhole) continue;
      const { destination, isLocal } = route;
      foreign.push({
        tableId,
        destination,
        target: targetOf(route),
        isWhole: false,
        isLocal,
        isTaken: false,
      });
    }
  }
  const unrouted = desired.peers
    .filter((subnet) => find(subnet)?.isBlackhole !== false)
    .map((subnet) => ({ tableId, subnet }));
  for (const route of routes) {
    const isOver = policy.cleansBlackholes && isLeftBehind(route, desired) ||
      isFormer(route, desired, policy);
    if (isOver) changes.push({ action: "DeleteRoute", tableId, destination: route.destination });
  }
  return { changes, foreign, unrouted };
}

/**
 * Reports whether a route is one that a host of the cluster left behind: what it led to is gone, and it was a network
 * interface; and it is to what could be a host's subnet, and no host has that now.
 */
function isLeftBehind(route: CloudRoute, desired: DesiredCloud): boolean {
  const { destination, eniId, isBlackhole, isPropagated, isLocal } = route;
  if (!isBlackhole || isPropagated || isLocal || eniId === undefined) return false;
  return isSubnet(destination, desired) &&
    ![...desired.own, ...desired.peers].some((subnet) => isOverlapping(subnet, destination));
}

/**
 * Reports whether a route still leads to this host, which has another subnet now. A host that has that subnet replaces the
 * route itself, and what it has made since the look must not be deleted.
 */
function isFormer(
  route: CloudRoute,
  desired: DesiredCloud,
  { attached, takesForeign }: RoutePolicy,
): boolean {
  const { destination, eniId, isBlackhole, isPropagated, isLocal } = route;
  if (isBlackhole || isPropagated || isLocal || eniId === undefined || !attached.has(eniId)) return false;
  if (takesForeign && desired.peers.some((subnet) => prefixEquals(subnet, destination))) return false;
  return isSubnet(destination, desired) && !desired.own.some((subnet) => prefixEquals(subnet, destination));
}

/** Reports whether a prefix could be a host's subnet. */
function isSubnet(destination: Prefix, { networks }: DesiredCloud): boolean {
  return networks.some(({ network, subnetLength }) =>
    destination.length === subnetLength && isPartOf(destination, network)
  );
}

/** Reports whether `part` is inside `whole`, and smaller. */
function isPartOf(part: Prefix, whole: Prefix): boolean {
  return familyOf(part.address) === familyOf(whole.address) && part.length > whole.length &&
    isOverlapping(part, whole);
}

function targetOf({ eniId, target }: CloudRoute): string {
  return eniId ?? target ?? "nothing";
}

/** A route to a part of the VPC's own prefix is refused, or leads packets of the VPC astray. */
function overlapsOf({ networks }: DesiredCloud, tables: readonly CloudTable[]): CloudPlan["overlapping"] {
  const locals = new Map(
    tables.flatMap(({ routes }) => routes).filter(({ isLocal }) => isLocal)
      .map(({ destination }) => [formatPrefix(destination), destination]),
  );
  return networks.flatMap(({ network }) =>
    [...locals.values()].filter((vpc) => isOverlapping(network, vpc)).map((vpc) => ({ network, vpc }))
  );
}
