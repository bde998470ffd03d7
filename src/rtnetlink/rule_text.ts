import { formatPrefix } from "../model/address.ts";
import { RT_TABLE_LOCAL, RT_TABLE_MAIN } from "./route_header.ts";
import { FR_ACT_GOTO, FR_ACT_TO_TBL, type ObservedRule } from "./rule.ts";

const RT_TABLE_DEFAULT = 253;
/** `FR_ACT_NOP` and those that refuse; others are unknown to ip(8) too. */
const ACTIONS: Readonly<Record<number, string>> = {
  3: "nop",
  6: "blackhole",
  7: "unreachable",
  8: "prohibit",
};
const TABLES: Readonly<Record<number, string>> = {
  [RT_TABLE_DEFAULT]: "default",
  [RT_TABLE_MAIN]: "main",
  [RT_TABLE_LOCAL]: "local",
};

/** What ip(8) calls a table: its name, where it is one of the kernel's own, else its number. */
export function tableName(table: number): string {
  return TABLES[table] ?? String(table);
}

/** A rule as `ip rule` shows it; selectors that Loden does not read are missing. */
export function formatRule(rule: ObservedRule): string {
  const { source, destination, mark, markMask, inputLink, outputLink, suppressedLength } = rule;
  const hex = (number: number) => `0x${number.toString(16)}`;
  const parts = [
    `${rule.priority}:`,
    ...rule.isInverted ? ["not"] : [],
    `from ${source === undefined ? "all" : formatPrefix(source)}`,
    ...destination === undefined ? [] : [`to ${formatPrefix(destination)}`],
    ...mark === undefined && markMask === undefined
      ? []
      : [`fwmark ${hex(mark ?? 0)}${markMask === undefined ? "" : `/${hex(markMask)}`}`],
    ...inputLink === undefined ? [] : [`iif ${inputLink}`],
    ...outputLink === undefined ? [] : [`oif ${outputLink}`],
    ...narrowingTexts(rule),
    actionText(rule),
    ...suppressedLength === undefined ? [] : [`suppress_prefixlength ${suppressedLength}`],
  ];
  return parts.join(" ");
}

const PROTOCOLS: Readonly<Record<number, string>> = { 1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp" };

function narrowingTexts({ narrowing = {} }: ObservedRule): string[] {
  const { protocol, sourcePorts, destinationPorts, users } = narrowing;
  const range = (name: string, of: readonly [number, number] | undefined) =>
    of === undefined ? [] : [`${name} ${of[0] === of[1] && name !== "uidrange" ? of[0] : of.join("-")}`];
  return [
    ...range("uidrange", users),
    ...protocol === undefined ? [] : [`ipproto ${PROTOCOLS[protocol] ?? protocol}`],
    ...range("sport", sourcePorts),
    ...range("dport", destinationPorts),
  ];
}

function actionText({ action, table, target, isOfVrf }: ObservedRule): string {
  if (action === FR_ACT_GOTO) return `goto ${target ?? 0}`;
  if (action !== FR_ACT_TO_TBL) return ACTIONS[action] ?? `action ${action}`;
  return `lookup ${isOfVrf ? "[l3mdev-table]" : tableName(table)}`;
}
