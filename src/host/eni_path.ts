import {
  type Address,
  AF_INET,
  AF_INET6,
  type Family,
  familyOf,
  formatAddress,
  formatPrefix,
  type Ipv4,
  parseIpv6,
  type Prefix,
  prefixEquals,
} from "../model/address.ts";
import type { CloudPath } from "../model/state.ts";
import { RTN_THROW, RTN_UNICAST, RTPROT_LODEN } from "../rtnetlink/route_header.ts";
import { FR_ACT_TO_TBL, type ObservedRule, type SourceRule } from "../rtnetlink/rule.ts";
import type { TableRoute } from "../rtnetlink/table_route.ts";

/**
 * The table that answers of pods are looked up in, and the priority of the rules that say so. In use by nobody who is
 * met on an instance: amazon-ec2-net-utils has 10001 and on for both; the AWS VPC CNI tables from 2 on and the
 * priorities 512, 1024 and 1536; Cilium the tables 10 and on, 200 to 202, 300 and on, 2004 and 2005 and the priorities
 * up to 111; tailscale table 52 and the priorities 5210 to 5270; cloud-init the tables from 100 on; OVN-Kubernetes
 * those from 1000 on and the priority 6000; kube-router 77 and 78; wg-quick 51820; systemd-networkd none by itself.
 */
export const ENI_TABLE = 7676;
export const ENI_PRIORITY = 7676;

/** Where a VPC's router is in each subnet with IPv6, since November 2022; it is no longer learnt of routers. */
const IPV6_GATEWAY = parseIpv6("fe80:ec2::1");
/** What the kernel gives an IPv6 route without a metric. */
const IPV6_METRIC = 1024;

/** What the way out by a network interface is made for. */
export interface EniPathWanted extends CloudPath {
  /** What packets of pods need. */
  readonly mtuBytes: number;
  /** The subnets of this host's pods. */
  readonly own: readonly Prefix[];
  /** The cluster networks. */
  readonly networks: readonly Prefix[];
}

/** Rules and routes, as the kernel is to have them. */
export interface EniPath {
  readonly rules: readonly SourceRule[];
  readonly routes: readonly TableRoute[];
  /** Families of `own` that the network interface has no subnet of. */
  readonly missing: readonly Family[];
}

/**
 * What sends packets of this host's pods out by the network interface that packets for them come in by.
 *
 * A VPC takes a packet whose source is no address of the network interface that it comes from only where that one's
 * check is off, which it is for the one that the route tables lead to, and not for that of the default route. So what
 * pods send to each other and into the VPC has to leave by the former: a rule for each own subnet leads into a table with
 * the cluster network and the VPC's prefixes, by way of the VPC's router. It is `onlink`, since the link may have no
 * address, or one without a route beside it.
 *
 * - Own subnets are thrown back to the main table: a packet with the bridge's address as its source is for a pod here.
 * - There is no default route: what leaves the VPC goes on by the main table, and gets the source of the link that it
 *   leaves by there, as masquerade does it.
 */
export function eniPath(
  { own, networks, vpcPrefixes, subnetPrefixes }: EniPathWanted,
  linkIndex: number,
): EniPath {
  const gateways = new Map(
    subnetPrefixes.map(({ address }) => [familyOf(address), gatewayOf(address)]),
  );
  const served = own.filter(({ address }) => gateways.has(familyOf(address)));
  const routes = served.map(({ address, length }): TableRoute => ({
    ...routeTo({ address, length }),
    type: RTN_THROW,
    linkIndex: 0,
    isOnlink: false,
  }));
  for (const destination of [...networks, ...vpcPrefixes]) {
    const family = familyOf(destination.address);
    const isServed = served.some(({ address }) => familyOf(address) === family);
    const isThere = routes.some((route) => prefixEquals(route.destination, destination));
    if (!isServed || isThere) continue;
    const gateway = gateways.get(family)!;
    routes.push({ ...routeTo(destination), type: RTN_UNICAST, linkIndex, gateway, isOnlink: true });
  }
  return {
    rules: served.map((source) => ({
      source,
      priority: ENI_PRIORITY,
      table: ENI_TABLE,
      protocol: RTPROT_LODEN,
    })),
    routes,
    missing: [AF_INET, AF_INET6].filter((family) =>
      !gateways.has(family as Family) && own.some(({ address }) => familyOf(address) === family)
    ) as Family[],
  };
}

