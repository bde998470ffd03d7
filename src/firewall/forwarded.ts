import { bitsOf, familyOf, type Prefix, prefixContains } from "../model/address.ts";
import type { NftChain } from "../nftables/objects.ts";
import { type Packet, type PacketLink, TCP, UDP } from "../nftables/packet.ts";
import { type HookVerdict, PACKET_HOOK, walkBridge, walkHook, walkLink } from "../nftables/packet_walk.ts";
import type { PlacedRule, WalkedBook } from "../nftables/rule_book.ts";
import { addressOf } from "../nftables/value.ts";
import { mayMarkCarried, type OuterPackets } from "./outer_marks.ts";
import { blockingPolicy, XFRM_DIRECTION, type XfrmPolicy } from "../rtnetlink/xfrm_policy.ts";

/** One end of packets that this host forwards: any address of a prefix, behind a link. */
export interface ForwardEnd {
  readonly prefix: Prefix;
  readonly link: PacketLink;
  /** Whether that is the bridge that pods are on, whose port is not known. */
  readonly isBridge?: boolean;
  /** What carries packets that come in by it, where it is the end of a tunnel. */
  readonly carriedBy?: OuterPackets | undefined;
}

/** What packets that are forwarded meet. */
export interface ForwardBook extends WalkedBook {
  /** IPsec's policies; none if absent. */
  readonly policies?: readonly XfrmPolicy[];
}

/** A rule, or a policy of IPsec, that no packet gets past. */
export interface Refusal {
  readonly by: PlacedRule | XfrmPolicy;
  readonly does: "drops" | "rejects" | "leads elsewhere";
  /** Whether that is so of answers alone. */
  readonly isOfAnswers: boolean;
}

/** What becomes of all packets from one prefix to another. */
export interface ForwardFate {
  /** What refuses all of them, for certain, or all that are answers; absent where some get through, or may. */
  readonly refusal?: Refusal;
  /** Whether some may be refused, by rules that ask for what is not known here. */
  readonly isDoubted: boolean;
  /** Whether a part of them may be refused for certain, or not be doubted, where it is not so of all. */
  readonly isOfParts: boolean;
  /** Whether all are refused but those that a rule may let through, by what is not known here. */
  readonly isOpen: boolean;
}

const REFUSED = { isDoubted: false, isOfParts: false, isOpen: false } as const;

/** What becomes of one kind of packets. */
type Fate = Omit<ForwardFate, "refusal"> & { readonly refusal?: Omit<Refusal, "isOfAnswers"> };

/** `NF_INET_INGRESS`. */
const INGRESS = 5;
/** What pods speak: a host where ICMP alone gets through is of no use to them. */
const PROTOCOLS = [TCP, UDP] as const;

/**
 * Plays packets that this host forwards through its rules: of TCP and UDP, the first of a connection and answers.
 * Neither ports nor the host's part of the addresses are known, so that what is refused is so for all of them. A rule
 * that takes one protocol, some ports or some pods is somebody's policy, and no refusal.
 *
 * @param parts Of which end a part may be asked about next.
 */
export function forwardFate(
  book: ForwardBook,
  from: ForwardEnd,
  to: ForwardEnd,
  parts?: Packet["parts"],
): ForwardFate {
  let [isDoubted, isOfParts, isOpen] = [false, false, false];
  const isMarked = from.carriedBy !== undefined && mayMarkCarried(book, from.carriedBy);
  for (const state of ["new", "established"] as const) {
    const fates = PROTOCOLS.map((protocol) =>
      fateOf(book, from, to, {
        state,
        protocol,
        ...parts && { parts },
        ...isMarked && { isMarked },
      })
    );
    isDoubted ||= fates.some((fate) => fate.isDoubted);
    isOfParts ||= fates.some((fate) => fate.isOfParts);
    isOpen ||= fates.some((fate) => fate.isOpen);
    const [first] = fates;
    if (first?.refusal === undefined || fates.some(({ refusal }) => refusal === undefined)) continue;
    return {
      refusal: { ...first.refusal, isOfAnswers: state === "established" },
      isDoubted,
      isOfParts,
      isOpen,
    };
  }
  return { isDoubted, isOfParts, isOpen };
}

