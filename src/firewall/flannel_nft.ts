import { type Family } from "../model/address.ts";
import type { NftExpression } from "../nftables/expression.ts";
import {
  addChain,
  addRule,
  addTable,
  deleteRule,
  HOOK,
  type NftChain,
  type NftChange,
  type NftHook,
  type NftRuleText,
  POLICY,
} from "../nftables/objects.ts";
import { familyWishes, FLANNEL_TABLES, IP_NAME, masqueradeRules, type RuleWishes } from "./rules.ts";
import { findChain, isSameRules, type RuleSet } from "./rule_set.ts";

/** A base chain of flanneld's own table. */
interface BaseChain {
  readonly chain: string;
  readonly base: NftHook;
  readonly comment: string;
}

/** Changes, and what they are called in a log. */
export interface Part {
  readonly changes: readonly NftChange[];
  readonly actions: readonly string[];
}

/** Nothing to change. */
export const NOTHING: Part = { changes: [], actions: [] };

/** `NF_IP_PRI_NAT_SRC` and `NF_IP_PRI_FILTER`. */
const [SRCNAT, FILTER] = [100, 0];
/** What flannel says of its tables and chains. */
const TABLE_COMMENT = "rules for ";
/** Where flanneld masquerades. */
export const MASQUERADE_CHAIN: BaseChain = {
  chain: "postrtg",
  base: { type: "nat", hook: HOOK.postrouting, priority: SRCNAT, policy: POLICY.accept },
  comment: "chain to manage traffic masquerading by flannel",
};
/** Where it accepts. */
export const ACCEPT_CHAIN: BaseChain = {
  chain: "forward",
  base: { type: "filter", hook: HOOK.forward, priority: FILTER, policy: POLICY.accept },
  comment: "chain to accept flannel traffic",
};

/** The table of flanneld's nftables mode, which it makes in both families. */
export function nftTablePart(family: Family, set: RuleSet): Part {
  const table = { family, table: FLANNEL_TABLES[family] };
  if (set.tables.some((one) => one.family === family && one.table === table.table)) return NOTHING;
  return {
    changes: [addTable(table, TABLE_COMMENT + table.table)],
    actions: [`write table ${IP_NAME[family]} ${table.table}`],
  };
}

/** The rules of its chain `postrtg`: what its iptables mode says, but for two rules (see {@linkcode masqueradeRules}). */
export function nftMasquerade(wishes: RuleWishes, family: Family, set: RuleSet): Part {
  const { part } = familyWishes(wishes, family);
  if (part === undefined || !wishes.isMasquerading) return NOTHING;
  const { network, subnet } = part;
  const rules = masqueradeRules(part, { ...wishes, excluded: [] }).map(({ expressions }) => expressions);
  const [, ownToPods, podsToOwn, othersToOwn, ...masquerading] = rules;
  const [keep] = othersToOwn!.slice(-1);
  return chainOf(family, set, MASQUERADE_CHAIN, [
    [{ kind: "mark", value: 0x4000, mask: 0xffff_ffff }, keep!],
    ownToPods!,
    podsToOwn!,
    [
      { kind: "source", prefix: subnet, isNot: true },
      { kind: "destination", prefix: network, isNot: false },
      keep!,
    ],
    ...masquerading,
  ]);
}

/** The rules of its chain `forward`. */
export function nftForward(wishes: RuleWishes, family: Family, set: RuleSet): Part {
  const { part } = familyWishes(wishes, family);
  if (part === undefined || !wishes.isForwarding) return NOTHING;
  const accept: NftExpression = { kind: "verdict", verdict: "accept" };
  const { network: prefix } = part;
  return chainOf(family, set, ACCEPT_CHAIN, [
    [{ kind: "source", prefix, isNot: false }, accept],
    [{ kind: "destination", prefix, isNot: false }, accept],
  ]);
}

/** A chain of flanneld's own table, as it must be. */
function chainOf(
  family: Family,
  set: RuleSet,
  { comment, ...its }: BaseChain,
  wanted: readonly (readonly NftExpression[])[],
): Part {
  const chain: NftChain = { family, table: FLANNEL_TABLES[family], ...its };
  const rules = wanted.map((expressions): NftRuleText => ({ expressions }));
  const isThere = findChain(set, chain) !== undefined;
  if (isThere && isSameRules(set.rulesOf(chain), rules)) return NOTHING;
  return {
    changes: [
      addChain(chain, comment),
      ...isThere ? [deleteRule({ family, table: chain.table, chain: chain.chain })] : [],
      ...rules.map((rule) => addRule({ ...chain, ...rule })),
    ],
    actions: [`write chain ${IP_NAME[family]} ${chain.table} ${chain.chain}`],
  };
}
