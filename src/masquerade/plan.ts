import {
  AF_INET,
  AF_INET6,
  type Family,
  familyOf,
  formatPrefix,
  parsePrefix,
  type Prefix,
} from "../model/address.ts";
import {
  addChain,
  addRule,
  addTable,
  deleteChain,
  deleteRule,
  deleteTable,
  HOOK,
  type NftChain,
  type NftChange,
  type NftRule,
  POLICY,
} from "../netlink/nft.ts";
import {
  FORWARD_CHAIN,
  FORWARD_JUMP,
  forwardRules,
  masqueradeRules,
  OWN_TABLE,
  ownChain,
  type RuleWishes,
} from "./rules.ts";
import { findChain, isDeadEnd, isRefusal, isSameRules, jumpOf, type RuleSet } from "./rule_set.ts";

/** What must change in one transaction, and what it is called. */
export interface RulePlan {
  readonly changes: readonly NftChange[];
  /** One phrase each, for the log: `write table ip loden`. */
  readonly actions: readonly string[];
}

/** What flannel's nftables mode calls its tables. */
const FLANNEL_TABLES: Readonly<Record<Family, string>> = { 2: "flannel-ipv4", 10: "flannel-ipv6" };
/** Where flannel's iptables mode has its rules. */
const FLANNEL_NAT_CHAIN = "FLANNEL-POSTRTG";
const FAMILIES: readonly Family[] = [AF_INET, AF_INET6];
/** `NFPROTO_INET`: tables of both families. */
const INET = 1;
const IP_NAME: Readonly<Record<number, string>> = { 1: "inet", 2: "ip", 10: "ip6" };

/**
 * Plans what brings masquerading of one family to what is wanted. What flanneld has left for the same purpose goes in
 * the same transaction, so that there is no moment without.
 */
export function planMasquerade(wishes: RuleWishes, family: Family, set: RuleSet): RulePlan {
  const plan = { changes: [] as NftChange[], actions: [] as string[] };
  const do_ = (action: string, ...changes: NftChange[]) => {
    plan.actions.push(action);
    plan.changes.push(...changes);
  };
  const half = halfOf(wishes, family);
  const name = IP_NAME[family]!;
  const own = { family, table: OWN_TABLE };
  const isThere = set.tables.some(({ family, table }) => family === own.family && table === own.table);
  if (half !== undefined && wishes.isMasquerading) {
    const chain = ownChain(family);
    const rules = masqueradeRules(half, wishes);
    if (!isThere || !isOwnTableAsWanted(set, chain, rules)) {
      // The kernel has the old table until the new one is there.
      const empty = isThere ? [deleteTable(own), addTable(own)] : [];
      const added = rules.map((rule) => addRule({ ...chain, ...rule }));
      do_(`write table ${name} ${OWN_TABLE}`, addTable(own), ...empty, addChain(chain), ...added);
    }
  } else if (isThere) do_(`delete table ${name} ${OWN_TABLE}`, deleteTable(own));

  const flannel = { family, table: FLANNEL_TABLES[family] };
  if (set.tables.some(({ family, table }) => family === flannel.family && table === flannel.table)) {
    do_(`delete flannel's table ${name} ${flannel.table}`, deleteTable(flannel));
  }
  const nat = findChain(set, { family, table: "nat", chain: "POSTROUTING" });
  const flannelNat = findChain(set, { family, table: "nat", chain: FLANNEL_NAT_CHAIN });
  const olds = nat === undefined
    ? []
    : set.rulesOf(nat).filter((rule) =>
      jumpOf(rule) === FLANNEL_NAT_CHAIN || half !== undefined && isBareRule(rule, half)
    );
  if (olds.length > 0) {
    do_(`delete ${olds.length} of flannel's rules in ${name} nat POSTROUTING`, ...olds.map(deleteRule));
  }
  if (flannelNat !== undefined) {
    const { table, chain } = flannelNat;
    do_(
      `delete flannel's chain ${name} nat ${FLANNEL_NAT_CHAIN}`,
      deleteRule({ family, table, chain }),
      deleteChain(flannelNat),
    );
  }
  return plan;
}

function halfOf({ families }: RuleWishes, family: Family): RuleWishes["families"][number] | undefined {
  return families.find(({ network }) => familyOf(network.address) === family);
}

function isOwnTableAsWanted(
  set: RuleSet,
  wanted: NftChain,
  rules: ReturnType<typeof masqueradeRules>,
): boolean {
  const chains = set.chains.filter(({ family, table }) => family === wanted.family && table === wanted.table);
  const [chain] = chains;
  return chain !== undefined && chains.length === 1 && chain.chain === wanted.chain &&
    isSameBase(chain, wanted) && isSameRules(set.rulesOf(chain), rules);
}

function isSameBase({ base: a }: NftChain, { base: b }: NftChain): boolean {
  return a?.type === b?.type && a?.hook === b?.hook && a?.priority === b?.priority && a?.policy === b?.policy;
}

