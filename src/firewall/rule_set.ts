import { type Prefix, prefixEquals } from "../model/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import type { NftChain, NftRule, NftRuleText } from "../nftables/objects.ts";
import { awakeChains, dumpChains, dumpRules, dumpTables, type FoundTable } from "../nftables/dump.ts";
import { expressionsText } from "../nftables/expression.ts";
import { chainKey, isChainOfInterest, type RuleNews } from "./rule_news.ts";

/** The rules of a host, as far as they are asked for. */
export interface RuleSet {
  readonly tables: readonly FoundTable[];
  readonly chains: readonly NftChain[];
  /** Those of them that the kernel runs. */
  readonly awake: readonly NftChain[];
  /** The rules of a chain, in their order. */
  rulesOf(chain: Omit<NftChain, "base">): readonly NftRule[];
}

/**
 * Reads tables and the chains of interest, and rules when they are asked for.
 *
 * @param heard What is known of the chains already, as of a generation that was read before.
 * @throws {NetlinkError} If the kernel refuses.
 */
export function observeRules(
  client: NetlinkClient,
  heard?: { readonly news: RuleNews; readonly generation: number },
): RuleSet {
  const rules = new Map<string, readonly NftRule[]>();
  let chains = heard?.news.chainsAt(heard.generation);
  if (chains === undefined) {
    const all = dumpChains(client, isChainOfInterest);
    heard?.news.readAll(heard.generation, all);
    chains = [...all.values()];
  }
  const tables = dumpTables(client);
  return {
    tables,
    chains,
    awake: awakeChains(chains, tables),
    rulesOf(chain) {
      const key = chainKey(chain);
      let known = rules.get(key);
      if (known === undefined) {
        rules.set(key, known = dumpRules(client, chain));
        heard?.news.read(key);
      }
      return known;
    },
  };
}

/** The chain of that name; `undefined` where there is none. */
export function findChain(
  { chains }: RuleSet,
  wanted: { readonly family: number; readonly table: string; readonly chain: string },
): NftChain | undefined {
  return chains.find(({ family, table, chain }) =>
    family === wanted.family && table === wanted.table && chain === wanted.chain
  );
}

/** Reports whether two lists of rules say the same in the same order. */
export function isSameRules(a: readonly NftRuleText[], b: readonly NftRuleText[]): boolean {
  const text = ({ expressions, comment = "" }: NftRuleText) => `${expressionsText(expressions)} ${comment}`;
  return a.length === b.length && a.every((rule, at) => text(rule) === text(b[at]!));
}

/** The chain that a rule leads to; `undefined` where it leads nowhere. */
export function jumpOf({ expressions }: NftRuleText): string | undefined {
  const last = expressions.at(-1);
  return last?.kind === "verdict" ? last.chain : undefined;
}

/** Whether a rule names one of these networks, or all but it. */
export function isAbout(
  { expressions }: NftRuleText,
  networks: readonly Prefix[],
  ways: readonly ("source" | "destination")[] = ["source", "destination"],
): boolean {
  return expressions.some((expression) =>
    (expression.kind === "source" || expression.kind === "destination") && ways.includes(expression.kind) &&
    networks.some((network) => prefixEquals(network, expression.prefix))
  );
}

/** How deep chains are followed; the kernel allows 16 jumps. */
export const MAX_CHAIN_DEPTH = 16;
/** What is said and asks for nothing, in a rule that is not Loden's. */
const ASIDES: ReadonlySet<string> = new Set(["log", "target LOG", "target NFLOG", "match comment"]);
/** The last word of rules that refuse. */
const REFUSALS: ReadonlySet<string> = new Set(["reject", "target REJECT", "target DROP"]);

/** Reports whether no packet comes behind the end of a chain. */
export function isDeadEnd(set: RuleSet, chain: Omit<NftChain, "base">, depth = 0): boolean {
  for (const rule of set.rulesOf(chain)) {
    if (isRefusal(set, rule, depth)) return true;
    const [last] = isUnconditional(rule) ? rule.expressions.slice(-1) : [];
    if (last?.kind === "verdict" && (last.verdict === "accept" || last.verdict === "return")) return false;
  }
  return false;
}

/** Reports whether a rule drops or rejects every packet that comes to it. */
export function isRefusal(set: RuleSet, rule: NftRule, depth = 0): boolean {
  if (!isUnconditional(rule)) return false;
  const last = rule.expressions.at(-1)!;
  if (last.kind === "other") return REFUSALS.has(last.name);
  if (last.kind !== "verdict") return false;
  if (last.chain === undefined) return last.verdict === "drop";
  return depth < MAX_CHAIN_DEPTH && isDeadEnd(set, { ...rule, chain: last.chain }, depth + 1);
}

/** Reports whether a rule itself drops or rejects packets, all or some. */
export function mayRefuse({ expressions }: NftRuleText): boolean {
  const last = expressions.at(-1);
  if (last?.kind === "other") return REFUSALS.has(last.name);
  return last?.kind === "verdict" && last.chain === undefined && last.verdict === "drop";
}

function isUnconditional({ expressions }: NftRuleText): boolean {
  return expressions.length > 0 &&
    expressions.every((expression, at) =>
      expression.kind === "counter" || expression.kind === "comment" || at === expressions.length - 1 ||
      expression.kind === "other" && ASIDES.has(expression.name)
    );
}
