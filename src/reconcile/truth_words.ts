import {
  type Address,
  bitsOf,
  type Family,
  familyOf,
  formatAddress,
  formatPrefix,
  type Prefix,
} from "../model/address.ts";
import { RT_TABLE_LOCAL, RT_TABLE_MAIN, RTN_LOCAL, RTN_UNICAST } from "../rtnetlink/route_header.ts";
import type { FoundRoute } from "../rtnetlink/route_query.ts";
import { ruleInto, type WalkedFlow, walkRoute } from "../rtnetlink/route_walk.ts";
import type { ObservedRule } from "../rtnetlink/rule.ts";
import { formatRule, tableName } from "../rtnetlink/rule_text.ts";
import type { TableRoute } from "../rtnetlink/table_route.ts";
import { PROTOCOL_NAMES, TYPE_NAMES } from "./route_names.ts";
import type { Misled } from "./route_truth.ts";
import { leadsToMain } from "./rule_scope.ts";

/** What words are made of. */
export interface TruthWords {
  /** All rules of a family, in the kernel's order. */
  readonly rulesOf: (family: Family) => readonly ObservedRule[];
  /** The routes of a table that an address is in. */
  readonly routesOf: (address: Address, table: number) => readonly TableRoute[];
  readonly linkName: (linkIndex: number) => string | undefined;
  /** The cluster networks. */
  readonly networks: readonly Prefix[];
}

/** Of the kernel's own rule into the table main. */
const MAIN_PRIORITY = 32_766;

/** Why packets for a peer's pods don't get on, and what to run: a clause that names what is in the way. */
export function sayMisled(misled: Misled, words: TruthWords): string {
  const { kind, flow, subnet, linkIndex } = misled;
  const name = linkIndex === undefined ? "" : words.linkName(linkIndex) ?? `link ${linkIndex}`;
  if (kind === "no carrier") {
    return `link ${name}, by which packets for it leave, has no carrier: see "ip link show ${name}"`;
  }
  const by = sayDecider(misled, words);
  if (kind === "no way") {
    const what = `what the VTEP sends to ${formatAddress(flow.destination)}`;
    return linkIndex === undefined
      ? by.isRoute ? `${by.what} drops ${what}; ${by.remedy}` : `${by.what} ${what}; ${by.remedy}`
      : `${by.what} leads ${what} into the overlay itself; ${by.remedy}`;
  }
  if (kind === "no way in") {
    const what = `what the VTEP at ${formatAddress(flow.source!)} sends to this host`;
    return by.isRoute ? `${by.what} takes ${what}; ${by.remedy}` : `${by.what} ${what}; ${by.remedy}`;
  }
  const part = misled.isWhole ? "the packets for" : "a part of the packets for";
  const what = `${part} ${formatPrefix(subnet)}`;
  return by.isRoute ? `${by.what} takes ${what}; ${by.remedy}` : `${by.what} ${what}; ${by.remedy}`;
}

/** What decides: a route, or what refuses. */
interface Decider {
  readonly what: string;
  readonly remedy: string;
  /** Whether `what` is a noun that packets are taken by; else it ends with the verb. */
  readonly isRoute: boolean;
}

function sayDecider({ kind, flow, answer }: Misled, words: TruthWords): Decider {
  const family = familyOf(flow.destination);
  const spared = kind === "misled"
    ? words.networks.find(({ address }) => familyOf(address) === family)
    : kind === "no way"
    ? { address: flow.destination, length: bitsOf(family) }
    : undefined;
  const rules = words.rulesOf(family);
  const inputLink = flow.inputLinkIndex === undefined ? undefined : words.linkName(flow.inputLinkIndex);
  const walked: WalkedFlow = {
    destination: flow.destination,
    ...flow.source !== undefined && { source: flow.source },
    ...inputLink !== undefined && { inputLink },
  };
  if (answer.route !== undefined) {
    const { route } = answer;
    const rule = ruleInto(walked, rules, { table: route.table, length: route.destination.length });
    const what = `route ${formatFoundRoute(route, words.linkName)}`;
    const to = `${TYPE_NAMES[route.type] ?? ""}${prefixText(route.destination)}`;
    return sayRoute(what, { family, table: route.table, to, rule, spared });
  }
  const steps = walkRoute(walked, rules, (table) => words.routesOf(flow.destination, table));
  const last = steps.at(-1);
  const unknown = steps.find(({ role }) => role === "unknown")?.rule;
  const ask = queryText(flow, inputLink);
  if (last?.role === "decides" && last.route === undefined) {
    const remedy = ruleRemedy(family, last.rule, spared);
    return { what: `rule "${formatRule(last.rule)}" refuses`, remedy, isRoute: false };
  }
  if (last?.role === "decides" && isRefusing(last.route)) {
    const { rule, route } = last;
    const { type, table, protocol, metric } = route!;
    const to = `${TYPE_NAMES[type] ?? ""}${prefixText(route!.destination)}`;
    const what = `route ${to}${inTable(table)} proto ${protocolName(protocol)}${metricText(metric)}`;
    return sayRoute(what, { family, table, to, rule, spared });
  }
  if (unknown !== undefined) {
    const remedy = ruleRemedy(family, unknown, spared);
    return { what: `the kernel, perhaps by rule "${formatRule(unknown)}", refuses`, remedy, isRoute: false };
  }
  if (last?.role === "decides" && inputLink !== undefined) {
    const remedy = `see "${netconfText(family, inputLink)}" for forwarding and rp_filter`;
    return {
      what: `although there is a route, the kernel drops what comes in by ${inputLink} of`,
      remedy,
      isRoute: false,
    };
  }
  if (!leadsToMain(rules)) {
    return {
      what:
        "as no rule leads all packets to the table main, where Loden's routes are, this host has no route for",
      remedy: `add it (${ipText(family)} rule add lookup main priority ${MAIN_PRIORITY})`,
      isRoute: false,
    };
  }
  return { what: "this host has no route for", remedy: `see "${ask}"`, isRoute: false };
}

