import { AF_INET, type Family, formatPrefix, type Prefix } from "../model/address.ts";
import { FORWARD_CHAIN } from "./rules.ts";

/** What legacy iptables says of one table, as `iptables-legacy-save` prints it. */
export interface LegacyListing {
  /** The chains of the table. */
  readonly chains: readonly string[];
  /** The rules of each chain without `-A CHAIN`, in their order. */
  readonly rules: ReadonlyMap<string, readonly string[]>;
}

/** Where flannel's iptables mode has its rules. */
const FLANNEL_NAT_CHAIN = "FLANNEL-POSTRTG";
const COMMENT = '-m comment --comment "flanneld forward"';
const JUMP = `${COMMENT} -j ${FORWARD_CHAIN}`;
/** A rule for every packet: nothing but a comment before its target. */
const UNCONDITIONAL =
  /^(?:-m comment --comment (?:"(?:[^"\\]|\\.)*"|\S+) )?-[jg] (\S+)(?: --reject-with \S+)?$/;
/** Chains are not followed deeper. */
const MAX_DEPTH = 16;

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
  return depth < MAX_DEPTH && isDeadEnd(listing, target, depth + 1);
}

/**
 * What `iptables-legacy-restore --noflush` must read so that forwarded packets of `network` are accepted, and not
 * where it is absent; `undefined` if they are. As in nf_tables, the jump stands before the first rule that refuses all.
 */
export function planLegacyForward(listing: LegacyListing, network: Prefix | undefined): string | undefined {
  const forward = listing.rules.get("FORWARD") ?? [];
  const jumps = forward.flatMap((rule, at) => rule.endsWith(`-j ${FORWARD_CHAIN}`) ? [at] : []);
  const isThere = listing.chains.includes(FORWARD_CHAIN);
  const removals = jumps.map((at) => `-D FORWARD ${at + 1}`).reverse();
  if (network === undefined) {
    if (!isThere) return undefined;
    return input("filter", [...removals, `-F ${FORWARD_CHAIN}`, `-X ${FORWARD_CHAIN}`]);
  }
  const wanted = ["-s", "-d"].map((flag) => `${flag} ${formatPrefix(network)} ${COMMENT} -j ACCEPT`);
  const isSame = isThere && (listing.rules.get(FORWARD_CHAIN) ?? []).join("\n") === wanted.join("\n");
  const others = forward.filter((_, at) => !jumps.includes(at));
  const refusal = others.findIndex((rule) => isRefusal(listing, rule));
  const isInFront = jumps.length === 1 && forward[jumps[0]!] === JUMP &&
    (refusal < 0 || jumps[0]! <= refusal);
  if (isSame && isInFront) return undefined;
  const place = refusal < 0 ? `-A FORWARD ${JUMP}` : `-I FORWARD ${refusal + 1} ${JUMP}`;
  return input("filter", [
    // Makes the chain, or empties it.
    `:${FORWARD_CHAIN} - [0:0]`,
    ...wanted.map((rule) => `-A ${FORWARD_CHAIN} ${rule}`),
    ...isInFront ? [] : [...removals, place],
  ]);
}

/** What removes flannel's masquerade rules of this family; `undefined` if there are none. */
export function planLegacyNat(
  listing: LegacyListing,
  family: Family,
  half: { readonly network: Prefix; readonly subnet: Prefix } | undefined,
): string | undefined {
  const bare = family === AF_INET && half !== undefined ? bareRules(half) : [];
  const removals = (listing.rules.get("POSTROUTING") ?? []).flatMap((rule, at) =>
    rule.endsWith(`-j ${FLANNEL_NAT_CHAIN}`) || bare.includes(rule) ? [`-D POSTROUTING ${at + 1}`] : []
  ).reverse();
  const isThere = listing.chains.includes(FLANNEL_NAT_CHAIN);
  if (removals.length === 0 && !isThere) return undefined;
  return input("nat", [
    ...removals,
    ...isThere ? [`-F ${FLANNEL_NAT_CHAIN}`, `-X ${FLANNEL_NAT_CHAIN}`] : [],
  ]);
}

/** The rules of flannel 0.8, which have neither a chain nor a comment. */
function bareRules(half: { readonly network: Prefix; readonly subnet: Prefix }): readonly string[] {
  const [network, subnet] = [half.network, half.subnet].map(formatPrefix);
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
