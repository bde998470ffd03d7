import {
  type Address,
  type Family,
  familyOf,
  formatPrefix,
  parsePrefix,
  type Prefix,
  prefixEquals,
} from "../model/address.ts";
import { HOOK, type NftChain, type NftChange, type NftRuleText, POLICY } from "../nftables/objects.ts";
import type { NftExpression } from "../nftables/expression.ts";

/** What other hosts send to this one's VTEPs. */
export interface IncomingVxlan {
  /** The UDP port. */
  readonly port: number;
  /** The link that it comes in by, by name. */
  readonly inputLink: string;
  /** Where this host is in the underlay. */
  readonly addresses: readonly Address[];
}

/** What is wanted of the packet filter, as flags and configuration say it. */
export interface RuleWishes {
  /** The cluster network and this host's subnet of each family in use. */
  readonly families: readonly { readonly network: Prefix; readonly subnet: Prefix }[];
  /** `-ip-masq` */
  readonly isMasquerading: boolean;
  /** Off with `-ip-masq-fully-random-disable`. */
  readonly isFullyRandom: boolean;
  /** `-iptables-forward-rules` */
  readonly isForwarding: boolean;
  /** Where pods go with their own addresses, of either family: `MasqueradeExclude`. */
  readonly excluded: readonly Prefix[];
  /** What other hosts send to this one's VTEPs, which is to get in; absent where nobody does. */
  readonly incoming?: IncomingVxlan;
  /** Networks that this agent had before: what was made for them goes when the new stands. */
  readonly former?: readonly Prefix[];
  /** This host leaves the overlay: what is Loden's or flannel's goes, whichever network it is about. */
  readonly isLeaving?: boolean;
}

/** What is wished on a host that has left the overlay. */
export const nothingWished: RuleWishes = {
  families: [],
  isMasquerading: false,
  isFullyRandom: false,
  isForwarding: false,
  excluded: [],
  isLeaving: true,
};

/** Whose a thing is that is not as wished: ours, or what flanneld or an earlier Loden made for our network. */
export type RuleKind = "own" | "flannel" | "earlier";

/** One thing that must change. */
export interface RuleStep {
  readonly kind: RuleKind;
  /** A phrase for the log: `write table ip loden-10.244.0.0-16`. */
  readonly action: string;
  readonly changes: readonly NftChange[];
}

/** How nft(8) calls families. */
export const IP_NAME: Readonly<Record<number, string>> = { 1: "inet", 2: "ip", 10: "ip6" };

/** The networks of one family, as wishes name them. */
export interface FamilyWishes {
  readonly part: RuleWishes["families"][number] | undefined;
  /** Former networks, without the present one. */
  readonly former: readonly Prefix[];
  /** All of them. */
  readonly networks: readonly Prefix[];
}

/** What wishes say of one family. */
export function familyWishes({ families, former = [] }: RuleWishes, family: Family): FamilyWishes {
  const isOfFamily = ({ address }: Prefix) => familyOf(address) === family;
  const part = families.find(({ network }) => isOfFamily(network));
  const left = former.filter((prefix) =>
    isOfFamily(prefix) && !(part !== undefined && prefixEquals(prefix, part.network))
  );
  return { part, former: left, networks: part === undefined ? left : [part.network, ...left] };
}

/** What the one table was called before each network had its own. */
export const EARLIER_TABLE = "loden";

/**
 * The table that is ours alone, of one network: other agents on this host have others. nft(8) reads no
 * colons in a name without quotes: that of `fd00::/48` is `loden-fd00__-48`.
 */
export function ownTable(network: Prefix): string {
  return `${EARLIER_TABLE}-${formatPrefix(network).replaceAll(":", "_").replace("/", "-")}`;
}

/** Whether a table is one of ours by its name, of whichever network. */
export function isOwnTable(family: Family, table: string): boolean {
  const network = networkOfTable(table);
  return network !== undefined && familyOf(network.address) === family;
}