function fateOf(
  book: ForwardBook,
  from: ForwardEnd,
  to: ForwardEnd,
  kind: Pick<Packet, "state" | "parts" | "isMarked"> & { readonly protocol: number },
): Fate {
  const packet: Packet = {
    source: from.prefix.address,
    sourceBits: from.prefix.length,
    destination: to.prefix.address,
    destinationBits: to.prefix.length,
    inputLink: from.link,
    ...kind,
  };
  const entered = walkFrame(book, from, "in", packet);
  const came = { ...packet, ...marked(entered) };
  const first = walkHook(book, PACKET_HOOK.prerouting, came);
  const main = walkHook(book, PACKET_HOOK.forward, { ...first.packet, outputLink: to.link });
  const last = walkHook(book, PACKET_HOOK.postrouting, main.packet);
  const left = walkFrame(book, to, "out", { ...packet, ...marked([last]) });
  const met = [...entered, first, main, last, ...left];
  const fates = [...met.map((verdict) => fateAt(verdict, to)), ...policyFates(book.policies ?? [], from, to)];
  const at = fates.findIndex(({ refusal }) => refusal !== undefined);
  const refusal = fates[at]?.refusal;
  // One that may be led elsewhere, or is written into, is not known to come to what is behind.
  const isLed = first.translation !== undefined && at > entered.length;
  const isWritten = met.slice(0, at + 1).some(({ writers }) => writers.length > 0);
  if (refusal !== undefined && !isLed && !isWritten) return { ...REFUSED, refusal };
  return {
    isDoubted: refusal !== undefined || fates.some((fate) => fate.isDoubted),
    isOfParts: fates.some((fate) => fate.isOfParts),
    isOpen: fates.some((fate) => fate.isOpen),
  };
}

/** What IPsec's policies do with packets that are forwarded, as they come through and as they leave. */
function policyFates(
  policies: readonly XfrmPolicy[],
  { prefix: from }: ForwardEnd,
  { prefix: to }: ForwardEnd,
): Fate[] {
  return [XFRM_DIRECTION.fwd, XFRM_DIRECTION.out].map((direction) => {
    const by = blockingPolicy(policies, direction, from, to);
    const isDoubted = by === "maybe";
    if (by === undefined || by === "maybe") return { isDoubted, isOfParts: isDoubted, isOpen: false };
    return { ...REFUSED, refusal: { by, does: "drops" } };
  });
}

/** Plays the rules of links, and of the bridge, as a packet comes in by an end or leaves by it. */
function walkFrame(
  book: WalkedBook,
  { link, isBridge = false }: ForwardEnd,
  way: "in" | "out",
  packet: Packet,
): readonly HookVerdict[] {
  if (!book.chains.some(isOfFrames)) return [];
  const [isIn, where] = [way === "in", way === "in" ? "ingress" : "egress"] as const;
  const ofLink = () => walkLink(book, where, link, packet);
  if (!isBridge) return [ofLink()];
  const { inputLink: _, outputLink: __, ...bare } = packet;
  const framed = { ...bare, frame: { isPortUnknown: true } };
  const hooks = isIn ? ["prerouting", "input"] as const : ["output", "postrouting"] as const;
  const bridged = hooks.map((hook) => walkBridge(book, PACKET_HOOK[hook], framed));
  return isIn ? [...bridged, ofLink()] : [ofLink(), ...bridged];
}

/** Whether a chain is called for frames: `NFPROTO_NETDEV`, `NFPROTO_BRIDGE`, and `ingress` of `inet`. */
function isOfFrames({ family, base }: NftChain): boolean {
  return base !== undefined && (family === 5 || family === 7 || family === 1 && base.hook === INGRESS);
}

function marked(verdicts: readonly HookVerdict[]): Pick<Packet, "isMarked"> {
  return verdicts.some(({ isMarked }) => isMarked) ? { isMarked: true } : {};
}

function fateAt(met: HookVerdict, to: ForwardEnd): Fate {
  const { verdict, isCertain, isOfParts, by, doubts, translation } = met;
  const isRefused = by !== undefined && verdict !== "accept";
  if (isRefused && isCertain) {
    return { ...REFUSED, refusal: { by, does: verdict === "drop" ? "drops" : "rejects" } };
  }
  const isLed = translation?.action.kind === "dnat";
  if (isLed && translation.isCertain && isElsewhere(translation.action.address, to)) {
    return { ...REFUSED, refusal: { by: translation, does: "leads elsewhere" } };
  }
  return {
    isDoubted: isRefused || isLed || doubts.length > 0,
    // Where it is led to may be another part.
    isOfParts: isOfParts || isLed && translation.isCertain,
    isOpen: isRefused,
  };
}

/** Whether a translated address is none of those that packets are for. */
function isElsewhere(address: Uint8Array | undefined, { prefix }: ForwardEnd): boolean {
  const family = familyOf(prefix.address);
  // This host itself, where it is not said.
  if (address === undefined || address.length * 8 !== bitsOf(family)) return address === undefined;
  return !prefixContains(prefix, addressOf(address, family));
}
