import {
  type Address,
  bitsOf,
  type Family,
  familyOf,
  type Prefix,
  prefixContains,
} from "../model/address.ts";
import { RTN_THROW } from "./route_header.ts";
import { FR_ACT_GOTO, FR_ACT_TO_TBL, type ObservedRule } from "./rule.ts";
import type { TableRoute } from "./table_route.ts";

/** A packet, as routing policy rules see it. */
export interface WalkedFlow {
  readonly destination: Address;
  /** Rules about the source are no rules for it if absent. */
  readonly source?: Address;
  /** The link that it comes in by; absent for a packet of this host's own, which rules call `lo`. */
  readonly inputLink?: string;
  /** 0 if absent. */
  readonly mark?: number;
  /** The table of the VRF that its link is in; absent where that is in none. */
  readonly vrfTable?: number;
  /** Ports, where it is a packet of UDP; absent where it may be any packet. */
  readonly udp?: { readonly sourcePort: number | undefined; readonly destinationPort: number };
}

/**
 * What a rule is to a packet.
 *
 * - `other`: it is for other packets.
 * - `unknown`: it asks for what is not known here (ports, a protocol, users): it may be for other packets.
 * - `passes`: it is for the packet, and its table has no route that counts.
 * - `decides`: it is for the packet, and nothing behind it counts.
 */
export type RuleRole = "other" | "unknown" | "passes" | "decides";

/** One rule on the way of a packet. */
export interface WalkStep {
  readonly rule: ObservedRule;
  readonly role: RuleRole;
  /** The route that is taken, where the rule decides by a table. */
  readonly route?: TableRoute;
}

/**
 * Walks rule by rule, and by the table of each, to what the kernel does with a packet. Pure; what the kernel says itself
 * (`queryRoute()`) is the judge, and this tells why. The last step decides, if one does.
 *
 * @param rules All of the packet's family, in the kernel's order.
 * @param routesOf The routes of a table, in the kernel's order; only tables on the way are asked for.
 */
export function walkRoute(
  flow: WalkedFlow,
  rules: readonly ObservedRule[],
  routesOf: (table: number) => readonly TableRoute[],
): readonly WalkStep[] {
  const steps: WalkStep[] = [];
  for (let at = 0; at < rules.length; at++) {
    const rule = rules[at]!;
    const match = matchRule(rule, flow);
    if (match !== "yes") {
      steps.push({ rule, role: match === "no" ? "other" : "unknown" });
      continue;
    }
    if (rule.action === FR_ACT_GOTO) {
      const target = rules.findIndex(({ priority }, index) => index > at && priority >= (rule.target ?? 0));
      steps.push({ rule, role: "passes" });
      if (target < 0) break;
      at = target - 1;
      continue;
    }
    if (rule.action !== FR_ACT_TO_TBL) {
      // A `nop` does nothing.
      const isRefusal = rule.action >= FR_ACT_REFUSES;
      steps.push({ rule, role: isRefusal ? "decides" : "passes" });
      if (isRefusal) break;
      continue;
    }
    const table = tableOf(rule, flow);
    const route = table === undefined ? undefined : bestRoute(routesOf(table), flow.destination);
    const isTaken = route !== undefined && route.type !== RTN_THROW &&
      route.destination.length > (rule.suppressedLength ?? -1);
    steps.push(isTaken ? { rule, role: "decides", route } : { rule, role: "passes" });
    if (isTaken) break;
  }
  return steps;
}

/** `FR_ACT_BLACKHOLE` and those behind it. */
const FR_ACT_REFUSES = 6;

/** The rule that led to a route of `table` with a prefix of `length`, by all that is known; `undefined` for none. */
export function ruleInto(
  flow: WalkedFlow,
  rules: readonly ObservedRule[],
  { table, length }: { readonly table: number; readonly length: number },
): ObservedRule | undefined {
  const leads = (rule: ObservedRule) =>
    rule.action === FR_ACT_TO_TBL && tableOf(rule, flow) === table && length > (rule.suppressedLength ?? -1);
  return rules.find((rule) => leads(rule) && matchRule(rule, flow) === "yes") ??
    rules.find((rule) => leads(rule) && matchRule(rule, flow) === "unknown");
}

/** Whether a rule is for a packet. */
export function matchRule(rule: ObservedRule, flow: WalkedFlow): "yes" | "no" | "unknown" {
  const { source, destination, inputLink, outputLink, mark = 0, markMask = 0xffff_ffff } = rule;
  const isIn = (prefix: Prefix | undefined, address: Address | undefined) =>
    prefix === undefined || prefix.length === 0 ||
    address !== undefined && familyOf(address) === familyOf(prefix.address) &&
      prefixContains(prefix, address);
  const isBase = isIn(source, flow.source) && isIn(destination, flow.destination) &&
    (inputLink === undefined || inputLink === (flow.inputLink ?? "lo")) &&
    // Only sockets that are bound to a link have one before they have a route.
    outputLink === undefined &&
    ((mark ^ (flow.mark ?? 0)) & markMask) === 0;
  const isNarrow = isBase && rule.isNarrower ? isInNarrower(rule, flow) : true;
  if (isNarrow === undefined) return "unknown";
  if (rule.isOfVrf && flow.vrfTable === undefined) return "no";
  return (isBase && isNarrow) !== rule.isInverted ? "yes" : "no";
}

/** Whether a packet is one that a rule asks for by protocol, ports and user; `undefined` where that is not known. */
function isInNarrower({ narrowing }: ObservedRule, { udp }: WalkedFlow): boolean | undefined {
  if (narrowing === undefined || udp === undefined) return undefined;
  const isIn = (range: readonly [number, number] | undefined, value: number | undefined) =>
    range === undefined ? true : value === undefined ? undefined : range[0] <= value && value <= range[1];
  const answers = [
    narrowing.protocol === undefined || narrowing.protocol === UDP,
    isIn(narrowing.sourcePorts, udp.sourcePort),
    isIn(narrowing.destinationPorts, udp.destinationPort),
    // What is forwarded, and what the kernel itself sends, is root's.
    isIn(narrowing.users, 0),
  ];
  if (answers.includes(false)) return false;
  return narrowing.isPartly || answers.includes(undefined) ? undefined : true;
}

/** `IPPROTO_UDP`. */
const UDP = 17;

function tableOf({ table, isOfVrf }: ObservedRule, { vrfTable }: WalkedFlow): number | undefined {
  return isOfVrf ? vrfTable : table;
}

/** The route that a table has for an address: the longest prefix, of these the lowest metric, of these the first. */
export function bestRoute(routes: readonly TableRoute[], address: Address): TableRoute | undefined {
  let best: TableRoute | undefined;
  const family: Family = familyOf(address);
  for (const route of routes) {
    const { destination: { address: prefix, length } } = route;
    if (familyOf(prefix) !== family || length > bitsOf(family)) continue;
    if (!prefixContains(route.destination, address)) continue;
    const isBetter = best === undefined || length > best.destination.length ||
      length === best.destination.length && route.metric < best.metric;
    if (isBetter) best = route;
  }
  return best;
}
