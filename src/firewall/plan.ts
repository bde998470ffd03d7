import {
  FAMILIES,
  type Family,
  familyOf,
  formatPrefix,
  type Prefix,
  prefixEquals,
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
  type NftRuleText,
  type NftTable,
  POLICY,
} from "../nftables/objects.ts";
import { flannelSteps } from "./flannel_rules.ts";
import {
  EARLIER_TABLE,
  familyWishes,
  FORWARD_CHAIN,
  FORWARD_JUMP,
  forwardRules,
  IP_NAME,
  isOwnTable,
  masqueradeRules,
  ownChain,
  ownTable,
  type RuleKind,
  type RuleStep,
  type RuleWishes,
} from "./rules.ts";
import { findChain, isAbout, isDeadEnd, isRefusal, isSameRules, jumpOf, type RuleSet } from "./rule_set.ts";

/** What must change in one transaction, and what it is called. */
export interface RulePlan {
  readonly changes: readonly NftChange[];
  /** One phrase each, for the log. */
  readonly actions: readonly string[];
  /** What is not as wished, be it changed or spared. */
  readonly met: readonly RuleKind[];
}

/** `NFPROTO_INET`: tables of both families. */
const INET = 1;

/**
 * Plans what brings masquerading of one family to what is wanted. What flanneld has left for the same purpose goes in
 * the same transaction, so that there is no moment without.
 */
function planMasquerade(wishes: RuleWishes, family: Family, set: RuleSet): RuleStep[] {
  const { part, former, networks } = familyWishes(wishes, family);
  const steps: RuleStep[] = [];
  const name = IP_NAME[family]!;
  const tables = set.tables.filter((table) => table.family === family).map(({ table }) => table);
  const wanted = part !== undefined && wishes.isMasquerading ? ownChain(part.network) : undefined;
  if (part !== undefined && wanted !== undefined) {
    const rules = masqueradeRules(part, wishes);
    const isThere = tables.includes(wanted.table);
    const isDormant = set.tables.some((one) => isSameTable(one, wanted) && one.isDormant);
    if (!isThere || isDormant || !isOwnTableAsWanted(set, wanted, rules)) {
      // The kernel has the old table until the new one is there.
      const empty = isThere ? [deleteTable(wanted), addTable(wanted)] : [];
      const added = rules.map((rule) => addRule({ ...wanted, ...rule }));
      const changes = [addTable(wanted), ...empty, addChain(wanted), ...added];
      steps.push({ kind: "own", action: `write table ${name} ${wanted.table}`, changes });
    }
  }
  const left = wanted === undefined ? networks : former;
  const isLeft = (table: string) =>
    wishes.isLeaving === true && isOwnTable(family, table) ||
    left.some((network) => ownTable(network) === table);
  for (const table of tables) {
    const isEarlier = table === EARLIER_TABLE &&
      (wishes.isLeaving === true || isEarlierTableOf(set, family, networks));
    if (!isEarlier && !isLeft(table)) continue;
    const changes = [deleteTable({ family, table })];
    steps.push({ kind: isEarlier ? "earlier" : "own", action: `delete table ${name} ${table}`, changes });
  }
  return [...steps, ...flannelSteps(wishes, family, set)];
}

function isOwnTableAsWanted(
  set: RuleSet,
  wanted: NftChain,
  rules: ReturnType<typeof masqueradeRules>,
): boolean {
  const chains = set.chains.filter((one) => isSameTable(one, wanted));
  const [chain] = chains;
  return chain !== undefined && chains.length === 1 && chain.chain === wanted.chain &&
    isSameBase(chain, wanted) && isSameRules(set.rulesOf(chain), rules);
}

function isSameTable(a: NftTable, b: NftTable): boolean {
  return a.family === b.family && a.table === b.table;
}

function isSameBase({ base: a }: NftChain, { base: b }: NftChain): boolean {
  return a?.type === b?.type && a?.hook === b?.hook && a?.priority === b?.priority && a?.policy === b?.policy;
}

/** Whether the table of an earlier version was made for one of these networks. */
export function isEarlierTableOf(set: RuleSet, family: Family, networks: readonly Prefix[]): boolean {
  return set.chains.some((chain) =>
    chain.family === family && chain.table === EARLIER_TABLE &&
    // Only what comes from the network is about it: another network's rules may exclude ours as a destination.
    set.rulesOf(chain).some((rule) => isAbout(rule, networks, ["source"]))
  );
}

/**
 * Plans what has forwarded packets of pods accepted where iptables-nft filters them. A verdict in a table of our own
 * would not keep another one from dropping them.
 *
 * The jump stands before the first rule that refuses everything, so that what an administrator or a network policy
 * drops before stays dropped. No chain is made for it: where there is none, nothing is dropped.
 */
