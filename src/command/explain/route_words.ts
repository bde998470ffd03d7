import { AF_INET, type Family, formatAddress, formatPrefix } from "../../model/address.ts";
import type { ObservedLink } from "../../model/state.ts";
import { isOurVtep } from "../../model/vtep.ts";
import { TYPE_NAMES } from "../../reconcile/route_names.ts";
import { RTN_UNICAST, RTPROT_BOOT, RTPROT_LODEN } from "../../rtnetlink/route_header.ts";
import type { FoundRoute } from "../../rtnetlink/route_query.ts";
import type { TableRoute } from "../../rtnetlink/table_route.ts";
import type { ObservedRule } from "../../rtnetlink/rule.ts";
import { formatRule, tableName } from "../../rtnetlink/rule_text.ts";
import type { Way } from "./facts.ts";

/** `/etc/iproute2/rt_protos`, those that are met on hosts with pods, and our own. */
const PROTOCOLS: Readonly<Record<number, string>> = {
  2: "kernel",
  [RTPROT_BOOT]: "boot",
  4: "static",
  9: "ra",
  11: "zebra",
  12: "bird",
  16: "dhcp",
  [RTPROT_LODEN]: "76, ours",
  186: "bgp",
};

/** Whether a route is one that Loden or flannel has made for the overlay. */
export function isOurRoute({ protocol }: FoundRoute, link: ObservedLink | undefined): boolean {
  return protocol === RTPROT_LODEN || protocol === RTPROT_BOOT && link !== undefined && isOurVtep(link);
}

/** The route of a way, near to what ip(8) prints. */
export function routeText({ answer: { route }, link, nextHop }: Way): string {
  if (route === undefined) return "none";
  const via = nextHop !== undefined && route.hops[0]?.gateway !== undefined
    ? ` via ${formatAddress(nextHop)}`
    : "";
  return text(route, `${via}${link === undefined ? "" : ` dev ${link.name}`}`) +
    (route.hops.length > 1 ? ` (one of ${route.hops.length} next hops)` : "");
}

/** A route that refuses packets, likewise. */
export function refusingRouteText(route: TableRoute): string {
  return text(route, "");
}

function text(
  { destination, table, protocol, type, metric }: Pick<
    TableRoute,
    "destination" | "table" | "protocol" | "type" | "metric"
  >,
  way: string,
): string {
  const to = destination.length === 0 ? "default" : formatPrefix(destination);
  const kind = type === RTN_UNICAST ? "" : TYPE_NAMES[type] ?? `type ${type} `;
  const shown = metric === 0 ? "" : ` metric ${metric}`;
  const of = table === 0 || tableName(table) === "main" ? "" : ` table ${tableName(table)}`;
  return `${kind}${to}${way} proto ${PROTOCOLS[protocol] ?? protocol}${shown}${of}`;
}

/** How ip(8) is told of which family rules and routes are: without a word it takes rules for those of IPv4. */
export function ipWord(family: Family): string {
  return family === AF_INET ? "ip" : "ip -6";
}

/** What deletes a rule, and no other one: several may have one priority. */
export function ruleDeletion(rule: ObservedRule, family: Family): string {
  // ip(8) can't be told all that it shows.
  const selectors = rule.isOfVrf ? "" : ` ${formatRule(rule).replace(/^\d+: /, "")}`;
  return `${ipWord(family)} rule delete priority ${rule.priority}${selectors}`;
}

/** What deletes the route of a way, and no other one: in its table, and with its metric. */
export function routeDeletion({ answer: { route }, link, nextHop }: Way, family: Family): string {
  if (route === undefined) return `${ipWord(family)} route`;
  const isOne = route.hops.length <= 1;
  const via = isOne && nextHop !== undefined && route.hops[0]?.gateway !== undefined
    ? ` via ${formatAddress(nextHop)}`
    : "";
  return deletion(route, `${via}${isOne && link !== undefined ? ` dev ${link.name}` : ""}`, family);
}

/** The same of a route that refuses packets. */
export function refusingRouteDeletion(route: TableRoute, family: Family): string {
  return deletion(route, "", family);
}

function deletion(
  { destination, table, type, metric }: Pick<TableRoute, "destination" | "table" | "type" | "metric">,
  way: string,
  family: Family,
): string {
  const to = destination.length === 0 ? "default" : formatPrefix(destination);
  const kind = type === RTN_UNICAST ? "" : TYPE_NAMES[type] ?? "";
  const of = table === 0 || tableName(table) === "main" ? "" : ` table ${tableName(table)}`;
  return `${ipWord(family)} route delete ${kind}${to}${way}${metric === 0 ? "" : ` metric ${metric}`}${of}`;
}
