import { type Family, FAMILY_NAMES, familyOf, prefixContains } from "../model/address.ts";
import { HOOK, type NftChain, type NftRuleText, POLICY } from "../nftables/objects.ts";
import type { NftExpression } from "../nftables/expression.ts";
import { MAX_CHAIN_DEPTH, type RuleSet } from "./rule_set.ts";
import { type IncomingVxlan, IP_NAME } from "./rules.ts";

/** Whether a rule is for a packet; `maybe` where that is not known here. */
type Match = "yes" | "no" | "maybe";
/** What becomes of a packet in a chain; `open` where that is not known here. */
type Fate = "drops" | "accepts" | "returns" | "open";

const UDP = 17;
/** The index of `lo`, in any network namespace. */
const LOOPBACK = 1;
/** `NFPROTO_INET`: tables of both families. */
const INET = 1;
/** The states of a packet that belongs to no known connection: new, or untracked. */
const NEW = 8;
const UNTRACKED = 64;
/** What is done and lets a packet go on, of the expressions that are `other`. */
const GOES_ON: ReadonlySet<string> = new Set([
  "log",
  "meta",
  "ct",
  "notrack",
  "target LOG",
  "target NFLOG",
  "target MARK",
  "target CONNMARK",
  "target CT",
  "target TRACE",
  "match comment",
]);
const REFUSES: ReadonlySet<string> = new Set(["reject", "target REJECT", "target DROP"]);

/**
 * Which chains drop all that other hosts send to the VTEPs of this one, one sentence each. Only what is certain is told: a
 * rule that asks for what is not known here may be for these packets or not. One of them is always the first of its
 * connection, as each host sends from ports of its own choice.
 */
export function incomingDropped(incoming: IncomingVxlan, set: RuleSet): string[] {
  const families = [...new Set(incoming.addresses.map(familyOf))];
  return set.awake.flatMap((chain) => {
    const { base, family } = chain;
    const isFilter = base?.type === "filter" && (base.hook === HOOK.input || base.hook === HOOK.prerouting);
    if (!isFilter) return [];
    const met = families.filter((one) => family === INET || family === one);
    const dropped = met.filter((one) => fateIn(set, chain, { ...incoming, family: one }) === "drops");
    return dropped.length === 0
      ? []
      : [sentenceOf(chain, incoming.port, dropped.length < families.length ? dropped : [])];
  });
}

/** @param only The families that it is about, where it is not about all. */
function sentenceOf({ family, table, chain }: NftChain, port: number, only: readonly Family[]): string {
  const isIptables = family !== INET && table === "filter" && chain === "INPUT";
  const program = family === 10 ? "ip6tables" : "iptables";
  const command = isIptables
    ? `${program} -I INPUT -p udp --dport ${port} -j ACCEPT`
    : `nft insert rule ${IP_NAME[family]} ${table} ${chain} udp dport ${port} accept`;
  return `chain ${chain} of table ${
    IP_NAME[family]
  } ${table} drops all that other hosts send to this one in VXLAN${
    only.length === 0 ? "" : ` over ${only.map((one) => FAMILY_NAMES[one]).join(" and ")}`
  }, ` +
    `to UDP port ${port}: have it accept that (${command})`;
}

/** What becomes of a packet of one family in a chain. */
function fateIn(
  set: RuleSet,
  chain: NftChain | Omit<NftChain, "base">,
  packet: IncomingVxlan & { readonly family: Family },
  depth = 0,
): Fate {
  if (depth > MAX_CHAIN_DEPTH) return "open";
  let isOpen = false;
  for (const rule of set.rulesOf(chain)) {
    const [match, end] = readRule(rule, packet);
    if (match === "no") continue;
    let fate: Fate | undefined;
    if (end === "jump" || end === "goto") {
      const last = rule.expressions.at(-1) as Extract<NftExpression, { kind: "verdict" }>;
      fate = fateIn(set, { ...chain, chain: last.chain ?? "" }, packet, depth + 1);
      // Behind a goto comes the end of the chain that was jumped from.
      if (fate === "returns" && end === "jump") continue;
    } else fate = end;
    if (fate === undefined) continue;
    if (match === "yes" && !isOpen && fate !== "open") return fate;
    if (match === "yes" && fate === "drops") return "open";
    // That some of these packets are dropped here says nothing of the others.
    if (fate !== "drops") isOpen = true;
  }
  const isDropping = "base" in chain && chain.base?.policy === POLICY.drop;
  if (isOpen) return "open";
  return isDropping ? "drops" : "returns";
}

/** Whether a rule is for the packet, and what it does with one; `undefined` for nothing. */
function readRule(
  { expressions }: NftRuleText,
  packet: IncomingVxlan & { readonly family: Family },
): [match: Match, end: Fate | "jump" | "goto" | undefined] {
  let match: Match = "yes";
  for (const [at, expression] of expressions.entries()) {
    if (expression.kind === "verdict") {
      const { verdict } = expression;
      if (verdict === "jump" || verdict === "goto") return [match, verdict];
      return [match, verdict === "drop" ? "drops" : verdict === "accept" ? "accepts" : "returns"];
    }
    if (expression.kind === "other") {
      if (REFUSES.has(expression.name)) return [match, "drops"];
      if (GOES_ON.has(expression.name)) continue;
      // A map of verdicts, a queue, a proxy.
      if (at === expressions.length - 1) return [match, "open"];
    }
    const one = matchOf(expression, packet);
    if (one === "no") return ["no", undefined];
    if (one === "maybe") match = "maybe";
  }
  return [match, undefined];
}

function matchOf(expression: NftExpression, packet: IncomingVxlan & { readonly family: Family }): Match {
  const is = (isSame: boolean, isNot: boolean): Match => isSame !== isNot ? "yes" : "no";
  switch (expression.kind) {
    case "counter":
    case "comment":
      return "yes";
    case "family":
      return is(expression.value === packet.family, expression.isNot);
    case "protocol":
      return is(expression.value === UDP, expression.isNot);
    case "port":
      return is(expression.value === packet.port, expression.isNot);
    case "input index":
      // Another link's index may be the underlay's, or be so later.
      return expression.value === LOOPBACK ? is(false, expression.isNot) : "maybe";
    case "input": {
      const { name, isPrefix, isNot } = expression;
      return is(isPrefix ? packet.inputLink.startsWith(name) : packet.inputLink === name, isNot);
    }
    case "state": {
      const { mask, isNot } = expression;
      const has = [NEW, UNTRACKED].map((bit) => (mask & bit) !== 0);
      return has.every((one) => one === has[0]) ? is(has[0]!, isNot) : "maybe";
    }
    case "destination": {
      const { prefix, isNot } = expression;
      const own = packet.addresses.filter((address) => familyOf(address) === familyOf(prefix.address));
      return own.length === 0 ? "maybe" : is(own.some((address) => prefixContains(prefix, address)), isNot);
    }
    default:
      return "maybe";
  }
}
