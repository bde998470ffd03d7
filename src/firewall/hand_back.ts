import { errorText } from "../log/error_text.ts";
import { EINTR, ERESTART, isErrno } from "../linux/errno.ts";
import { FAMILIES, type Family, familyOf, type Prefix } from "../model/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { readGeneration } from "../nftables/dump.ts";
import type { NftExpression } from "../nftables/expression.ts";
import {
  addChain,
  addRule,
  addTable,
  changeRules,
  deleteRule,
  deleteTable,
  type NftChain,
  type NftRuleText,
  POLICY,
} from "../nftables/objects.ts";
import {
  ACCEPT_CHAIN,
  MASQUERADE_CHAIN,
  nftForward,
  nftMasquerade,
  nftTablePart,
  NOTHING,
  type Part,
} from "./flannel_nft.ts";
import { isEarlierTableOf, planForward, type RulePlan } from "./plan.ts";
import {
  EARLIER_TABLE,
  familyWishes,
  FLANNEL_NAT_CHAIN,
  FORWARD_CHAIN,
  FORWARD_JUMP,
  forwardRules,
  IP_NAME,
  masqueradeRules,
  ownTable,
  type RuleWishes,
} from "./rules.ts";
import {
  findChain,
  isAbout,
  isDeadEnd,
  isSameRules,
  jumpOf,
  observeRules,
  type RuleSet,
} from "./rule_set.ts";

/** How a flanneld has its rules: in the tables of iptables, or in two of its own (`EnableNFTables`). */
export type FlannelMode = "iptables" | "nftables";

/** What is planned, and what stays although it was Loden's, one clause each. */
export interface HandBackRules {
  readonly plans: readonly RulePlan[];
  readonly kept: readonly string[];
}

/** Looks at rules that change while they are looked at, before it is given up. */
const ATTEMPTS = 5;
const MASQUERADE_COMMENT = "flanneld masq";
/**
 * Plans what puts flanneld's own rules in the place of Loden's: in one transaction for each family and purpose, so that
 * no packet meets neither. What stands as flanneld makes it is left as it is, so this can be planned again at any point.
 *
 * Source: flannel pkg/trafficmngr/iptables, pkg/trafficmngr/nftables; what iptables-nft 1.8.9 and knftables make of it.
 */
export function planHandBack(wishes: RuleWishes, mode: FlannelMode, set: RuleSet): HandBackRules {
  const kept: string[] = [];
  const plans = FAMILIES.flatMap((family) => {
    const gone = ownTables(wishes, family, set);
    if (mode === "iptables") return [[natPart(wishes, family, set), gone], [filterPart(wishes, family, set)]];
    return [
      [nftTablePart(family, set), nftMasquerade(wishes, family, set), gone],
      [nftForward(wishes, family, set), chainPart(wishes, family, set, kept)],
    ];
  }).map((parts): RulePlan => ({
    changes: parts.flatMap(({ changes }) => changes),
    actions: parts.flatMap(({ actions }) => actions),
    met: ["own"],
  }));
  return { plans: plans.filter(({ changes }) => changes.length > 0), kept };
}

/**
 * Carries that out. Rules that change meanwhile are looked at again.
 *
 * @throws {Error} If some can't be made, with the reasons: what was there stays then.
 */
export function handBackRules(client: NetlinkClient, wishes: RuleWishes, mode: FlannelMode): void {
  for (let attempt = 1;; attempt++) {
    let generation = readGeneration(client);
    let isOvertaken = false;
    const failures: string[] = [];
    for (const { changes, actions } of planHandBack(wishes, mode, observeRules(client)).plans) {
      try {
        changeRules(client, actions.join(", "), generation, changes);
        generation = generation + 1 >>> 0;
      } catch (error) {
        isOvertaken = isErrno(error, ERESTART) || isErrno(error, EINTR);
        if (isOvertaken && attempt < ATTEMPTS) break;
        failures.push(errorText(error));
      }
    }
    if (isOvertaken && attempt < ATTEMPTS) continue;
    if (failures.length > 0) throw new Error(failures.join("; "));
    return;
  }
}

/** Our tables of these networks, which go. */
function ownTables(wishes: RuleWishes, family: Family, set: RuleSet): Part {
  const { networks } = familyWishes(wishes, family);
  const names = new Set(networks.map(ownTable));
  const tables = set.tables.filter((one) =>
    one.family === family &&
    (names.has(one.table) || one.table === EARLIER_TABLE && isEarlierTableOf(set, family, networks))
  );
  return {
    changes: tables.map(deleteTable),
    actions: tables.map(({ table }) => `delete table ${IP_NAME[family]} ${table}`),
  };
}

