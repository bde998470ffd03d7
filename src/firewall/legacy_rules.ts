import { AF_INET, type Family, formatPrefix, type Prefix } from "../model/address.ts";
import { familyWishes, FLANNEL_NAT_CHAIN, FORWARD_CHAIN, type RuleWishes } from "./rules.ts";
import { MAX_CHAIN_DEPTH } from "./rule_set.ts";

/** What legacy iptables says of one table, as `iptables-legacy-save` prints it. */
export interface LegacyListing {
  /** The chains of the table. */
  readonly chains: readonly string[];
  /** The rules of each chain without `-A CHAIN`, in their order. */
  readonly rules: ReadonlyMap<string, readonly string[]>;
}

/** flannel's rule for packets that kube-proxy has marked, which is about no network. */
const MARK_RULE = /^-m mark --mark \S+ .*-j RETURN$/;
const COMMENT = '-m comment --comment "flanneld forward"';
const JUMP = `${COMMENT} -j ${FORWARD_CHAIN}`;
/** A rule for every packet: nothing but a comment before its target. */
const UNCONDITIONAL =
  /^(?:-m comment --comment (?:"(?:[^"\\]|\\.)*"|\S+) )?-[jg] (\S+)(?: --reject-with \S+)?$/;

/** Reads what `iptables-legacy-save -t TABLE` has printed. */
export function parseLegacyListing(text: string): LegacyListing {
  const chains: string[] = [];
  const rules = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [, declared] = /^:(\S+) /.exec(line) ?? [];
    const [, chain, rule] = /^-A (\S+) (.*)$/.exec(line) ?? [];
    if (declared !== undefined) {
      chains.push(declared);
      rules.set(declared, []);
    } else if (chain !== undefined) rules.get(chain)?.push(rule!);
  }
  return { chains, rules };
}

/** Whether no packet comes behind the end of a chain. */
function isDeadEnd({ rules }: LegacyListing, chain: string, depth = 0): boolean {
  for (const rule of rules.get(chain) ?? []) {
    const [, target] = UNCONDITIONAL.exec(rule) ?? [];
    if (target === "ACCEPT" || target === "RETURN") return false;
    if (target !== undefined && isRefusal({ chains: [], rules }, rule, depth)) return true;
  }
  return false;
}

function isRefusal(listing: LegacyListing, rule: string, depth = 0): boolean {
  const [, target] = UNCONDITIONAL.exec(rule) ?? [];
  if (target === undefined) return false;
  if (target === "DROP" || target === "REJECT") return true;
  return depth < MAX_CHAIN_DEPTH && isDeadEnd(listing, target, depth + 1);
}

/**
 * What `iptables-legacy-restore --noflush` must read so that forwarded packets of our network are accepted, and not
 * where that is not wished; `undefined` if it is so. As in nf_tables, the jump stands before the first rule that
 * refuses all, and agents of other networks have rules of theirs in the same chain.
 */
export function planLegacyForward(
  listing: LegacyListing,
  wishes: RuleWishes,
  family: Family,
): string | undefined {
  const forward = listing.rules.get("FORWARD") ?? [];
  const jumps = forward.flatMap((rule, at) => rule.endsWith(`-j ${FORWARD_CHAIN}`) ? [at] : []);
  const isThere = listing.chains.includes(FORWARD_CHAIN);
  const removals = jumps.map((at) => `-D FORWARD ${at + 1}`).reverse();
  const accepted = listing.rules.get(FORWARD_CHAIN) ?? [];
  const { part, former, networks } = familyWishes(wishes, family);
  const network = wishes.isForwarding ? part?.network : undefined;
  const accepting = (prefixes: readonly Prefix[]) => accepted.filter((rule) => isAcceptOf(rule, prefixes));
  // By what they say: their numbers change while others add and remove theirs.
  const deletions = (rules: readonly string[]) => rules.map((rule) => `-D ${FORWARD_CHAIN} ${rule}`);
  if (network === undefined) {
    const ours = accepting(networks);
    if (wishes.isLeaving === true ? isThere : ours.length > 0 && ours.length === accepted.length) {
      return input("filter", [...removals, `-F ${FORWARD_CHAIN}`, `-X ${FORWARD_CHAIN}`]);
    }
    return ours.length === 0 ? undefined : input("filter", deletions(ours));
  }
  const wanted = ["-s", "-d"].map((flag) => `${flag} ${formatPrefix(network)} ${COMMENT} -j ACCEPT`);
  const ours = accepting([network]);
  const old = accepting(former);
  const isSame = isThere && ours.join("\n") === wanted.join("\n");
  const others = forward.filter((_, at) => !jumps.includes(at));
  const refusal = others.findIndex((rule) => isRefusal(listing, rule));
  const isInFront = jumps.length === 1 && forward[jumps[0]!] === JUMP &&
    (refusal < 0 || jumps[0]! <= refusal);
  if (isSame && old.length === 0 && isInFront) return undefined;
  const place = refusal < 0 ? `-A FORWARD ${JUMP}` : `-I FORWARD ${refusal + 1} ${JUMP}`;
  return input("filter", [
    ...isThere ? [] : [`:${FORWARD_CHAIN} - [0:0]`],
    ...deletions(isSame ? old : [...old, ...ours]),
    ...isSame ? [] : wanted.map((rule) => `-A ${FORWARD_CHAIN} ${rule}`),
    ...isInFront ? [] : [...removals, place],
  ]);
}