/** The router of the VPC in a subnet: the address behind the subnet's own. */
function gatewayOf(subnet: Address): Address {
  return typeof subnet === "number" ? subnet + 1 as Ipv4 : IPV6_GATEWAY;
}

function routeTo(
  destination: Prefix,
): Pick<TableRoute, "destination" | "table" | "protocol" | "metric"> {
  const metric = familyOf(destination.address) === AF_INET6 ? IPV6_METRIC : 0;
  return { destination, table: ENI_TABLE, protocol: RTPROT_LODEN, metric };
}

/** What the kernel has, in both families. */
export interface ObservedEniPath {
  /** In the order in which the kernel goes by them, family by family. */
  readonly rules: readonly ObservedRule[];
  /** Those of the table. */
  readonly routes: readonly TableRoute[];
}

/** A change: `put` adds, or replaces what is in its place. */
export type EniPathStep =
  | { readonly action: "put" | "delete"; readonly kind: "rule"; readonly rule: SourceRule }
  | { readonly action: "put" | "delete"; readonly kind: "route"; readonly route: TableRoute };

/**
 * The rules that are ours.
 *
 * @returns As a `SourceRule` each, which is all that such a rule says.
 */
export function ourRules(rules: readonly ObservedRule[]): SourceRule[] {
  return rules.flatMap((rule) => isOurRule(rule) ? [rule] : []);
}

function isOurRule(rule: ObservedRule): rule is ObservedRule & SourceRule {
  return rule.protocol === RTPROT_LODEN && rule.table === ENI_TABLE && rule.action === FR_ACT_TO_TBL &&
    rule.source !== undefined;
}

/** The routes of the table that are ours. */
export function ourRoutes(routes: readonly TableRoute[]): TableRoute[] {
  return routes.filter(({ protocol }) => protocol === RTPROT_LODEN);
}

/** The changes from what is there to what is wanted: routes stand before a rule leads to them, and the new before the old goes. */
export function planEniPath(
  wanted: Pick<EniPath, "rules" | "routes">,
  observed: ObservedEniPath,
): readonly EniPathStep[] {
  const rules = ourRules(observed.rules);
  const routes = ourRoutes(observed.routes);
  const put = "put" as const;
  const remove = "delete" as const;
  const isThere = (route: TableRoute) => routes.some((one) => isSameRoute(one, route));
  // Others may have put one of that kind before the right one, which is not replaced then.
  const isReplaced = (one: TableRoute) =>
    wanted.routes.some((route) =>
      one.metric === route.metric && prefixEquals(one.destination, route.destination) &&
      (isSameRoute(one, route) || !isThere(route))
    );
  return [
    ...wanted.routes.filter((route) => !isThere(route))
      .map((route) => ({ action: put, kind: "route" as const, route })),
    ...wanted.rules.filter((rule) => !rules.some((one) => isSameRule(one, rule)))
      .map((rule) => ({ action: put, kind: "rule" as const, rule })),
    ...rules.filter((rule) => !wanted.rules.some((one) => isSameRule(one, rule)))
      .map((rule) => ({ action: remove, kind: "rule" as const, rule })),
    ...routes.filter((route) => !isReplaced(route))
      .map((route) => ({ action: remove, kind: "route" as const, route })),
  ];
}

function isSameRule(a: SourceRule, b: SourceRule): boolean {
  return a.priority === b.priority && prefixEquals(a.source, b.source);
}

function isSameRoute(a: TableRoute, b: TableRoute): boolean {
  return a.type === b.type && a.metric === b.metric && a.linkIndex === b.linkIndex &&
    a.gateway === b.gateway && a.isOnlink === b.isOnlink && prefixEquals(a.destination, b.destination);
}

/** What a step is about: `route 10.0.0.0/16 via 10.0.9.1`. */
export function describeStep(step: EniPathStep): string {
  if (step.kind === "rule") return `rule from ${formatPrefix(step.rule.source)} lookup ${step.rule.table}`;
  const { destination, gateway, type } = step.route;
  const how = gateway === undefined ? "" : ` via ${formatAddress(gateway)}`;
  return `route ${type === RTN_THROW ? "throw " : ""}${formatPrefix(destination)}${how}`;
}
