import { AF_INET, AF_INET6, type Family, formatPrefix, parsePrefix, type Prefix } from "../model/address.ts";
import { deleteChain, deleteRule, deleteTable, type NftRule } from "../nftables/objects.ts";
import {
  familyWishes,
  FLANNEL_NAT_CHAIN,
  FLANNEL_TABLES,
  IP_NAME,
  type RuleStep,
  type RuleWishes,
} from "./rules.ts";
import { findChain, isAbout, jumpOf, type RuleSet } from "./rule_set.ts";

/**
 * What flanneld has for masquerading our network and must go. A second flanneld of another network may have its rules
 * in the same chain, and those stay.
 */
export function flannelSteps(wishes: RuleWishes, family: Family, set: RuleSet): RuleStep[] {
  const name = IP_NAME[family]!;
  const { part, networks } = familyWishes(wishes, family);
  const steps: RuleStep[] = [];
  const step = (action: string, ...changes: RuleStep["changes"]) => {
    steps.push({ kind: "flannel", action: `delete ${action}`, changes });
  };
  const table = FLANNEL_TABLES[family];
  const { ours, isWhole } = tableOf(wishes, family, set);
  if (isWhole) step(`flannel's table ${name} ${table}`, deleteTable({ family, table }));
  else if (ours.length > 0) {
    step(`${ours.length} of flannel's rules in table ${name} ${table}`, ...ours.map(deleteRule));
  }

  const nat = findChain(set, { family, table: "nat", chain: "POSTROUTING" });
  const rules = nat === undefined ? [] : set.rulesOf(nat);
  const chainless = part === undefined ? [] : rules.filter((rule) => isChainlessRule(rule, part));
  if (chainless.length > 0) {
    step(`${chainless.length} of flannel's rules in ${name} nat POSTROUTING`, ...chainless.map(deleteRule));
  }
  const chain = findChain(set, { family, table: "nat", chain: FLANNEL_NAT_CHAIN });
  if (chain === undefined) return steps;
  const jumps = rules.filter((rule) => jumpOf(rule) === FLANNEL_NAT_CHAIN);
  const inChain = sortRules(set.rulesOf(chain), networks);
  // What is empty and not led to may have been made this moment, by one that begins.
  const isLeft = inChain.others.length === 0 && (inChain.ours.length > 0 || jumps.length > 0);
  if (wishes.isLeaving === true || isLeft) {
    step(
      `flannel's chain ${name} nat ${FLANNEL_NAT_CHAIN}`,
      ...jumps.map(deleteRule),
      deleteRule({ family, table: chain.table, chain: chain.chain }),
      deleteChain(chain),
    );
  } else if (inChain.ours.length > 0) {
    const { ours } = inChain;
    step(
      `${ours.length} of flannel's rules in ${name} nat ${FLANNEL_NAT_CHAIN}`,
      ...ours.map(deleteRule),
    );
  }
  return steps;
}

/** Rules about our networks, and those about others. flannel's rule for marked packets is about none. */
function sortRules(
  rules: readonly NftRule[],
  networks: readonly Prefix[],
): { readonly ours: readonly NftRule[]; readonly others: readonly NftRule[] } {
  const ours = rules.filter((rule) => isAbout(rule, networks));
  return { ours, others: rules.filter((rule) => !ours.includes(rule) && !isMarkRule(rule)) };
}

function isMarkRule({ expressions }: NftRule): boolean {
  const said = expressions.filter(({ kind }) => kind !== "counter" && kind !== "comment");
  const [which, what] = said;
  return said.length === 2 && what?.kind === "verdict" && what.verdict === "return" &&
    (which?.kind === "mark" || which?.kind === "other" && which.name === "match mark");
}

/** What is in the table of flannel's nftables mode, and whether all of it goes. */
function tableOf(
  wishes: RuleWishes,
  family: Family,
  set: RuleSet,
): { readonly ours: readonly NftRule[]; readonly isWhole: boolean } {
  const rulesOf = (family: Family) => {
    const table = FLANNEL_TABLES[family];
    const chains = set.chains.filter((chain) => chain.family === family && chain.table === table);
    const { networks } = familyWishes(wishes, family);
    return {
      isThere: set.tables.some((one) => one.family === family && one.table === table),
      ...sortRules(chains.flatMap((chain) => set.rulesOf(chain)), networks),
    };
  };
  const { isThere, ours, others } = rulesOf(family);
  if (!isThere) return { ours: [], isWhole: false };
  // flannel makes the tables of both families, whichever it uses: the empty one goes with the other.
  const sibling = rulesOf(family === AF_INET ? AF_INET6 : AF_INET);
  const isOurs = ours.length > 0 || sibling.ours.length > 0;
  return { ours, isWhole: wishes.isLeaving === true || isOurs && others.length === 0 };
}

/** The rules of flannel 0.8, which have neither a chain nor a comment; IPv4 only. */
function isChainlessRule(rule: NftRule, { network, subnet }: RuleWishes["families"][number]): boolean {
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
