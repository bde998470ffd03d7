import { AF_INET, type Family, formatPrefix, type Prefix } from "../model/address.ts";
import type { LegacyListing } from "./legacy_rules.ts";
import { familyWishes, FLANNEL_NAT_CHAIN, FORWARD_CHAIN, type RuleWishes } from "./rules.ts";

/** What legacy iptables has in the tables that flanneld writes to. */
export interface LegacyTables {
  readonly nat: LegacyListing;
  readonly filter: LegacyListing;
}

/**
 * What `iptables-legacy-restore --noflush` must read so that flanneld's rules stand there, as flanneld feeds them to it;
 * `undefined` if they do. A jump to the accepted packets that stands already stays where it is.
 *
 * Source: flannel pkg/trafficmngr/iptables.
 */
export function planLegacyHandBack(
  { nat, filter }: LegacyTables,
  wishes: RuleWishes,
  family: Family,
): string | undefined {
  const { part } = familyWishes(wishes, family);
  if (part === undefined) return undefined;
  const lines = [
    ...wishes.isMasquerading
      ? tableLines("nat", nat, {
        entry: "POSTROUTING",
        chain: FLANNEL_NAT_CHAIN,
        comment: "flanneld masq",
        rules: masqueradeLines(part, wishes, family),
      })
      : [],
    ...wishes.isForwarding
      ? tableLines("filter", filter, {
        entry: "FORWARD",
        chain: FORWARD_CHAIN,
        comment: "flanneld forward",
        rules: ["-s", "-d"].map((flag) =>
          `${flag} ${formatPrefix(part.network)} ${words("flanneld forward")} -j ACCEPT`
        ),
      })
      : [],
  ];
  return lines.length === 0 ? undefined : [...lines, ""].join("\n");
}

function words(comment: string): string {
  return `-m comment --comment "${comment}"`;
}

/** One table, if its chain is not as it must be, or nothing leads to it. */
function tableLines(
  table: string,
  { chains, rules: all }: LegacyListing,
  { entry, chain, comment, rules }: {
    readonly entry: string;
    readonly chain: string;
    readonly comment: string;
    readonly rules: readonly string[];
  },
): string[] {
  const isSame = (all.get(chain) ?? []).join("\n") === rules.join("\n");
  const hasJump = all.get(entry)?.some((rule) => rule.endsWith(`-j ${chain}`)) === true;
  if (isSame && hasJump) return [];
  return [
    `*${table}`,
    ...chains.includes(chain) ? isSame ? [] : [`-F ${chain}`] : [`:${chain} - [0:0]`],
    ...isSame ? [] : rules.map((rule) => `-A ${chain} ${rule}`),
    ...hasJump ? [] : [`-A ${entry} ${words(comment)} -j ${chain}`],
    "COMMIT",
  ];
}

/** The rules of flanneld's chain, as `iptables-legacy-save` prints them. */
function masqueradeLines(
  { network, subnet }: RuleWishes["families"][number],
  { isFullyRandom }: RuleWishes,
  family: Family,
): string[] {
  const [net, own] = [network, subnet].map((prefix: Prefix) => formatPrefix(prefix));
  const masquerade = `${words("flanneld masq")} -j MASQUERADE${isFullyRandom ? " --random-fully" : ""}`;
  const keep = `${words("flanneld masq")} -j RETURN`;
  return [
    `-m mark --mark 0x4000/0x4000 ${keep}`,
    `-s ${own} -d ${net} ${keep}`,
    `-s ${net} -d ${own} ${keep}`,
    `! -s ${net} -d ${own} ${keep}`,
    `-s ${net} ! -d ${family === AF_INET ? "224.0.0.0/4" : "ff00::/8"} ${masquerade}`,
    `! -s ${net} -d ${net} ${masquerade}`,
  ];
}
