import { AF_INET6, familyOf, formatPrefix } from "../../model/address.ts";
import type { Condition } from "../../model/condition.ts";
import type { CloudTable } from "./ec2_calls.ts";
import type { Ec2Error } from "./ec2_error.ts";
import type { CloudChange, CloudPlan, ForeignCloudRoute } from "./route_plan.ts";

/** What each action acts on, in the policy that allows it. */
const RESOURCES: Readonly<Record<string, string>> = {
  AssignIpv6Addresses: "network-interface/*",
  AssignPrivateIpAddresses: "network-interface/*",
  AttachNetworkInterface: "network-interface/* and instance/*",
  CreateNetworkInterface: "network-interface/*, subnet/* and security-group/*",
  CreateRoute: "route-table/*",
  CreateTags: "network-interface/*",
  DeleteNetworkInterface: "network-interface/*",
  DeleteRoute: "route-table/*",
  ModifyNetworkInterfaceAttribute: "network-interface/*",
  ReplaceRoute: "route-table/*",
};

/** What is wrong with a call, for a person. */
export function callReason(error: Ec2Error, resource: string): string {
  if (!error.isRefusal) return error.message;
  const allowed = RESOURCES[error.action] ?? "*";
  return `the role of this host may not ec2:${error.action} on ${resource}: allow it on ${allowed} ` +
    `in its policy (${error.message})`;
}

/** That a table takes no more routes. */
export function quotaReason(table: CloudTable | undefined, change: CloudChange): string {
  const family = familyOf(change.destination.address);
  // The VPC's own routes do not count.
  const count = table?.routes.filter(({ destination, isLocal }) =>
    familyOf(destination.address) === family && !isLocal
  ).length;
  const kind = family === AF_INET6 ? "IPv6" : "IPv4";
  const used = count === undefined ? "" : ` of ${count} routes of ${kind}`;
  return `the route table ${change.tableId}${used} is full: its quota is no larger ("routes per route table", 500 if ` +
    "it was never raised, 1,000 at most); raise it in Service Quotas, or name another table";
}

/** That a route of another is left where this host's is to be. */
export function conflictReason({ tableId, target, isLocal }: ForeignCloudRoute): string {
  if (isLocal) {
    return `the route table ${tableId} has it as a prefix of the VPC itself; choose another network`;
  }
  return `the route table ${tableId} leads it to ${target}; delete that route, or set RouteConflict to replace`;
}

/** What of a plan an operator has to know, whatever becomes of its changes. */
export function planConditions(plan: CloudPlan): Condition[] {
  const { foreign, overlapping } = plan;
  return [
    ...overlapping.map(({ network, vpc }): Condition => ({
      code: "cloud-network-overlaps",
      sentence: `the network ${formatPrefix(network)} overlaps ${formatPrefix(vpc)} of the VPC itself; ` +
        "choose another one of the two",
    })),
    ...foreign.filter(({ isWhole, isLocal }) => !isWhole && !isLocal).map((
      { tableId, destination, target },
    ): Condition => ({
      code: "cloud-route-foreign",
      sentence: `the route table ${tableId} leads ${formatPrefix(destination)} to ${target}, ` +
        "which takes packets for pods of this host; delete that route",
    })),
  ];
}
