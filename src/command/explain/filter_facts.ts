import type { Address } from "../../model/address.ts";
import type { Packet, PacketLink } from "../../nftables/packet.ts";
import { type HookVerdict, PACKET_HOOK, walkHook } from "../../nftables/packet_walk.ts";
import type { RuleBook } from "../../nftables/rule_book.ts";
import { type AddressKind, type Filters, FROM_PORT, PROBE_PORT } from "./facts.ts";

/** A packet, as rules meet it, and its answer. */
export interface ChainPackets {
  /** Before its way is known. */
  readonly base: Packet;
  readonly packet: Packet;
  readonly answer: Packet;
}

/** The packets that rules are played for. */
export function packetsOf(
  target: Address,
  source: Address,
  { inputLink, outputLink, isAnswerMarked = false }: {
    readonly inputLink: PacketLink | undefined;
    readonly outputLink: PacketLink | undefined;
    /** Whether answers may have a mark when they come in. */
    readonly isAnswerMarked?: boolean;
  },
): ChainPackets {
  const base: Packet = {
    source,
    destination: target,
    sourcePort: FROM_PORT,
    destinationPort: PROBE_PORT,
    state: "new",
    ...inputLink !== undefined && { inputLink },
  };
  const answer: Packet = {
    source: target,
    destination: source,
    sourcePort: PROBE_PORT,
    destinationPort: FROM_PORT,
    state: "established",
    ...isAnswerMarked && { isMarked: true },
    ...outputLink !== undefined && { inputLink: outputLink },
    ...inputLink !== undefined && { outputLink: inputLink },
  };
  return { base, packet: { ...base, ...outputLink !== undefined && { outputLink } }, answer };
}

/** Plays the rules of all hooks on the way of a packet, and of its answer. */
export function readFilters(
  book: RuleBook,
  { kind, isFromPod, packets: { base, packet, answer } }: {
    readonly kind: AddressKind;
    readonly isFromPod: boolean;
    readonly packets: ChainPackets;
  },
): Filters {
  const hook = kind === "own-address" ? "input" : isFromPod ? "forward" : "output";
  const first = hook === "output" ? undefined : walkHook(book, PACKET_HOOK.prerouting, base);
  const main = walkHook(book, PACKET_HOOK[hook], marked(hook === "input" ? base : packet, first));
  return {
    first,
    hook,
    main,
    last: hook === "input"
      ? undefined
      : walkHook(book, PACKET_HOOK.postrouting, marked(marked(packet, first), main)),
    answer: hook === "input"
      ? undefined
      : walkHook(book, isFromPod ? PACKET_HOOK.forward : PACKET_HOOK.input, answer),
  };
}

/** The packet as rules before have left it. */
function marked(packet: Packet, before: HookVerdict | undefined): Packet {
  return {
    ...packet,
    ...before?.isMarked && { isMarked: true },
    ...before?.isUntracked && { state: "untracked" },
  };
}

/** The rules of two hooks, one behind the other: the first that refuses counts. */
export function both(book: RuleBook, first: number, then: number, packet: Packet): HookVerdict {
  const verdict = walkHook(book, first, packet);
  return verdict.verdict === "accept" ? walkHook(book, then, packet) : verdict;
}

/** A packet whose way is not known yet. */
export function withoutOutput({ outputLink: _, ...packet }: Packet): Packet {
  return packet;
}
