import { formatMac, type Mac } from "../../model/address.ts";
import type { ObservedLink } from "../../model/state.ts";
import type { Packet, PacketFrame } from "../../nftables/packet.ts";
import { type HookVerdict, PACKET_HOOK, walkBridge, walkLink } from "../../nftables/packet_walk.ts";
import type { RuleBook } from "../../nftables/rule_book.ts";
import type { FrameVerdict, PodPort, Whose } from "./link_facts.ts";

/** The way of a packet through the links of this host. */
export interface FrameWay {
  readonly packet: Packet;
  readonly answer: Packet;
  /** The packets that carry them, where they are encapsulated. */
  readonly outerPacket: Packet | undefined;
  readonly outerAnswer: Packet | undefined;
  readonly bridge: ObservedLink | undefined;
  /** Whether the packet comes from a pod. */
  readonly isFromPod: boolean;
  /** The port of the pod that it comes from, and of the one that it goes to. */
  readonly sourcePort: PodPort | undefined;
  readonly targetPort: PodPort | undefined;
  /** Whether it goes to a pod of this host. */
  readonly isToPod: boolean;
  /** The link that it leaves by, and the one that carries it then. */
  readonly link: ObservedLink | undefined;
  readonly outerLink: ObservedLink | undefined;
  /** Whether it ends on this host. */
  readonly isToSelf: boolean;
}

/** Plays the rules that packets meet as frames: those of links, and of the bridge. */
export function readFrameFilters(book: RuleBook, way: FrameWay): readonly FrameVerdict[] {
  const isOf = (families: readonly number[]) =>
    book.chains.some(({ base, family }) => base !== undefined && families.includes(family));
  const isOfInet = book.chains.some(({ base, family }) => family === 1 && base?.hook === 5);
  if (!isOf([5, 7]) && !isOfInet) return [];
  const frames = new Frames(book);
  const { packet, answer, isFromPod, isToPod, sourcePort, targetPort, bridge, link, outerLink, isToSelf } =
    way;
  if (isFromPod && isToPod && bridge !== undefined) {
    // Between two pods of this host the bridge is all that is on the way.
    frames.bridged("packet", packet, sourcePort, targetPort);
    frames.bridged("answer", answer, targetPort, sourcePort);
    return frames.verdicts;
  }
  if (isFromPod && bridge !== undefined) frames.fromPort("packet", packet, sourcePort, bridge);
  if (isToPod && bridge !== undefined) {
    frames.toPort("packet", packet, targetPort, bridge);
    frames.fromPort("answer", answer, targetPort, bridge);
  } else if (link !== undefined && !isToSelf) {
    frames.link("packet", "egress", link, packet);
    if (outerLink !== undefined && way.outerPacket !== undefined) {
      frames.link("outer-packet", "egress", outerLink, way.outerPacket);
    }
    if (outerLink !== undefined && way.outerAnswer !== undefined) {
      frames.link("outer-answer", "ingress", outerLink, { ...way.outerAnswer, frame: FOR_HOST });
    }
    frames.link("answer", "ingress", link, { ...answer, frame: FOR_HOST });
  }
  if (isFromPod && bridge !== undefined) frames.toPort("answer", answer, sourcePort, bridge);
  return frames.verdicts;
}

/** Of a frame that the kernel has taken for this host. */
const FOR_HOST = { isForHost: true } as const;

class Frames {
  readonly verdicts: FrameVerdict[] = [];

  constructor(readonly book: RuleBook) {}

  #add(whose: Whose, where: string, verdict: HookVerdict): void {
    const { by, doubts, writers } = verdict;
    if (by !== undefined || doubts.length + writers.length > 0) this.verdicts.push({ whose, where, verdict });
  }

  link(whose: Whose, where: "ingress" | "egress", link: ObservedLink, packet: Packet): void {
    const clause = where === "ingress" ? `as it comes in by ${link.name}` : `as it leaves by ${link.name}`;
    this.#add(whose, clause, walkLink(this.book, where, link, packet));
  }

  #bridge(
    whose: Whose,
    hook: keyof typeof PACKET_HOOK,
    packet: Packet,
    ends: Partial<Pick<Packet, "inputLink" | "outputLink">>,
  ): void {
    const { inputLink: _, outputLink: __, ...rest } = packet;
    this.#add(
      whose,
      `on the bridge, ${hook}`,
      walkBridge(this.book, PACKET_HOOK[hook], { ...rest, ...ends }),
    );
  }

  /** From a pod into this host. */
  fromPort(whose: Whose, packet: Packet, port: PodPort | undefined, bridge: ObservedLink): void {
    const frame = { ...frameOf(port?.pod?.link.mac, bridge.mac, port === undefined), ...FOR_HOST };
    const framed = { ...packet, frame };
    if (port !== undefined) {
      // The bridge says whose it is, behind that.
      this.link(whose, "ingress", port.link, { ...packet, frame: { ...frame, isForHost: false } });
    }
    const ends = port === undefined ? {} : { inputLink: port.link };
    this.#bridge(whose, "prerouting", framed, ends);
    this.#bridge(whose, "input", framed, ends);
    this.link(whose, "ingress", bridge, { ...packet, frame: { ...frame, isPortUnknown: false } });
  }

  /** From this host to a pod. */
  toPort(whose: Whose, packet: Packet, port: PodPort | undefined, bridge: ObservedLink): void {
    const frame = frameOf(bridge.mac, port?.pod?.link.mac, port === undefined);
    const framed = { ...packet, frame };
    this.link(whose, "egress", bridge, { ...packet, frame: { ...frame, isPortUnknown: false } });
    const ends = port === undefined ? {} : { outputLink: port.link };
    this.#bridge(whose, "output", framed, ends);
    this.#bridge(whose, "postrouting", framed, ends);
    if (port !== undefined) this.link(whose, "egress", port.link, framed);
  }

  /** From a pod to another of this host. */
  bridged(whose: Whose, packet: Packet, from: PodPort | undefined, to: PodPort | undefined): void {
    const frame = frameOf(from?.pod?.link.mac, to?.pod?.link.mac, from === undefined || to === undefined);
    const framed = { ...packet, frame };
    const input = from === undefined ? {} : { inputLink: from.link };
    const output = to === undefined ? {} : { outputLink: to.link };
    if (from !== undefined) this.link(whose, "ingress", from.link, framed);
    this.#bridge(whose, "prerouting", framed, input);
    this.#bridge(whose, "forward", framed, { ...input, ...output });
    this.#bridge(whose, "postrouting", framed, output);
    if (to !== undefined) this.link(whose, "egress", to.link, framed);
  }
}

function frameOf(source: Mac | undefined, destination: Mac | undefined, isPortUnknown: boolean): PacketFrame {
  return {
    isPortUnknown,
    ...source !== undefined && { source: macBytes(source) },
    ...destination !== undefined && { destination: macBytes(destination) },
  };
}

function macBytes(mac: Mac): Uint8Array {
  return Uint8Array.fromHex(formatMac(mac).replaceAll(":", ""));
}