function isRefusing(route: TableRoute | undefined): boolean {
  return route !== undefined && route.type !== RTN_UNICAST && route.type !== RTN_LOCAL;
}

function sayRoute(
  what: string,
  { family, table, to, rule, spared }: {
    readonly family: Family;
    readonly table: number;
    readonly to: string;
    readonly rule: ObservedRule | undefined;
    readonly spared: Prefix | undefined;
  },
): Decider {
  if (rule !== undefined && !isKernelTable(table)) {
    return {
      what: `${what}, to which rule "${formatRule(rule)}" leads,`,
      remedy: ruleRemedy(family, rule, spared),
      isRoute: true,
    };
  }
  const where = table === RT_TABLE_MAIN ? "" : ` table ${tableName(table)}`;
  return { what, remedy: `delete it (${ipText(family)} route delete ${to}${where})`, isRoute: true };
}

/** A rule in front of it, for what is to be spared alone, leaves all else as it is. */
function ruleRemedy(family: Family, { priority }: ObservedRule, spared: Prefix | undefined): string {
  const ip = ipText(family);
  const deletion = `delete the rule (${ip} rule delete priority ${priority})`;
  if (spared === undefined || priority < 2) return deletion;
  const to = formatPrefix(spared);
  return `${deletion}, or have it spare the overlay (${ip} rule add to ${to} lookup main priority ${
    priority - 1
  })`;
}

/** The question that was put, as a person would put it. */
export function queryText(
  { destination, source, inputLinkIndex }: Misled["flow"],
  inputLink: string | undefined,
): string {
  const from = source === undefined ? "" : ` from ${formatAddress(source)}`;
  const by = inputLinkIndex === undefined ? "" : ` iif ${inputLink ?? inputLinkIndex}`;
  return `ip route get fibmatch ${formatAddress(destination)}${from}${by}`;
}

/** A route as `ip route` shows it. */
export function formatFoundRoute(
  route: FoundRoute,
  linkName: (linkIndex: number) => string | undefined,
): string {
  const { destination, hops, metric, nextHopId } = route;
  const id = nextHopId === 0 ? "" : ` nhid ${nextHopId}`;
  const way = hops.map(({ linkIndex, gateway }) =>
    `${gateway === undefined ? "" : ` via ${formatAddress(gateway)}`} dev ${linkName(linkIndex) ?? linkIndex}`
  ).join(" and");
  return `${TYPE_NAMES[route.type] ?? ""}${prefixText(destination)}${id}${way}${inTable(route.table)} proto ${
    protocolName(route.protocol)
  }${metricText(metric)}`;
}

function prefixText(prefix: Prefix): string {
  return prefix.length === 0 ? "default" : formatPrefix(prefix);
}

function metricText(metric: number): string {
  return metric === 0 ? "" : ` metric ${metric}`;
}

function inTable(table: number): string {
  return table === RT_TABLE_MAIN ? "" : ` table ${tableName(table)}`;
}

function protocolName(protocol: number): string {
  return PROTOCOL_NAMES[protocol] ?? String(protocol);
}

function ipText(family: Family): string {
  return family === 2 ? "ip" : "ip -6";
}

function netconfText(family: Family, link: string): string {
  return `ip -${family === 2 ? "4" : "6"} netconf show dev ${link}`;
}

/** Whether a table is one of the kernel's own, which are looked at otherwise. */
export function isKernelTable(table: number): boolean {
  return table === RT_TABLE_MAIN || table === RT_TABLE_LOCAL || table === 253;
}
