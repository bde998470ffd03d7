import type { PlacedRule } from "./rule_book.ts";

/** `NFPROTO_*`, as nft(8) calls them. */
const FAMILIES: Readonly<Record<number, string>> = {
  1: "inet",
  2: "ip",
  5: "netdev",
  7: "bridge",
  10: "ip6",
};
/** The tables of iptables. */
const IPTABLES: ReadonlySet<string> = new Set(["filter", "nat", "mangle", "raw", "security"]);

/** Where a rule stands, and what it says. */
export function placeText({ family, table, chain, handle, line, text }: PlacedRule): string {
  const where = `chain ${chain} of table ${FAMILIES[family] ?? family} ${table}`;
  if (handle === undefined) return `the ${text} of ${where}`;
  // As `iptables -L --line-numbers` counts.
  const isIptables = (family === 2 || family === 10) && IPTABLES.has(table) && line !== undefined;
  return `the rule with handle ${handle}${isIptables ? `, line ${line},` : ""} of ${where}, "${text}"`;
}

/** What to do about a rule that refuses what is to pass. */
export function remedyOf({ family, table, chain, handle }: PlacedRule): string {
  const of = `${FAMILIES[family] ?? family} ${table} ${chain}`;
  return handle === undefined
    ? `have a rule of ${of} accept it`
    : `nft delete rule ${of} handle ${handle}, or accept it before`;
}
