import { familyOf } from "../model/address.ts";
import { matchRule } from "./match.ts";
import { type NftChain, POLICY } from "./objects.ts";
import type { Packet, PacketLink } from "./packet.ts";
import type { RawRule } from "./raw_rule.ts";
import { bookKey, type PlacedRule, type WalkedBook } from "./rule_book.ts";
import type { RuleAction, Written } from "./rule_words.ts";

/** Where packets meet rules: `NF_INET_*` of linux/netfilter.h. */
export const PACKET_HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
/** `NF_INET_INGRESS`, and `NF_NETDEV_*` of the same. */
const INET_INGRESS = 5;
const NETDEV_HOOK = { ingress: 0, egress: 1 } as const;

/** What the rules of a hook do with a packet. */
export interface HookVerdict {
  readonly verdict: "accept" | "drop" | "reject";
  /** Whether that is so in any case: no rule before it that may or may not be for the packet ends its way. */
  readonly isCertain: boolean;
  /** The rule or policy that refuses it; absent where none does. */
  readonly by?: PlacedRule;
  /** What else may refuse it: rules that ask for what is not known here. */
  readonly doubts: readonly PlacedRule[];
  /**
   * Whether it may become certain that packets are refused, or that they are not, for a part of those that are played
   * together: see {@linkcode Packet.parts}.
   */
  readonly isOfParts: boolean;
  /** Whether the packet has another mark than before, or may. */
  readonly isMarked: boolean;
  /** Whether a rule has it bypass connection tracking, or may. */
  readonly isUntracked: boolean;
  /** The packet behind the hook. */
  readonly packet: Packet;
  /** Rules that write into it what its way depends on, as its TTL. */
  readonly writers: readonly WritingRule[];
  /** The rule that translates its addresses, if one does. */
  readonly translation?: PlacedRule & { readonly action: RuleAction; readonly isCertain: boolean };
}

/** A rule that writes into packets. */
export interface WritingRule extends PlacedRule {
  readonly writes: readonly Written[];
  /** Whether it is known to be for the packet. */
  readonly isCertain: boolean;
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

/** What became of a packet in a chain; `through` if nothing there ends its way. */
type Fate = "through" | "accept" | "drop" | "reject";

/** How a packet comes to a rule. */
interface Way {
  /** Whether it does for certain. */
  readonly isSure: boolean;
  /** Whether a part of those that are played together may do so for certain. */
  readonly isSureOfParts: boolean;
  /** Whether for a part of them it is known whether they do, where it is not for all. */
  readonly isOfParts: boolean;
}

/** The walk of one packet. */
class Walk {
  readonly doubts: PlacedRule[] = [];
  readonly writers: WritingRule[] = [];
  translation: HookVerdict["translation"];
  by: PlacedRule | undefined;
  /** Until a rule that may be for the packet, or not, would end its way. */
  isCertain = true;
  /** Whether a part of the packets may be refused, or led elsewhere, for certain. */
  isOfParts = false;
  /** Whether for a part of the packets it may be certain that their way did not end. */
  isCertainOfParts = false;

  constructor(readonly book: WalkedBook, public packet: Packet) {}

  /** Gives the packet its state, unless a rule has it bypass connection tracking. */
  track(state: Packet["state"]): void {
    if (this.packet.state === "untracked" || this.packet.state === "unknown") return;
    this.packet = { ...this.packet, state };
  }

