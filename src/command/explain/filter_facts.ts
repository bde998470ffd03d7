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
  const main = walkHook(book, PACKET_HOOK[hook], after(hook === "input" ? base : packet, first));
  const [came, ends] = [withoutOutput(answer), withoutInput(answer)];
  return {
    first,
    hook,
    main,
    last: hook === "input"
      ? undefined
      : walkHook(book, PACKET_HOOK.postrouting, after(after(packet, first), main)),
    answer: hook === "input"
      ? []
      : isFromPod
      ? walkHooks(book, [["prerouting", came], ["forward", answer], ["postrouting", ends]])
      : walkHooks(book, [["prerouting", came], ["input", came]]),
  };
}

/** The packet as rules before have left it. */
function after(packet: Packet, before: HookVerdict | undefined): Packet {
  if (before === undefined) return packet;
  const { isMarked, isUntracked, packet: { state } } = before;
  return { ...packet, ...isMarked && { isMarked: true }, ...isUntracked && { state } };
}

/** The rules of hooks, one behind the other, up to the first that refuses: each meets what those before have left. */
export function walkHooks(
  book: RuleBook,
  hooks: readonly (readonly [hook: keyof typeof PACKET_HOOK, packet: Packet])[],
): readonly HookVerdict[] {
  const verdicts: HookVerdict[] = [];
  for (const [hook, packet] of hooks) {
    const verdict = walkHook(book, PACKET_HOOK[hook], verdicts.reduce(after, packet));
    verdicts.push(verdict);
    if (verdict.verdict !== "accept") break;
  }
  return verdicts;
}

function withoutInput({ inputLink: _, ...packet }: Packet): Packet {
  return packet;
}

/** A packet whose way is not known yet. */
export function withoutOutput({ outputLink: _, ...packet }: Packet): Packet {
  return packet;
}
