import type { NetlinkClient } from "../netlink/client.ts";
import { bookKey, type WalkedBook } from "../nftables/rule_book.ts";
import type { NftChain, NftTable } from "../nftables/objects.ts";
import { dumpRawRules, type RawRule } from "../nftables/raw_rule.ts";
import { isTrackedBy } from "../nftables/tracking.ts";
import { readRuleSet, type RuleSet } from "../nftables/rule_set.ts";

/** Chains with more rules are not played: they are those of Services by the thousand. */
const MOST_RULES = 2000;
/** Rules that are read for one look. */
const MOST_RULES_IN_ALL = 10_000;

/** Rules that are read when a packet comes to them. */
export interface LazyBook extends WalkedBook {
  /** The chains whose rules were asked for, each by {@linkcode bookKey}. */
  readonly read: ReadonlySet<string>;
}

/**
 * Reads of the rules what packets come to.
 *
 * @param client Over a socket of `NETLINK_NETFILTER`.
 * @param chains The base chains that the kernel runs.
 * @param large Chains that were too large before; what is found so is added.
 */
export function lazyBook(
  client: NetlinkClient,
  chains: readonly NftChain[],
  large: Set<string>,
): LazyBook {
  const rules = new Map<string, readonly RawRule[]>();
  const sets = new Map<string, RuleSet | undefined>();
  const read = new Set<string>();
  const names = new Map(chains.map((chain) => [bookKey(chain), chain as NftTable & { chain: string }]));
  let count = 0;
  const get = (key: string): readonly RawRule[] => {
    const known = rules.get(key);
    if (known !== undefined) return known;
    const of = names.get(key) ?? chainOf(key);
    const isLeft = large.has(key) || count > MOST_RULES_IN_ALL;
    let found: readonly RawRule[] = isLeft ? [] : dumpRawRules(client, of);
    if (found.length > MOST_RULES) large.add(key);
    else if (!isLeft) read.add(key);
    if (isLeft || found.length > MOST_RULES) found = [unread(of)];
    count += found.length;
    rules.set(key, found);
    return found;
  };
  const setOf = ({ family, table }: NftTable, name: string) => {
    const key = `${family} ${table} ${name}`;
    if (!sets.has(key)) sets.set(key, readRuleSet(client, { family, table }, name));
    return sets.get(key);
  };
  const tracked = new Map<number, boolean>();
  const isTracked = (family: number) => {
    // Asked where a chain of translation drops, which hosts that work have not.
    if (!tracked.has(family)) tracked.set(family, isTrackedBy(dumpRawRules(client), family));
    return tracked.get(family)!;
  };
  return { chains, rules: { get }, setOf, isTracked, read };
}

/** A rule in place of those that are not read: what it does is not known. */
function unread(of: NftTable & { readonly chain: string }): RawRule {
  return { ...of, handle: 0n, expressions: [{ name: "queue", attributes: new Map() }] };
}

/** What a key of a book names: family, table, chain. Names have no spaces. */
function chainOf(key: string): NftTable & { readonly chain: string } {
  const [family, table = "", chain = ""] = key.split(" ");
  return { family: Number(family), table, chain };
}