  chain(chain: Omit<NftChain, "base">, way: Way, depth = 0): Fate {
    const rules = this.book.rules.get(bookKey(chain)) ?? [];
    for (const [index, rule] of rules.entries()) {
      const match = matchRule(rule, this.packet, (name) => this.book.setOf(rule, name));
      if (match.isFor === "no") continue;
      const placed = placeOf(rule, index + 1, match.text);
      const to: Way = {
        isSure: way.isSure && match.isFor === "yes",
        isSureOfParts: way.isSureOfParts && (match.isFor === "yes" || match.isOfParts === "alone"),
        isOfParts: way.isOfParts || match.isFor === "maybe" && match.isOfParts !== "no",
      };
      const isChanging = match.isMarking || match.isUntracking || match.isWriting;
      if (isChanging && to.isOfParts) this.isOfParts = true;
      if (match.isMarking) this.packet = { ...this.packet, isMarked: true };
      if (match.isUntracking) {
        const isSaid = to.isSure;
        this.packet = { ...this.packet, state: isSaid ? "untracked" : "unknown" };
      }
      if (match.isWriting) {
        this.writers.push({ ...placed, writes: match.writes, isCertain: to.isSure && this.isCertain });
      }
      const isOne = match.actions.length === 1;
      for (const action of match.actions) {
        const fate = this.#act(action, placed, isOne ? to : { ...to, isSure: false }, depth);
        if (fate === "return") return "through";
        if (fate !== "through") return fate;
      }
    }
    return "through";
  }

  /** What a rule does; `through` if the packet goes on behind it. */
  #act(action: RuleAction, placed: PlacedRule, way: Way, depth: number): Fate | "return" {
    const { isSure: isYes } = way;
    switch (action.kind) {
      case "continue":
        return "through";
      case "drop":
      case "reject":
        if (isYes) {
          this.by = { ...placed, ...action.does !== undefined && { does: action.does } };
          return action.kind;
        }
        this.doubts.push(placed);
        this.#mayGoRound(way);
        return "through";
      case "accept":
      case "return":
        if (isYes) return action.kind;
        this.#mayEnd(way);
        if (action.kind === "return") this.#mayGoRound(way);
        return "through";
      case "jump":
      case "goto": {
        if (depth >= MAX_DEPTH || action.chain === undefined) return "through";
        const fate = this.chain({ ...placed, chain: action.chain }, way, depth + 1);
        if (fate !== "through") return fate;
        if (action.kind === "goto" && isYes) return "return";
        // It may be at the end of its way through this chain.
        if (action.kind === "goto") {
          this.#mayEnd(way);
          this.#mayGoRound(way);
        }
        return "through";
      }
      case "unknown":
        // What takes it from a queue may give it a mark, too.
        this.packet = { ...this.packet, isMarked: true };
        this.doubts.push(placed);
        this.#mayEnd(way);
        return "through";
      default:
        // A translation ends the way through this hook's chains of that kind.
        this.isOfParts ||= way.isOfParts || this.isCertainOfParts;
        this.translation ??= { ...placed, action, isCertain: isYes && this.isCertain };
        return isYes ? "accept" : "through";
    }
  }

  /** A part of the packets may for certain not come to what is behind. */
  #mayGoRound(way: Way): void {
    this.isOfParts ||= way.isOfParts && way.isSureOfParts;
  }

  /** The packet's way may end here. */
  #mayEnd(way: Way): void {
    this.isCertain = false;
    this.isCertainOfParts ||= way.isOfParts;
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
    let fate = walk.chain(chain, { isSure: true, isSureOfParts: true, isOfParts: false });
    if (fate === "through" && chain.base!.policy === POLICY.drop) {
      const { family, table, chain: name } = chain;
      walk.by = { family, table, chain: name, handle: undefined, text: "policy drop" };
      fate = "drop";
    }
    if (fate !== "drop" && fate !== "reject") continue;
    const isCalledFor = chain.base!.type !== "nat" || (book.isTracked?.(familyOf(packet.source)) ?? true);
    if (isCalledFor) return verdictOf(walk, fate);
    // It is called only where connections are tracked.
    if (walk.by !== undefined) walk.doubts.push(walk.by);
    walk.by = undefined;
  }
  walk.isCertain &&= isCertain;
  walk.track(packet.state);
  return verdictOf(walk, "accept");
}

function verdictOf(
  walk: Walk,
  verdict: HookVerdict["verdict"],
): HookVerdict {
  const { by, doubts, writers, isCertain, translation, packet } = walk;
  return {
    isOfParts: walk.isOfParts || verdict !== "accept" && walk.isCertainOfParts,
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
