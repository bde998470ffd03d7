import {
  type Family,
  familyOf,
  formatPrefix,
  isOverlapping,
  type Prefix,
  prefixContains,
} from "../model/address.ts";
import { RT_TABLE_LOCAL, RTN_THROW } from "../rtnetlink/route_header.ts";
import { FR_ACT_BLACKHOLE, FR_ACT_TO_TBL, type ObservedRule } from "../rtnetlink/rule.ts";
import { formatRule } from "../rtnetlink/rule_text.ts";
import type { TableRoute } from "../rtnetlink/table_route.ts";
import { ENI_PRIORITY, ENI_TABLE, type EniPath, type ObservedEniPath, ourRoutes } from "./eni_path.ts";

/**
 * What takes packets of pods away from the way out that Loden made, as ip(8) would show it: rules that the kernel goes by
 * before ours, and routes in the table that are not ours. Only what has a route for them takes them.
 *
 * @param routesOf The routes of a family in another table.
 */
export function findTakers(
  { rules, routes }: Pick<EniPath, "rules" | "routes">,
  observed: ObservedEniPath,
  routesOf: (family: Family, table: number) => readonly TableRoute[],
): readonly string[] {
  const own = rules.map(({ source }) => source);
  const led = routes.filter(({ type }) => type !== RTN_THROW).map(({ destination }) => destination);
  const takes = (rule: ObservedRule): boolean => {
    const sources = own.filter((prefix) => familyOf(prefix.address) === rule.family);
    const destinations = led.filter((prefix) => familyOf(prefix.address) === rule.family);
    if (sources.length === 0 || !isMatching(rule, sources, destinations)) return false;
    if (rule.action >= FR_ACT_BLACKHOLE) return true;
    // One without a table is for VRFs.
    if (rule.action !== FR_ACT_TO_TBL || rule.table === RT_TABLE_LOCAL || rule.table === 0) return false;
    return routesOf(rule.family, rule.table).some((route) =>
      route.type !== RTN_THROW && route.destination.length > (rule.suppressedLength ?? -1) &&
      isTaking(route.destination, sources, destinations)
    );
  };
  const before = observed.rules.filter((rule) => rule.priority <= ENI_PRIORITY && rule.table !== ENI_TABLE);
  const ours = new Set(ourRoutes(observed.routes));
  const between = observed.routes.filter((route) =>
    !ours.has(route) && isTaking(route.destination, own, led)
  );
  return [
    ...before.filter(takes).map((rule) => `the routing policy rule "${formatRule(rule)}"`),
    ...between.map(({ destination }) => `the route ${formatPrefix(destination)} in table ${ENI_TABLE}`),
  ];
}

/** Whether a route takes what is led, other than packets for pods of this host. */
function isTaking(destination: Prefix, own: readonly Prefix[], led: readonly Prefix[]): boolean {
  return led.some((prefix) => isOverlapping(prefix, destination)) &&
    !own.some((prefix) => prefix.length <= destination.length && prefixContains(prefix, destination.address));
}

/** Whether packets of pods are among those that a rule is for. Pods' packets are forwarded, and bear no mark. */
function isMatching(
  rule: ObservedRule,
  sources: readonly Prefix[],
  destinations: readonly Prefix[],
): boolean {
  const { source, destination, inputLink, outputLink, mark = 0, isNarrower, isInverted } = rule;
  const isFor = (mine: readonly Prefix[], its: Prefix | undefined) =>
    its === undefined || mine.some((prefix) => isOverlapping(prefix, its));
  const isForAll = (mine: readonly Prefix[], its: Prefix | undefined) =>
    its === undefined || mine.every((one) => its.length <= one.length && prefixContains(its, one.address));
  if (isInverted) {
    const isNever = mark === 0 && !isNarrower && inputLink === undefined && outputLink === undefined &&
      isForAll(sources, source) && isForAll(destinations, destination);
    return !isNever;
  }
  return mark === 0 && outputLink === undefined && inputLink !== "lo" && isFor(sources, source) &&
    isFor(destinations, destination);
}