/** Whether a rule accepts what comes from, or goes to, one of these networks, and asks for nothing else. */
function isAcceptOf(rule: string, networks: readonly Prefix[]): boolean {
  const [, prefix] =
    /^-[sd] (\S+) (?:-m comment --comment (?:"(?:[^"\\]|\\.)*"|\S+) )?-j ACCEPT$/.exec(rule) ?? [];
  return prefix !== undefined && networks.some((network) => formatPrefix(network) === prefix);
}

/** What removes flannel's masquerade rules about our networks of this family; `undefined` if there are none. */
export function planLegacyNat(
  listing: LegacyListing,
  wishes: RuleWishes,
  family: Family,
): string | undefined {
  const { part, networks } = familyWishes(wishes, family);
  const chainless = family === AF_INET && part !== undefined ? chainlessRules(part) : [];
  const postrouting = listing.rules.get("POSTROUTING") ?? [];
  const isJump = (rule: string) => rule.endsWith(`-j ${FLANNEL_NAT_CHAIN}`);
  const rules = listing.rules.get(FLANNEL_NAT_CHAIN) ?? [];
  const names = networks.map(formatPrefix);
  const isOurs = (rule: string) => names.some((name) => rule.match(/(?<=-[sd] )\S+/g)?.includes(name));
  const ours = rules.filter(isOurs);
  const others = rules.filter((rule) => !isOurs(rule) && !MARK_RULE.test(rule));
  const isThere = listing.chains.includes(FLANNEL_NAT_CHAIN);
  // What is empty and not led to may have been made this moment, by one that begins.
  const isLeft = others.length === 0 && (ours.length > 0 || postrouting.some(isJump));
  const isGoing = isThere && (wishes.isLeaving === true || isLeft);
  const lines = [
    ...postrouting.flatMap((rule, at) =>
      isGoing && isJump(rule) || chainless.includes(rule) ? [`-D POSTROUTING ${at + 1}`] : []
    ).reverse(),
    ...isGoing
      ? [`-F ${FLANNEL_NAT_CHAIN}`, `-X ${FLANNEL_NAT_CHAIN}`]
      : ours.map((rule) => `-D ${FLANNEL_NAT_CHAIN} ${rule}`),
  ];
  return lines.length === 0 ? undefined : input("nat", lines);
}

/** The rules of flannel 0.8, which have neither a chain nor a comment. */
function chainlessRules(part: { readonly network: Prefix; readonly subnet: Prefix }): readonly string[] {
  const [network, subnet] = [part.network, part.subnet].map(formatPrefix);
  return [
    `-s ${network} -d ${network} -j RETURN`,
    `-s ${network} ! -d 224.0.0.0/4 -j MASQUERADE`,
    `! -s ${network} -d ${subnet} -j RETURN`,
    `! -s ${network} -d ${network} -j MASQUERADE`,
  ];
}

function input(table: string, lines: readonly string[]): string {
  return [`*${table}`, ...lines, "COMMIT", ""].join("\n");
}