/** What flanneld adds to `nat` of iptables. */
function natPart(wishes: RuleWishes, family: Family, set: RuleSet): Part {
  const { part, networks } = familyWishes(wishes, family);
  if (part === undefined || !wishes.isMasquerading) return NOTHING;
  const table = { family, table: "nat" };
  const chain = { ...table, chain: FLANNEL_NAT_CHAIN, base: undefined };
  const entry: NftChain = { ...table, chain: "POSTROUTING", base: MASQUERADE_CHAIN.base };
  const wanted = iptablesMasquerade(part, wishes, family);
  const isThere = findChain(set, chain) !== undefined;
  const rules = isThere ? set.rulesOf(chain) : [];
  const hasEntry = findChain(set, entry) !== undefined;
  const hasJump = hasEntry && set.rulesOf(entry).some((rule) => jumpOf(rule) === FLANNEL_NAT_CHAIN);
  // Another flanneld of this host has its rules there too; that for marked packets is both's.
  const others = rules.filter((rule) => !isAbout(rule, networks) && !isSameRules([rule], [wanted[0]!]));
  const ours = others.length === 0 ? rules : rules.filter((rule) => isAbout(rule, networks));
  const missing = others.length === 0 ? wanted : wanted.slice(1);
  const isSame = isSameRules(ours, missing);
  if (isSame && hasJump) return NOTHING;
  return {
    changes: [
      ...hasEntry ? [] : [addTable(table), addChain(entry)],
      ...isThere ? [] : [addChain(chain)],
      ...isSame ? [] : ours.map(deleteRule),
      ...isSame ? [] : missing.map((rule) => addRule({ ...chain, ...rule })),
      ...hasJump ? [] : [addRule({ ...entry, ...NAT_JUMP })],
    ],
    actions: [`write chain ${IP_NAME[family]} nat ${FLANNEL_NAT_CHAIN}`],
  };
}

const NAT_JUMP: NftRuleText = asIptables([{ kind: "verdict", verdict: "jump", chain: FLANNEL_NAT_CHAIN }]);

/** The expressions of a rule with flanneld's comment and a counter before what it does. */
function asIptables(expressions: readonly NftExpression[]): NftRuleText {
  const [last] = expressions.slice(-1);
  return {
    expressions: [
      ...expressions.slice(0, -1),
      { kind: "comment", text: MASQUERADE_COMMENT },
      { kind: "counter" },
      last!,
    ],
  };
}

/** What flanneld says to iptables about masquerading, as iptables-nft writes it. */
function iptablesMasquerade(
  part: RuleWishes["families"][number],
  wishes: RuleWishes,
  family: Family,
): NftRuleText[] {
  const { isFullyRandom } = wishes;
  return masqueradeRules(part, { ...wishes, excluded: [] }).map(({ expressions }) =>
    asIptables(
      expressions.map((one) =>
        one.kind === "masquerade" ? { kind: "iptables masquerade", isFullyRandom, family } : one
      ),
    )
  );
}

/** What flanneld adds to `filter` of iptables; its chain is Loden's as well. */
function filterPart(wishes: RuleWishes, family: Family, set: RuleSet): Part {
  const { part } = familyWishes(wishes, family);
  const table = { family, table: "filter" };
  const forward: NftChain = { ...table, chain: "FORWARD", base: ACCEPT_CHAIN.base };
  if (findChain(set, forward) !== undefined || part === undefined || !wishes.isForwarding) {
    const steps = planForward(wishes, family, set);
    return {
      changes: steps.flatMap(({ changes }) => changes),
      actions: steps.map(({ action }) => action),
    };
  }
  const chain = { ...table, chain: FORWARD_CHAIN, base: undefined };
  const isThere = findChain(set, chain) !== undefined;
  return {
    changes: [
      addTable(table),
      addChain(forward),
      addChain(chain),
      ...isThere ? [deleteRule({ family, table: table.table, chain: chain.chain })] : [],
      ...forwardRules(part.network).map((rule) => addRule({ ...chain, ...rule })),
      addRule({ ...forward, ...FORWARD_JUMP }),
    ],
    actions: [`write chain ${IP_NAME[family]} filter ${FORWARD_CHAIN}`],
  };
}

/**
 * The chain of accepted packets in iptables, which flanneld's nftables mode neither has nor removes: it goes, unless
 * packets of pods are refused without it, which flanneld's own table would not change.
 */
function chainPart(wishes: RuleWishes, family: Family, set: RuleSet, kept: string[]): Part {
  const { networks } = familyWishes(wishes, family);
  const forward = findChain(set, { family, table: "filter", chain: "FORWARD" });
  const isAccepting = (prefix: Prefix) =>
    findChain(set, { family, table: "filter", chain: FORWARD_CHAIN }) !== undefined &&
    familyOf(prefix.address) === family;
  if (forward !== undefined && networks.some(isAccepting)) {
    const isRefusing = forward.base?.policy === POLICY.drop || isDeadEnd(set, forward);
    if (isRefusing) {
      kept.push(
        `chain ${IP_NAME[family]} filter ${FORWARD_CHAIN}: FORWARD refuses packets of pods without it, and ` +
          "flanneld's nftables mode changes nothing about that",
      );
      return NOTHING;
    }
  }
  const steps = planForward({ ...wishes, isForwarding: false }, family, set);
  return { changes: steps.flatMap(({ changes }) => changes), actions: steps.map(({ action }) => action) };
}
