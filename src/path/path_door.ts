import { EADDRINUSE, EADDRNOTAVAIL, errnoName, isErrno, NetlinkError } from "../linux/errno.ts";
import { POLLIN, type PollMany } from "../linux/poll_many.ts";
import type { UdpPlace } from "../linux/udp_port.ts";
import { pause, within } from "../loop/pause.ts";
import { type Address, AF_INET, type Family, familyOf, formatAddress } from "../model/address.ts";
import type { PeerAnswer, ProbedNetwork } from "../model/peer_path.ts";
import type { Answerer } from "./answerer.ts";
import type { Question, Reply } from "./examine.ts";
import { OpenPlace, type ProbePlace, type ProbePort } from "./open_place.ts";
import type { PathMember } from "./path_members.ts";
import { decodeProbe, encodeProbe, HEAD_BYTES, MAX_PROBE_BYTES, type ProbeAnswer } from "./probe_wire.ts";

/** IP's header and UDP's. */
const HEADER_BYTES: Readonly<Record<Family, number>> = { [AF_INET]: 28, 10: 48 };
/** Peers are one hop away in the overlay; in the underlay they may be behind routers. */
const HOP_LIMITS: Readonly<Record<ProbedNetwork, number>> = { overlay: 1, underlay: 64 };
/** Datagrams of one port in one go; after so many others have their turn. */
const AT_ONCE = 256;
const FLOOD_REST_MS = 10;
/** A port that could not be opened is tried again after this, doubled up to the second. */
const RETRY_MS = [1000, 30_000] as const;
/** What a door works with. */
export interface PathDoorDeps {
  /** Where this host is now. */
  readonly places: () => readonly ProbePlace[];
  readonly port: number;
  readonly open: (place: UdpPlace) => ProbePort;
  readonly poll: Pick<PollMany, "wait" | "wake">;
  readonly answerer: Answerer;
  /** A number of 64 bits that nobody can guess. */
  readonly nonce: () => bigint;
  readonly elapsedMs: () => number;
}

/** What came of a question, with all that the peer has said. */
export interface FullReply extends Reply {
  readonly roundTripMs: number;
  readonly answer: ProbeAnswer;
}

interface Waiting {
  readonly target: Address;
  readonly port: number;
  readonly sentMs: number;
  readonly resolve: (reply: FullReply) => void;
}

/** The smallest IP packet that a probe fits in. */
export function leastBytes(family: Family): number {
  return HEAD_BYTES + HEADER_BYTES[family];
}

/** The UDP ports of this host at which probes go out and come in. Ports are opened and closed by `listen()` alone. */
export class PathDoor {
  readonly #deps: PathDoorDeps;
  readonly #waiting = new Map<bigint, Waiting>();
  /** Where what is sent is written. */
  readonly #scratch = new ArrayBuffer(MAX_PROBE_BYTES);
  #open: readonly OpenPlace[] = [];
  #fault: { readonly error: NetlinkError; readonly address: Address } | undefined;
  #retry = { atMs: 0, afterMs: RETRY_MS[0] as number };
  #asked = 0;
  #answered = 0;

  constructor(deps: PathDoorDeps) {
    this.#deps = deps;
  }

  /** The port at which this host answers in the underlay; `undefined` while it does not. */
  get port(): number | undefined {
    return this.#open.some(({ network }) => network === "underlay") ? this.#deps.port : undefined;
  }

  /** Why a port is not open, as a sentence; `undefined` if all are, or its address is only not there yet. */
  get fault(): string | undefined {
    if (this.#fault === undefined || isErrno(this.#fault.error, EADDRNOTAVAIL)) return undefined;
    const { error: { errno, extack: owner = "another program" }, address } = this.#fault;
    const why = errno === EADDRINUSE ? `${owner} has it` : `the kernel says ${errnoName(errno)}`;
    return `probes are not answered at ${
      formatAddress(address)
    }: UDP port ${this.#deps.port} can't be had, as ${why}; ` +
      "give this host another one with -path-probe-port";
  }

  get asked(): number {
    return this.#asked;
  }

  get answered(): number {
    return this.#answered;
  }

  /** Whether questions can be asked from a place now. */
  has(network: ProbedNetwork, family: Family): boolean {
    return this.#find(network, family) !== undefined;
  }

  /**
   * Whether this host's own packet filter refuses what is sent through a network: rules for the host's own packets, which
   * those of pods do not meet.
   */
  isRefused(network: ProbedNetwork, family: Family): boolean {
    return this.#find(network, family)?.isRefused(this.#deps.elapsedMs()) === true;
  }

  /** Whether what came lately was more than there was room for: then silence says nothing of a path. */
  isDeaf(network: ProbedNetwork, family: Family): boolean {
    return this.#find(network, family)?.isDeaf(this.#deps.elapsedMs()) === true;
  }

  #find(network: ProbedNetwork, family: Family): OpenPlace | undefined {
    return this.#open.find((place) => place.network === network && familyOf(place.address) === family);
  }

