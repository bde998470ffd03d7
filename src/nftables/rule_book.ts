import type { NetlinkClient } from "../netlink/client.ts";
import { awakeChains, dumpChains, dumpTables } from "./dump.ts";
import type { NftChain, NftTable } from "./objects.ts";
import { dumpRawRules, type RawRule } from "./raw_rule.ts";
import { isTrackedBy } from "./tracking.ts";
import { readRuleSet, type RuleSet } from "./rule_set.ts";

/** All chains and rules of this host. */
export interface RuleBook {
  /** Those that the kernel runs. */
  readonly chains: readonly NftChain[];
  /** The rules of a chain, by {@linkcode bookKey}. */
  readonly rules: ReadonlyMap<string, readonly RawRule[]>;
  /** Whether connections are tracked in a family for certain. */
  readonly isTracked: (family: number) => boolean;
  /** Reads a set of a table while the client is open; each once. */
  readonly setOf: (table: NftTable, name: string) => RuleSet | undefined;
}

/** What a packet is played through. */
export interface WalkedBook extends Pick<RuleBook, "chains" | "setOf"> {
  /** The rules of a chain, by {@linkcode bookKey}; they may be read when they are asked for. */
  readonly rules: Pick<RuleBook["rules"], "get">;
  /** Whether connections are tracked in a family for certain; so if absent. */
  readonly isTracked?: (family: number) => boolean;
}

/** A rule, or a chain's policy where it has no handle. */
export interface PlacedRule {
  readonly family: number;
  readonly table: string;
  readonly chain: string;
  readonly handle: bigint | undefined;
  /** Its number in the chain, from 1, as `iptables -L --line-numbers` shows. */
  readonly line?: number;
  /** In words, near to those of nft(8). */
  readonly text: string;
  /** What becomes of a packet that it does not just drop: a clause, as `leads it elsewhere`. */
  readonly does?: string;
}

/** What names a chain in a {@linkcode RuleBook}. */
export function bookKey({ family, table, chain }: Omit<NftChain, "base">): string {
  return `${family} ${table} ${chain}`;
}

/**
 * Reads all rules; `undefined` where the kernel has no nf_tables, or this process may not read them.
 *
 * @param client Over a socket of `NETLINK_NETFILTER`.
 */
export function readRuleBook(client: NetlinkClient): RuleBook {
  const chains = awakeChains(dumpChains(client, () => true).values(), dumpTables(client));
  const all = dumpRawRules(client);
  const rules = Map.groupBy(all, bookKey);
  const sets = new Map<string, RuleSet | undefined>();
  const setOf = ({ family, table }: NftTable, name: string) => {
    const key = `${family} ${table} ${name}`;
    if (!sets.has(key)) sets.set(key, readRuleSet(client, { family, table }, name));
    return sets.get(key);
  };
  return { chains, rules, setOf, isTracked: (family) => isTrackedBy(all, family) };
}
