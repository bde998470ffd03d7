import { EADDRNOTAVAIL, ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, EPERM, errnoName } from "../../linux/errno.ts";
import type { DroppedPacket, TraceEvent } from "../../linux/drop_trace.ts";
import { type Address, formatAddress } from "../../model/address.ts";
import { ARRIVED, type DropWords, dropWords } from "./drop_words.ts";
import type { PodWay } from "./link_facts.ts";
import { UNANSWERED } from "./pod_port.ts";

/** One packet that was sent, and what its socket said of it. */
export interface LiveProbe {
  /** The size of the IP packet. No two of one run are the same, and few others have it. */
  readonly packetBytes: number;
  /** With what sending it was refused; 0 if it was not. */
  readonly sendErrno: number;
  /** What came back: 0 for a datagram, `ECONNREFUSED` for a closed port; `undefined` for nothing. */
  readonly answerErrno: number | undefined;
}

/** What became of a packet. */
export type Fate =
  | {
    readonly kind: "dropped";
    readonly drop: DroppedPacket;
    /** The links that it was handed to before. */
    readonly links: readonly string[];
    /** Whether it is told from other packets; else one was dropped while this one was under way. */
    readonly isCertain: boolean;
  }
  /** Nobody may send it, or there is no way. */
  | { readonly kind: "refused"; readonly errno: number }
  | { readonly kind: "answered" }
  /** Came to a socket's place on this machine, where nobody listens. */
  | { readonly kind: "arrived" }
  /** Gone, and no word of it. */
  | { readonly kind: "gone"; readonly links: readonly string[] };

/**
 * What may stand before the IP packet: nothing, an Ethernet header, and those of VXLAN over IPv4 and IPv6, without and with
 * an Ethernet header of their own.
 */
const HEADERS_BYTES: ReadonlySet<number> = new Set([0, 14, 50, 64, 70, 84]);
/** What may stand before it where the first link gets it. */
const FIRST_HEADERS_BYTES: ReadonlySet<number> = new Set([0, 14]);
/** What happens to a packet happens at once; its place in memory is another's soon after it has gone. */
const AT_ONCE_MS = 5;
/** Reasons of drops that come seconds later, out of a timer, for packets that no link has seen. */
const LATE: ReadonlySet<string> = new Set(["NEIGH_FAILED", "NEIGH_DEAD", "QUEUE_PURGE"]);

/**
 * Whether a drop may be one of a packet on its way. What sockets give up when they are closed, or refuse to take, is theirs:
 * the queue of a neighbour alone is purged of packets that wait.
 */
function isOfWay({ reason, place }: DroppedPacket): boolean {
  if (reason === "QUEUE_PURGE") return place.startsWith("neigh_");
  return !reason.startsWith("SOCKET_") && !place.startsWith("sk_") && !place.startsWith("sock_");
}

/** The lines that are written into the trace around each packet. */
export const markOf = {
  begin: (at: number): string => `loden ${at} begin`,
  end: (at: number): string => `loden ${at} end`,
};

/** What is known of a packet while the trace is read. */
interface Track {
  readonly links: string[];
  packet: string | undefined;
  seenMs: number;
  drop: DroppedPacket | undefined;
  late: DroppedPacket | undefined;
  isOpen: boolean;
  hasBegun: boolean;
  thread: number;
}

/**
 * Follows packets through the trace. A packet is told by its size when the first link gets it, and by its place in the
 * kernel's memory from there on; one that no link gets, by this thread having been at work between two marks.
 *
 * @param ethertype Of the packets.
 * @param firstLink The link that they are handed to first; any if absent.
 */
export function fatesOf(
  probes: readonly LiveProbe[],
  events: readonly TraceEvent[],
  ethertype: number,
  firstLink?: string,
): readonly Fate[] {
  const tracks = probes.map((): Track => ({
    links: [],
    packet: undefined,
    seenMs: 0,
    drop: undefined,
    late: undefined,
    isOpen: false,
    hasBegun: false,
    thread: 0,
  }));
  for (const event of events) {
    if (event.kind === "mark") {
      for (const [at, track] of tracks.entries()) {
        if (event.text === markOf.begin(at)) {
          [track.isOpen, track.hasBegun, track.thread] = [true, true, event.at.thread];
        } else if (event.text === markOf.end(at)) track.isOpen = false;
      }
    } else if (event.kind === "sent") {
      for (const [at, track] of tracks.entries()) {
        const headersBytes = event.lengthBytes - probes[at]!.packetBytes;
        const isSize = HEADERS_BYTES.has(headersBytes);
        const isFirst = FIRST_HEADERS_BYTES.has(headersBytes) && (firstLink ?? event.link) === event.link;
        // What waits for a neighbour goes on in the order in which it came. Many packets are as large as the largest.
        const isInTurn = track.isOpen && track.thread === event.at.thread ||
          tracks.slice(0, at).every(({ packet, drop }) => packet !== undefined || drop !== undefined);
        if (track.packet === undefined && track.hasBegun && isFirst && isInTurn) track.packet = event.packet;
        if (track.packet !== event.packet || track.drop !== undefined || !isSize) continue;
        track.links.push(event.link);
        track.seenMs = event.at.atMs;
      }
    } else if (event.kind === "drop" && isOfWay(event)) {
      const isLate = LATE.has(event.reason);
      const known = tracks.find(({ packet, drop, seenMs }) =>
        packet === event.packet && drop === undefined && (isLate || event.at.atMs - seenMs < AT_ONCE_MS)
      );
      const open = tracks.find(({ isOpen, thread }) =>
        isOpen && thread === event.at.thread && !event.at.isInterrupt && event.protocol === ethertype
      );
      const track = known ?? (open?.packet === undefined ? open : undefined);
      if (track !== undefined) track.drop ??= event;
      else if (isLate && event.protocol === ethertype) {
        for (const one of tracks) if (one.hasBegun && one.packet === undefined) one.late ??= event;
      }
    }
  }
  return probes.map((probe, at) => fateOf(probe, tracks[at]!));
}