export function planForward(wishes: RuleWishes, family: Family, set: RuleSet): RuleStep[] {
  const table = { family, table: "filter" };
  const forward = findChain(set, { ...table, chain: "FORWARD" });
  if (forward?.base?.hook !== HOOK.forward) return [];
  const name = IP_NAME[family]!;
  const own = { ...table, chain: FORWARD_CHAIN, base: undefined };
  const isThere = findChain(set, own) !== undefined;
  const rules = set.rulesOf(forward);
  const jumps = rules.filter((rule) => jumpOf(rule) === FORWARD_CHAIN);
  const { part, former, networks } = familyWishes(wishes, family);
  const accepted = isThere ? set.rulesOf(own) : [];
  if (part === undefined || !wishes.isForwarding) {
    const ours = accepted.filter((rule) => isAcceptOf(rule, networks));
    // Agents of other networks have theirs in the same chain.
    const isLast = wishes.isLeaving === true || ours.length > 0 && ours.length === accepted.length;
    const changes = [
      ...isLast ? jumps.map(deleteRule) : [],
      ...isLast && isThere ? [deleteRule({ ...table, chain: FORWARD_CHAIN }), deleteChain(own)] : [],
      ...isLast ? [] : ours.map(deleteRule),
    ];
    if (changes.length === 0) return [];
    const what = isLast ? "" : `${ours.length} rules of `;
    return [{ kind: "flannel", action: `delete ${what}chain ${name} filter ${FORWARD_CHAIN}`, changes }];
  }
  const steps: RuleStep[] = [];
  const wanted = forwardRules(part.network);
  const ours = accepted.filter((rule) => isAcceptOf(rule, [part.network]));
  const old = accepted.filter((rule) => isAcceptOf(rule, former));
  const isSame = isThere && isSameRules(ours, wanted);
  if (!isSame || old.length > 0) {
    const changes = [
      ...isThere ? [] : [addChain(own)],
      ...old.map(deleteRule),
      ...isSame ? [] : ours.map(deleteRule),
      ...isSame ? [] : wanted.map((rule) => addRule({ ...own, ...rule })),
    ];
    steps.push({ kind: "own", action: `write chain ${name} filter ${FORWARD_CHAIN}`, changes });
  }
  const refusal = rules.find((rule) => jumpOf(rule) !== FORWARD_CHAIN && isRefusal(set, rule));
  const [jump] = jumps;
  const isInFront = jump !== undefined &&
    (refusal === undefined || rules.indexOf(jump) < rules.indexOf(refusal));
  if (jumps.length !== 1 || !isInFront || !isSameRules([jump!], [FORWARD_JUMP])) {
    const changes = [addRule({ ...forward, ...FORWARD_JUMP }, refusal?.handle), ...jumps.map(deleteRule)];
    steps.push({ kind: "own", action: `lead ${name} filter FORWARD to ${FORWARD_CHAIN}`, changes });
  }
  return steps;
}

/** Whether a rule accepts what comes from, or goes to, one of these networks, and asks for nothing else. */
function isAcceptOf({ expressions }: NftRuleText, networks: readonly Prefix[]): boolean {
  const said = expressions.filter(({ kind }) => kind !== "counter" && kind !== "comment");
  const [which, what] = said;
  return said.length === 2 && (which?.kind === "source" || which?.kind === "destination") && !which.isNot &&
    networks.some((network) => prefixEquals(network, which.prefix)) &&
    what?.kind === "verdict" && what.verdict === "accept";
}

/**
 * The plans for what is not as wished: one transaction for each purpose and family, as each may fail by itself.
 *
 * @param spared What is left as it is for now.
 */
export function plansOf(
  wishes: RuleWishes,
  set: RuleSet,
  spared: ReadonlySet<RuleKind> = new Set(),
): readonly RulePlan[] {
  return FAMILIES.flatMap((family) => [planMasquerade(wishes, family, set), planForward(wishes, family, set)])
    .filter((steps) => steps.length > 0)
    .map((steps) => {
      const met = [...new Set(steps.map(({ kind }) => kind))];
      // Nothing goes before what stands for it is there.
      const isWaiting = met.includes("own") && spared.has("own");
      const done = isWaiting ? [] : steps.filter(({ kind }) => !spared.has(kind));
      const [changes, actions] = [done.flatMap(({ changes }) => changes), done.map(({ action }) => action)];
      return { changes, actions, met };
    });
}

/** What else may swallow forwarded packets of pods, and is not ours to change: one sentence each. */
export function forwardWarnings(wishes: RuleWishes, set: RuleSet): string[] {
  if (!wishes.isForwarding) return [];
  const networks = wishes.families.map(({ network }) => network);
  return set.awake.flatMap((chain) => {
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

/** iptables' filter, where ours stand among others' rules and count for nothing. */
export function dormantWarnings(wishes: RuleWishes, set: RuleSet): string[] {
  if (!wishes.isForwarding) return [];
  const networks = wishes.families.map(({ network }) => network);
  return set.tables.filter(({ family, table, isDormant }) =>
    isDormant && table === "filter" && networks.some(({ address }) => familyOf(address) === family) &&
    findChain(set, { family, table, chain: FORWARD_CHAIN }) !== undefined
  ).map(({ family, table }) => {
    const name = `${IP_NAME[family]} ${table}`;
    return `table ${name} is dormant: the kernel asks none of its rules, neither those of Loden nor those that protect ` +
      `this host (nft add table ${name} wakes it)`;
  });
}
