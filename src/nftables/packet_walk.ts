import { familyOf } from "../model/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { awakeChains, dumpChains, dumpTables } from "./dump.ts";
import { matchRule } from "./match.ts";
import { type NftChain, type NftTable, POLICY } from "./objects.ts";
import type { Packet, PacketLink } from "./packet.ts";
import { dumpRawRules, type RawRule } from "./raw_rule.ts";
import type { RuleAction } from "./rule_words.ts";
import { readRuleSet, type RuleSet } from "./rule_set.ts";

/** Where packets meet rules: `NF_INET_*` of linux/netfilter.h. */
export const PACKET_HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
/** `NF_INET_INGRESS`, and `NF_NETDEV_*` of the same. */
const INET_INGRESS = 5;
const NETDEV_HOOK = { ingress: 0, egress: 1 } as const;

/** All chains and rules of this host. */
export interface RuleBook {
  /** Those that the kernel runs. */
  readonly chains: readonly NftChain[];
  /** The rules of a chain, by {@linkcode bookKey}. */
  readonly rules: ReadonlyMap<string, readonly RawRule[]>;
  /** Reads a set of a table while the client is open; each once. */
  readonly setOf: (table: NftTable, name: string) => RuleSet | undefined;
}

/** What a packet is played through. */
export interface WalkedBook extends Pick<RuleBook, "chains" | "setOf"> {
  /** The rules of a chain, by {@linkcode bookKey}; they may be read when they are asked for. */
  readonly rules: Pick<RuleBook["rules"], "get">;
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
}

/** What the rules of a hook do with a packet. */
export interface HookVerdict {
  readonly verdict: "accept" | "drop" | "reject";
  /** Whether that is so in any case: no rule before it that may or may not be for the packet ends its way. */
  readonly isCertain: boolean;
  /** The rule or policy that refuses it; absent where none does. */
  readonly by?: PlacedRule;
  /** What else may refuse it: rules that ask for what is not known here. */
  readonly doubts: readonly PlacedRule[];
  /** Whether the packet has another mark than before, or may. */
  readonly isMarked: boolean;
  /** Whether a rule has it bypass connection tracking, or may. */
  readonly isUntracked: boolean;
  /** The packet behind the hook. */
  readonly packet: Packet;
  /** Rules that write into it what its way depends on, as its TTL. */
  readonly writers: readonly PlacedRule[];
  /** The rule that translates its addresses, if one does. */
  readonly translation?: PlacedRule & { readonly action: RuleAction; readonly isCertain: boolean };
}

/** `NFPROTO_INET`: chains for both families. */
const INET = 1;
/** `NFPROTO_NETDEV` and `NFPROTO_BRIDGE`. */
const NETDEV = 5;
const BRIDGE = 7;
/** `NF_IP_PRI_CONNTRACK`: chains before it meet packets of no connection. */
const CONNTRACK_PRIORITY = -200;
/** How deep chains are followed; the kernel allows 16 jumps. */
const MAX_DEPTH = 16;

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
  const rules = Map.groupBy(dumpRawRules(client), bookKey);
  const sets = new Map<string, RuleSet | undefined>();
  const setOf = ({ family, table }: NftTable, name: string) => {
    const key = `${family} ${table} ${name}`;
    if (!sets.has(key)) sets.set(key, readRuleSet(client, { family, table }, name));
    return sets.get(key);
  };
  return { chains, rules, setOf };
}

/** What became of a packet in a chain; `through` if nothing there ends its way. */
type Fate = "through" | "accept" | "drop" | "reject";

/** The walk of one packet. */
class Walk {
  readonly doubts: PlacedRule[] = [];
  readonly writers: PlacedRule[] = [];
  translation: HookVerdict["translation"];
  by: PlacedRule | undefined;
  /** Until a rule that may be for the packet, or not, would end its way. */
  isCertain = true;

  constructor(readonly book: WalkedBook, public packet: Packet) {}

  /** Gives the packet its state, unless a rule has it bypass connection tracking. */
  track(state: Packet["state"]): void {
    if (this.packet.state === "untracked" || this.packet.state === "unknown") return;
    this.packet = { ...this.packet, state };
  }

  /** @param isSure Whether the packet comes here for certain. */
  chain(chain: Omit<NftChain, "base">, isSure: boolean, depth = 0): Fate {
    const rules = this.book.rules.get(bookKey(chain)) ?? [];
    for (const [index, rule] of rules.entries()) {
      const match = matchRule(rule, this.packet, (name) => this.book.setOf(rule, name));
      if (match.isFor === "no") continue;
      const placed = placeOf(rule, index + 1, match.text);
      if (match.isMarking) this.packet = { ...this.packet, isMarked: true };
      if (match.isUntracking) {
        const isSaid = isSure && match.isFor === "yes";
        this.packet = { ...this.packet, state: isSaid ? "untracked" : "unknown" };
      }
      if (match.isWriting) this.writers.push(placed);
      const isYes = isSure && match.isFor === "yes" && match.actions.length === 1;
      for (const action of match.actions) {
        const fate = this.#act(action, placed, isYes, depth);
        if (fate === "return") return "through";
        if (fate !== "through") return fate;
      }
    }
    return "through";
  }