/** The network of one of our tables, by its name; `undefined` if it is none. */
export function networkOfTable(table: string): Prefix | undefined {
  const [, address, length] = /^loden-([0-9a-f._]+)-(\d+)$/.exec(table) ?? [];
  if (address === undefined) return undefined;
  try {
    const network = parsePrefix(`${address.replaceAll("_", ":")}/${length}`);
    return ownTable(network) === table ? network : undefined;
  } catch {
    return undefined;
  }
}

/** What flannel's nftables mode calls its tables. */
export const FLANNEL_TABLES: Readonly<Record<Family, string>> = { 2: "flannel-ipv4", 10: "flannel-ipv6" };
/** Where flannel's iptables mode has its rules. */
export const FLANNEL_NAT_CHAIN = "FLANNEL-POSTRTG";
/** flannel's chain of accepted packets, and the comment of its rules. */
export const FORWARD_CHAIN = "FLANNEL-FWD";
const FORWARD_COMMENT = "flanneld forward";

/** The mark by which kube-proxy says that it masquerades a packet itself. */
const KUBE_MARK = { kind: "mark", value: 0x4000, mask: 0x4000 } as const;
const MULTICAST: Readonly<Record<Family, Prefix>> = {
  2: parsePrefix("224.0.0.0/4"),
  10: parsePrefix("ff00::/8"),
};
/** `NF_IP_PRI_NAT_SRC`, which nft(8) calls `srcnat`. */
const SRCNAT = 100;

/** The one chain of our table. */
export function ownChain(network: Prefix): NftChain {
  const base = { type: "nat", hook: HOOK.postrouting, priority: SRCNAT, policy: POLICY.accept };
  return { family: familyOf(network.address), table: ownTable(network), chain: "postrouting", base };
}

/**
 * Which packets take this host's address, in their order: what flannel says to iptables. What it says to nftables
 * differs by accident: its fourth rule is about the network in place of the subnet, so that the last one is never
 * reached.
 *
 * Source: flannel pkg/trafficmngr/iptables.
 */
export function masqueradeRules(
  { network, subnet }: { readonly network: Prefix; readonly subnet: Prefix },
  { isFullyRandom, excluded }: RuleWishes,
): NftRuleText[] {
  const family = familyOf(network.address);
  const from = (prefix: Prefix, isNot = false) => ({ kind: "source", prefix, isNot }) as const;
  const to = (prefix: Prefix, isNot = false) => ({ kind: "destination", prefix, isNot }) as const;
  const keep: NftExpression = { kind: "verdict", verdict: "return" };
  const masquerade: NftExpression = { kind: "masquerade", isFullyRandom };
  const rule = (comment: string, ...expressions: NftExpression[]) => ({ expressions, comment });
  return [
    rule("kube-proxy sees to it", KUBE_MARK, keep),
    rule("own pods to pods", from(subnet), to(network), keep),
    rule("pods to own pods", from(network), to(subnet), keep),
    rule("others to own pods", from(network, true), to(subnet), keep),
    ...excluded.filter(({ address }) => familyOf(address) === family)
      .map((prefix) => rule("MasqueradeExclude", from(network), to(prefix), keep)),
    rule("pods to the outside", from(network), to(MULTICAST[family], true), masquerade),
    rule("this host and others to pods elsewhere", from(network, true), to(network), masquerade),
  ];
}

/** What flannel's chain says, as iptables writes it. */
export function forwardRules(network: Prefix): NftRuleText[] {
  return (["source", "destination"] as const).map((kind) => ({
    expressions: [
      { kind, prefix: network, isNot: false },
      { kind: "comment", text: FORWARD_COMMENT },
      { kind: "counter" },
      { kind: "verdict", verdict: "accept" },
    ],
  }));
}

/** The rule that leads there. */
export const FORWARD_JUMP: NftRuleText = {
  expressions: [
    { kind: "comment", text: FORWARD_COMMENT },
    { kind: "counter" },
    { kind: "verdict", verdict: "jump", chain: FORWARD_CHAIN },
  ],
};