/** The rules of flannel 0.8, which have neither a chain nor a comment; IPv4 only. */
function isBareRule(rule: NftRule, { network, subnet }: RuleWishes["families"][number]): boolean {
  if (rule.family !== AF_INET) return false;
  const is = (prefix: Prefix, isNot = false) => `${isNot ? "! " : ""}${formatPrefix(prefix)}`;
  const texts = rule.expressions.flatMap((expression) => {
    switch (expression.kind) {
      case "counter":
        return [];
      case "source":
      case "destination":
        return [`${expression.kind} ${is(expression.prefix, expression.isNot)}`];
      case "verdict":
        return [expression.verdict];
      case "masquerade":
        return ["masquerade"];
      default:
        return [expression.kind === "other" && expression.name === "target MASQUERADE" ? "masquerade" : "?"];
    }
  });
  const multicast = parsePrefix("224.0.0.0/4");
  return [
    `source ${is(network)},destination ${is(network)},return`,
    `source ${is(network)},destination ${is(multicast, true)},masquerade`,
    `source ${is(network, true)},destination ${is(subnet)},return`,
    `source ${is(network, true)},destination ${is(network)},masquerade`,
  ].includes(texts.join(","));
}

/**
 * Plans what has forwarded packets of pods accepted where iptables-nft filters them. A verdict in a table of our own
 * would not keep another one from dropping them.
 *
 * The jump stands before the first rule that refuses everything, so that what an administrator or a network policy
 * drops before stays dropped. No chain is made for it: where there is none, nothing is dropped.
 */
export function planForward(wishes: RuleWishes, family: Family, set: RuleSet): RulePlan {
  const plan = { changes: [] as NftChange[], actions: [] as string[] };
  const do_ = (action: string, ...changes: NftChange[]) => {
    plan.actions.push(action);
    plan.changes.push(...changes);
  };
  const table = { family, table: "filter" };
  const forward = findChain(set, { ...table, chain: "FORWARD" });
  if (forward?.base?.hook !== HOOK.forward) return plan;
  const name = IP_NAME[family]!;
  const own = { ...table, chain: FORWARD_CHAIN, base: undefined };
  const isThere = findChain(set, own) !== undefined;
  const rules = set.rulesOf(forward);
  const jumps = rules.filter((rule) => jumpOf(rule) === FORWARD_CHAIN);
  const half = wishes.isForwarding ? halfOf(wishes, family) : undefined;
  if (half === undefined) {
    if (jumps.length > 0) do_(`delete the jump in ${name} filter FORWARD`, ...jumps.map(deleteRule));
    if (isThere) {
      do_(
        `delete chain ${name} filter ${FORWARD_CHAIN}`,
        deleteRule({ ...table, chain: FORWARD_CHAIN }),
        deleteChain(own),
      );
    }
    return plan;
  }
  const wanted = forwardRules(half.network);
  if (!isThere || !isSameRules(set.rulesOf(own), wanted)) {
    const empty = isThere ? [deleteRule({ ...table, chain: FORWARD_CHAIN })] : [addChain(own)];
    const added = wanted.map((rule) => addRule({ ...own, ...rule }));
    do_(`write chain ${name} filter ${FORWARD_CHAIN}`, ...empty, ...added);
  }
  const refusal = rules.find((rule) => jumpOf(rule) !== FORWARD_CHAIN && isRefusal(set, rule));
  const [jump] = jumps;
  const isInFront = jump !== undefined &&
    (refusal === undefined || rules.indexOf(jump) < rules.indexOf(refusal));
  if (jumps.length !== 1 || !isInFront || !isSameRules([jump!], [FORWARD_JUMP])) {
    do_(
      `lead ${name} filter FORWARD to ${FORWARD_CHAIN}`,
      addRule({ ...forward, ...FORWARD_JUMP }, refusal?.handle),
      ...jumps.map(deleteRule),
    );
  }
  return plan;
}

/** The plans that change something: one transaction for each purpose and family, as each may fail by itself. */
export function plansOf(wishes: RuleWishes, set: RuleSet): readonly RulePlan[] {
  return FAMILIES.flatMap((family) => [planMasquerade(wishes, family, set), planForward(wishes, family, set)])
    .filter(({ changes }) => changes.length > 0);
}

/** What else may swallow forwarded packets of pods, and is not ours to change: one sentence each. */
export function forwardWarnings(wishes: RuleWishes, set: RuleSet): string[] {
  if (!wishes.isForwarding) return [];
  const networks = wishes.families.map(({ network }) => network);
  return set.chains.flatMap((chain) => {
    const { family, table, base } = chain;
    const met = networks.filter(({ address }) => family === INET || family === familyOf(address));
    const isIptables = table === "filter" && chain.chain === "FORWARD" && family !== INET;
    if (base?.hook !== HOOK.forward || isIptables || met.length === 0) return [];
    const drops = base.policy === POLICY.drop
      ? "has policy drop"
      : isDeadEnd(set, chain)
      ? "ends with a refusal"
      : "";
    if (drops === "") return [];
    return [
      `chain ${chain.chain} of table ${
        IP_NAME[family]
      } ${table} ${drops}: packets between pods are lost unless it ` +
      `accepts ${met.map(formatPrefix).join(" and ")} (firewalld: add them to the zone trusted)`,
    ];
  });
}