  /** What a rule does; `through` if the packet goes on behind it. */
  #act(action: RuleAction, placed: PlacedRule, isYes: boolean, depth: number): Fate | "return" {
    switch (action.kind) {
      case "continue":
        return "through";
      case "drop":
      case "reject":
        if (isYes) {
          this.by = placed;
          return action.kind;
        }
        this.doubts.push(placed);
        return "through";
      case "accept":
      case "return":
        if (isYes) return action.kind;
        this.isCertain = false;
        return "through";
      case "jump":
      case "goto": {
        if (depth >= MAX_DEPTH || action.chain === undefined) return "through";
        const fate = this.chain({ ...placed, chain: action.chain }, isYes, depth + 1);
        if (fate !== "through") return fate;
        if (action.kind === "goto" && isYes) return "return";
        // It may be at the end of its way through this chain.
        if (action.kind === "goto") this.isCertain = false;
        return "through";
      }
      case "unknown":
        this.doubts.push(placed);
        this.isCertain = false;
        return "through";
      default:
        // A translation ends the way through this hook's chains of that kind.
        this.translation ??= { ...placed, action, isCertain: isYes && this.isCertain };
        return isYes ? "accept" : "through";
    }
  }
}

function placeOf(rule: RawRule, line: number, text: string): PlacedRule {
  const { family, table, chain, handle, comment } = rule;
  return {
    family,
    table,
    chain,
    handle,
    line,
    text: comment === undefined ? text : `${text} comment ${JSON.stringify(comment)}`,
  };
}

/** Plays the chains of a hook for a packet, in the kernel's order. */
export function walkHook(book: WalkedBook, hook: number, packet: Packet): HookVerdict {
  const family = familyOf(packet.source);
  return walkChains(
    book,
    ({ base, family: of }) => base!.hook === hook && (of === INET || of === family),
    packet,
    ({ base }) => hook === PACKET_HOOK.prerouting && base!.priority < CONNTRACK_PRIORITY,
  );
}

/**
 * Plays the chains of a bridge for the packet in a frame.
 *
 * @param hook Of {@linkcode PACKET_HOOK}, which the bridge's hooks are numbered as.
 */
export function walkBridge(book: WalkedBook, hook: number, packet: Packet): HookVerdict {
  const frame = { ...packet.frame, nfproto: BRIDGE };
  return walkChains(book, ({ base, family }) => base!.hook === hook && family === BRIDGE, {
    ...packet,
    frame,
  });
}

/** Plays the chains that a link itself calls, for a packet that comes in by it or leaves. */
export function walkLink(
  book: WalkedBook,
  where: keyof typeof NETDEV_HOOK,
  link: PacketLink,
  packet: Packet,
): HookVerdict {
  const { inputLink: _, outputLink: __, ...rest } = packet;
  const isOfInet = ({ family, base }: NftChain) =>
    family === INET && base!.hook === INET_INGRESS && where === "ingress";
  const isCalled = (chain: NftChain) =>
    (chain.family === NETDEV && chain.base!.hook === NETDEV_HOOK[where] || isOfInet(chain)) &&
    chain.base!.links?.some(({ name, isPrefix }) =>
        isPrefix ? link.name.startsWith(name) : name === link.name
      ) === true;
  const at = where === "ingress" ? { inputLink: link } : { outputLink: link };
  return walkChains(book, isCalled, { ...rest, ...at, frame: packet.frame ?? {} });
}

function walkChains(
  book: WalkedBook,
  isCalled: (chain: NftChain) => boolean,
  packet: Packet,
  isEarly: (chain: NftChain) => boolean = () => false,
): HookVerdict {
  const chains = book.chains
    .filter((chain) => chain.base !== undefined && isCalled(chain))
    .sort((a, b) => a.base!.priority - b.base!.priority);
  const walk = new Walk(book, packet);
  let isCertain = true;
  for (const chain of chains) {
    isCertain &&= walk.isCertain;
    // What is accepted in one chain goes on to the next, whatever it was accepted by.
    if (walk.translation === undefined) walk.isCertain = true;
    walk.track(isEarly(chain) ? "invalid" : packet.state);
    // Only the first packet of a connection is asked about its translation.
    if (chain.base!.type === "nat" && walk.packet.state !== "new") continue;
    if (chain.family === NETDEV) {
      walk.packet = { ...walk.packet, frame: { ...walk.packet.frame, nfproto: NETDEV } };
    }
    const fate = walk.chain(chain, true);
    if (fate === "drop" || fate === "reject") return verdictOf(walk, fate);
    if (fate === "through" && chain.base!.policy === POLICY.drop) {
      const { family, table, chain: name } = chain;
      walk.by = { family, table, chain: name, handle: undefined, text: "policy drop" };
      return verdictOf(walk, "drop");
    }
  }
  walk.isCertain &&= isCertain;
  walk.track(packet.state);
  return verdictOf(walk, "accept");
}

function verdictOf(
  { by, doubts, writers, isCertain, translation, packet }: Walk,
  verdict: HookVerdict["verdict"],
): HookVerdict {
  return {
    verdict,
    isCertain,
    doubts,
    isMarked: packet.isMarked === true,
    isUntracked: packet.state === "untracked" || packet.state === "unknown",
    packet,
    writers,
    ...by !== undefined && { by },
    ...translation !== undefined && { translation },
  };
}