  /** Whether the ports are not where this host is; `listen()` sees to it once it is woken. */
  get isBehind(): boolean {
    return this.#isOther(this.#deps.places()) && this.#deps.elapsedMs() >= this.#retry.atMs;
  }

  #isOther(places: readonly ProbePlace[]): boolean {
    return places.length !== this.#open.length ||
      places.some((place, at) =>
        place.address !== this.#open[at]?.address || place.network !== this.#open[at].network ||
        place.linkIndex !== this.#open[at].linkIndex
      );
  }

  /** Opens the ports that are missing, and closes those of addresses that this host has no more. Not while polled. */
  follow(): void {
    const places = this.#deps.places();
    if (!this.#isOther(places)) return;
    const kept: OpenPlace[] = [];
    const before = new Set(this.#open);
    this.#fault = undefined;
    for (const place of places) {
      const same = this.#open.find(({ network, address, linkIndex }) =>
        network === place.network && address === place.address && linkIndex === place.linkIndex
      );
      const port = same?.port ?? this.#tryOpen(place);
      if (same !== undefined) before.delete(same);
      if (port !== undefined) {
        kept.push(same ?? new OpenPlace(place, port, this.#deps.elapsedMs()));
      }
    }
    for (const { port } of before) port[Symbol.dispose]();
    this.#open = kept;
    const nowMs = this.#deps.elapsedMs();
    const afterMs = this.#fault === undefined ? RETRY_MS[0] : Math.min(this.#retry.afterMs * 2, RETRY_MS[1]);
    this.#retry = { atMs: this.#fault === undefined ? 0 : nowMs + this.#retry.afterMs, afterMs };
  }

  #tryOpen({ network, address, linkIndex }: ProbePlace): ProbePort | undefined {
    const { open, port } = this.#deps;
    try {
      return open({
        address,
        port,
        hopLimit: HOP_LIMITS[network],
        ...linkIndex !== undefined && { linkIndex },
      });
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      // What has no address yet hides nothing that is worse.
      if (this.#fault === undefined || isErrno(error, EADDRINUSE)) {
        this.#fault = { error, address };
      }
      return undefined;
    }
  }

  /** Takes what comes until `signal` aborts, then closes all ports. */
  async listen({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { poll } = this.#deps;
    const wake = () => poll.wake();
    signal.addEventListener("abort", wake, { once: true });
    try {
      while (!signal.aborted) {
        if (this.isBehind) this.follow();
        const entries = this.#open.map(({ port }) => ({ fd: port.fd, events: POLLIN }));
        const happened = await poll.wait(entries, -1);
        if (signal.aborted) break;
        const isFlood = this.#open.filter((place, at) => happened?.[at] && this.#drain(place)).length > 0;
        if (isFlood || happened === undefined) await pause(FLOOD_REST_MS, { signal });
      }
    } finally {
      signal.removeEventListener("abort", wake);
      for (const { port } of this.#open) port[Symbol.dispose]();
      this.#open = [];
    }
  }

  /** Takes some of what has come. Answers whether there may be more. */
  #drain(place: OpenPlace): boolean {
    const { answerer } = this.#deps;
    for (let count = 0; count < AT_ONCE; count++) {
      const arrival = place.port.receive();
      if (arrival === undefined) return false;
      const probe = arrival === "other" ? undefined : decodeProbe(arrival.bytes);
      if (arrival === "other" || probe === undefined) answerer.refuse();
      else if (probe.kind === "answer") this.#take(probe, arrival);
      else {
        const from = { source: arrival.source, network: place.network };
        const answer = answerer.answer(probe, from, this.#deps.elapsedMs());
        if (answer === undefined) continue;
        const to = { address: arrival.source, port: arrival.sourcePort, isPlain: answer.isPlain };
        place.send(encodeProbe(answer, this.#scratch), to, this.#deps.elapsedMs());
      }
    }
    return true;
  }

  #take(
    answer: ProbeAnswer & { readonly isDamaged: boolean },
    from: { readonly source: Address; readonly sourcePort: number },
  ): void {
    const waiting = this.#waiting.get(answer.nonce);
    // Who did not get the question can't answer it.
    if (waiting === undefined || waiting.target !== from.source || waiting.port !== from.sourcePort) {
      this.#deps.answerer.refuse();
      return;
    }
    this.#waiting.delete(answer.nonce);
    this.#answered++;
    waiting.resolve({
      isDamagedThere: answer.wasDamaged,
      isDamagedBack: answer.isDamaged,
      hearsOverlay: answer.hears.overlay,
      roundTripMs: this.#deps.elapsedMs() - waiting.sentMs,
      answer,
    });
  }

  /** Asks a peer once; `undefined` if no answer comes within `timeoutMs`, or this host can't ask. */
  async ask(member: PathMember, question: Question, timeoutMs: number): Promise<FullReply | undefined> {
    const { family, port } = member;
    const { network, packetBytes } = question;
    const place = this.#find(network, family);
    const target = member.addresses[network];
    if (place === undefined || target === undefined || port === undefined) return undefined;
    const bytes = sizeOf(packetBytes, family);
    const nonce = this.#deps.nonce();
    const sentMs = this.#deps.elapsedMs();
    place.countDrops(sentMs);
    const datagram = encodeProbe({
      kind: "ask",
      nonce,
      askedUs: BigInt(Math.round(sentMs * 1000)),
      bytes,
      answerBytes: Math.min(sizeOf(question.answerBytes ?? packetBytes, family), bytes),
      isPlain: question.isPlain ?? false,
      wantsPlain: question.wantsPlain ?? false,
      hears: this.#deps.answerer.hears(member, sentMs),
    }, this.#scratch);
    const { promise, resolve } = Promise.withResolvers<FullReply>();
    this.#waiting.set(nonce, { target, port, sentMs, resolve });
    this.#asked++;
    try {
      const to = { address: target, port, isPlain: question.isPlain };
      if (!place.send(datagram, to, sentMs)) return undefined;
      const reply = await within(promise, timeoutMs);
      if (reply !== undefined) return reply;
      // This process may have been held up, and the answer be there: nobody else is to blame for that.
      for (const open of this.#open) this.#drain(open);
      return this.#waiting.has(nonce) ? undefined : await promise;
    } finally {
      this.#waiting.delete(nonce);
    }
  }

  /** Asks a peer through each network, for a person. */
  async askAll(member: PathMember, packetBytes: number, timeoutMs: number): Promise<readonly PeerAnswer[]> {
    const networks = (["overlay", "underlay"] as const).filter((one) => member.addresses[one] !== undefined);
    return await Promise.all(networks.map(async (network): Promise<PeerAnswer> => {
      const reply = await this.ask(member, { network, packetBytes }, timeoutMs) ??
        await this.ask(member, { network, packetBytes: leastBytes(member.family) }, timeoutMs);
      const { overlay, underlay, others } = reply?.answer.hears ?? {};
      return {
        network,
        target: member.addresses[network]!,
        packetBytes,
        roundTripMs: reply?.roundTripMs,
        view: reply && {
          arrivedBytes: reply.answer.arrivedBytes + HEADER_BYTES[member.family],
          isDamaged: reply.isDamagedThere,
          hears: { overlay: overlay!, underlay: underlay! },
          hearsOthers: others!,
        },
      };
    }));
  }
}

/** The bytes of the datagram in an IP packet of a size, as far as probes have such sizes. */
function sizeOf(packetBytes: number, family: Family): number {
  return Math.max(Math.min(packetBytes - HEADER_BYTES[family], MAX_PROBE_BYTES), HEAD_BYTES);
}