function fateOf({ sendErrno, answerErrno }: LiveProbe, { drop, late, links }: Track): Fate {
  const isAnswered = answerErrno === 0 || answerErrno === ECONNREFUSED;
  // A rule that rejects answers too.
  if (isAnswered && drop?.reason !== "NETFILTER_DROP") return { kind: "answered" };
  if (drop !== undefined && !ARRIVED.has(drop.reason)) {
    return { kind: "dropped", drop, links, isCertain: true };
  }
  if (sendErrno !== 0) return { kind: "refused", errno: sendErrno };
  // Who waited for a neighbour in vain is told so.
  if (answerErrno === EHOSTUNREACH && late !== undefined) {
    return { kind: "dropped", drop: late, links, isCertain: false };
  }
  if (answerErrno !== undefined) return { kind: "refused", errno: answerErrno };
  if (drop !== undefined) return { kind: "arrived" };
  if (late !== undefined) return { kind: "dropped", drop: late, links, isCertain: false };
  return { kind: "gone", links };
}

/** What stops a packet, in words; `undefined` where nothing is known to. */
export function stopOf(fate: Fate): DropWords | undefined {
  if (fate.kind === "dropped") return dropWords(fate.drop);
  if (fate.kind !== "refused") return undefined;
  const { errno } = fate;
  if (errno === EMSGSIZE) return dropWords({ reason: "PKT_TOO_BIG", place: "" });
  if (errno === EPERM) return dropWords({ reason: "NETFILTER_DROP", place: "" });
  if (errno === EADDRNOTAVAIL) {
    return {
      code: "source-gone",
      text: "the address that it comes from is gone, EADDRNOTAVAIL",
      remedy: "ip address show",
      alike: ["gateway-missing", "vtep-address-gone"],
    };
  }
  const route = dropWords({ reason: "", place: "ip_error" });
  return { ...route, text: `this host refuses to send it, ${errnoName(errno)}: ${route.text}` };
}

/**
 * The same of a packet that a pod has sent: the neighbour that no link comes before is its next hop.
 *
 * @param way What the pod has for its next hop, after the packet was sent.
 */
export function stopFromPod(fate: Fate, pod: Address, way: PodWay | undefined): DropWords | undefined {
  const words = stopOf(fate);
  const { nextHop, neighbour } = way ?? {};
  const isUnanswered = fate.kind === "gone"
    ? neighbour?.state === "failed" || neighbour?.state === "incomplete"
    : words?.code === "dropped-neighbour";
  const hasLeft = (fate.kind === "gone" || fate.kind === "dropped") && fate.links.length > 0;
  if (!isUnanswered || hasLeft) return words;
  const whom = nextHop === undefined ? "its gateway" : `${formatAddress(nextHop)}, its next hop`;
  return {
    ...dropWords({ reason: "NEIGH_FAILED", place: "" }),
    code: "pod-gateway-unanswered",
    text: `the pod ${formatAddress(pod)} has no answer when it asks for ${whom}`,
    remedy: UNANSWERED,
  };
}

/** One line about a packet. */
export function fateText(fate: Fate): string {
  const passed = (links: readonly string[]) => links.length === 0 ? "" : ` after ${links.join(", ")}`;
  switch (fate.kind) {
    case "dropped": {
      const { drop: { reason, place }, links, isCertain } = fate;
      const shown = `dropped${passed(links)}: ${reason || "no reason told"} in ${place}`;
      return isCertain ? shown : `${shown} (a packet was, while this one was under way)`;
    }
    case "refused":
      return `not sent: ${errnoName(fate.errno)}`;
    case "answered":
      return "there, and an answer came back";
    case "arrived":
      return "there: nobody listens at that port";
    case "gone":
      return fate.links.length === 0
        ? "no link was given it, and no drop is told of"
        : `left by ${fate.links.at(-1)}${
          fate.links.length > 1 ? passed(fate.links.slice(0, -1)) : ""
        }, no answer yet`;
  }
}

/** The way of a packet, as it was read. */
export interface LiveWay {
  /** The links of this host on it, in its order. */
  readonly links: readonly string[];
  /** Whether the first link that a packet is handed to is a pod's own, whose name may be that of one of the host's. */
  readonly isFromPod: boolean;
}

/** Functions of the kernel that hand a packet to a link, or keep it for one. */
const HANDING = /^(__)?(dev|sch|qdisc|veth|vxlan|br_dev|validate)_|_xmit|^kfree_skb_list|^tcf_/;
const QUEUES = /^(QDISC_|TC_EGRESS$|FULL_RING$|DEV_READY$|CPU_BACKLOG$|QUEUE_PURGE$|NEIGH_)/;

/**
 * Where a packet was dropped: `here`; `behind` the last link of this host, as in a pod or in another network namespace of
 * this machine; or `aside`, behind a link that is not on the way.
 */
export function sideOf(
  { drop: { reason, place }, links }: Extract<Fate, { kind: "dropped" }>,
  way: LiveWay,
): "here" | "behind" | "aside" {
  const passed = way.isFromPod ? links.slice(1) : links;
  const last = passed.at(-1);
  if (last === undefined || way.links.length === 0) return "here";
  // What links of the host and of others are called may be the same: it has passed all that were read.
  if (!way.links.includes(last)) return "aside";
  const isKept = HANDING.test(place) || QUEUES.test(reason);
  return last === way.links.at(-1) && !isKept ? "behind" : "here";
}
