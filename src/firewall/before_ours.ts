import type { Family } from "../model/address.ts";
import type { NftRuleText } from "../nftables/objects.ts";
import { FORWARD_CHAIN } from "./rules.ts";
import { findChain, isRefusal, jumpOf, mayRefuse, type RuleSet } from "./rule_set.ts";

/** Chains that are named; the others are counted. */
const NAMED = 4;

/**
 * What stands in iptables' chain FORWARD before the jump to ours and may refuse a packet that ours would accept, as the end of
 * a sentence; empty where nothing does. What the chains there say is not read.
 */
export function refusedBefore(set: RuleSet, family: Family): string {
  const forward = findChain(set, { family, table: "filter", chain: "FORWARD" });
  if (forward === undefined) return "";
  const rules = set.rulesOf(forward);
  const isOurs = (rule: NftRuleText) => jumpOf(rule) === FORWARD_CHAIN;
  const end = rules.findIndex((rule) => !isOurs(rule) && isRefusal(set, rule));
  // Where there is none yet, or behind a refusal of everything, it is being put in front of that.
  const before = rules.slice(0, end === -1 ? rules.length : end);
  const at = before.findIndex(isOurs);
  if (at !== -1) before.splice(at);
  const count = before.filter(mayRefuse).length;
  const chains = [...new Set(before.map(jumpOf).filter((chain) => chain !== undefined))];
  const parts = [
    ...count === 0 ? [] : [`by ${count} rule${count === 1 ? "" : "s"} of FORWARD`],
    ...chains.length === 0 ? [] : [`by chain${chains.length === 1 ? "" : "s"} ${listed(chains)}`],
  ];
  return parts.length === 0 ? "" : `, but for what is refused before that ${parts.join(" and ")}`;
}

function listed(names: readonly string[]): string {
  const others = names.length - NAMED;
  return `${names.slice(0, NAMED).join(", ")}${others > 0 ? ` and ${others} others` : ""}`;
}
