import { listenToDrops, readTraceLine, type TraceEvent } from "../../linux/drop_trace.ts";
import { EAGAIN, NetlinkError } from "../../linux/errno.ts";
import type { Libc } from "../../linux/libc.ts";
import { TraceError, TraceInstance } from "../../linux/trace_fs.ts";
import { UdpSocket } from "../../linux/udp_socket.ts";
import { pause } from "../../loop/pause.ts";
import { AF_INET, formatAddress, type Ipv4, type Ipv6 } from "../../model/address.ts";
import { type DropWords, USUAL } from "./drop_words.ts";
import { type ChainFacts, type ChainLink, PROBE_PORT } from "./facts.ts";
import { placeText } from "../../nftables/place_words.ts";
import {
  type Fate,
  fatesOf,
  fateText,
  type LiveProbe,
  type LiveWay,
  markOf,
  sideOf,
  stopFromPod,
  stopOf,
} from "./live_judge.ts";
import { heard, heardLines } from "./live_heard.ts";
import type { LiveReport } from "./live_report.ts";
import type { PodNetns, PodWay } from "./link_facts.ts";
import { podWay } from "./pod_netns.ts";

const ETHERTYPES = { [AF_INET]: 0x0800, 10: 0x86dd } as const;
/** IP and UDP headers. */
const HEADERS_BYTES = { [AF_INET]: 28, 10: 48 } as const;
/** Sizes that few other packets have: those of a run are drawn from here. */
const SMALL_BYTES = { from: 300, to: 500 } as const;
const HOP_LIMIT = 64;
/** Between two packets, and between looks at the trace. */
const STEP_MS = 40;
/** An answer takes no longer than this. */
const ANSWER_MS = 600;
/** A neighbour is given up after three questions, a second apart. */
const NEIGHBOUR_MS = 4000;

/** Where a packet was dropped, behind the words that say why. */
const SIDES = {
  here: "",
  behind: "; it did not get on behind the last link of this host",
  aside: "; it did not get on from there, which is not on the way that was read",
} as const;

/** How packets are sent. */
export interface LiveOptions {
  /** The pod that they come from; from this host if absent. */
  readonly pod: PodNetns | undefined;
  /** How long others' packets are listened to. */
  readonly listenMs: number;
  readonly signal: AbortSignal;
}

/** Sends some packets, and reads what the kernel says of them. What can't be done is a line of the report. */
export async function probeLive(libc: Libc, facts: ChainFacts, options: LiveOptions): Promise<LiveReport> {
  try {
    using trace = TraceInstance.open(libc, { mayMount: true });
    return await new Probing(libc, facts, options, trace).run();
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    return {
      cause: undefined,
      isAlike: [],
      lines: [`live: not done: ${error.message}`],
      json: { fault: error.message },
    };
  }
}

class Probing {
  readonly #events: TraceEvent[] = [];
  /** As it is when the packets have been sent. */
  #podWay: PodWay | undefined;

  constructor(
    readonly libc: Libc,
    readonly facts: ChainFacts,
    readonly options: LiveOptions,
    readonly trace: TraceInstance,
  ) {}

  async run(): Promise<LiveReport> {
    const { family } = this.facts;
    const sizes = this.#sizes();
    const largest = Math.max(...sizes);
    listenToDrops(this.trace, {
      protocols: Object.values(ETHERTYPES),
      without: USUAL,
      sentBytes: { from: SMALL_BYTES.from, to: largest + 100 },
    });
    const probes = await this.#send(sizes);
    const { pod } = this.options;
    this.#podWay = pod && podWay(this.libc, pod, this.facts.target);
    const fates = fatesOf(probes, this.#events, ETHERTYPES[family], this.#firstLink);
    const before = this.#events.length;
    await this.#listen();
    return this.#report(probes, fates, this.#events.slice(before));
  }

  /** What is read of the way, to compare with what the kernel says. */
  get #way(): LiveWay {
    const { wayLinks, targetPort, tunnel, way, isFromPod, bridge } = this.facts;
    const last = (targetPort?.link ?? (tunnel?.outer ?? way).link)?.name;
    const names = wayLinks.map(({ name }) => name);
    return {
      // Behind a bridge it is the port that is last, where that is known.
      links: last === undefined || last === bridge?.link.name
        ? []
        : [...names.filter((name) => name !== last), last],
      isFromPod: isFromPod && this.options.pod !== undefined,
    };
  }

  /** The pod's own link that packets are handed to; `undefined` where that is not known. */
  get #firstLink(): string | undefined {
    const { pod } = this.options;
    // To itself a pod sends by its loopback link, and only then.
    return pod === undefined || pod.address === this.facts.target ? undefined : this.facts.podWay?.link;
  }

  /** What stopped a packet, in words. */
  #stopOf(fate: Fate): DropWords | undefined {
    const { pod } = this.options;
    return pod === undefined ? stopOf(fate) : stopFromPod(fate, pod.address, this.#podWay);
  }

  /** The pod's own link comes first, and often has the name of one of the host's. */
  #named(fate: Fate): Fate {
    const isLed = fate.kind === "dropped" || fate.kind === "gone";
    if (!isLed || this.options.pod === undefined || fate.links.length === 0) return fate;
    return { ...fate, links: [`the pod's ${fate.links[0]}`, ...fate.links.slice(1)] };
  }

  /** Two small packets, and one as large as a pod may send. */
  #sizes(): readonly number[] {
    const { env, way, bridge } = this.facts;
    const span = SMALL_BYTES.to - SMALL_BYTES.from;
    const first = SMALL_BYTES.from + crypto.getRandomValues(new Uint16Array(1))[0]! % (span - 8);
    const largest = env?.mtuBytes ?? bridge?.link.mtuBytes ?? way.link?.mtuBytes ?? 1280;
    return [first, first + 7, Math.min(Math.max(largest, SMALL_BYTES.to + 1), 65_000)];
  }

  async #send(sizes: readonly number[]): Promise<readonly LiveProbe[]> {
    const { target, family } = this.facts;
    const { pod, signal } = this.options;
    // Without its namespace nothing can be sent from a pod's address.
    const own = this.facts.isFromPod ? undefined : this.facts.source;
    const source = pod?.address ?? own ?? (family === AF_INET ? 0 as Ipv4 : 0n as Ipv6);
    const open = () =>
      UdpSocket.open(this.libc, { source, target, port: PROBE_PORT, hopLimit: HOP_LIMIT, isWhole: true });
    using stack = new DisposableStack();
    const sent: { packetBytes: number; sendErrno: number; answerErrno: number | undefined }[] = [];
    const sockets: (UdpSocket | undefined)[] = [];
    for (const [at, packetBytes] of sizes.entries()) {
      const payload = new Uint8Array(packetBytes - HEADERS_BYTES[family]);
      try {
        const socket = stack.use(pod === undefined ? open() : this.libc.inNetns(pod.path, open));
        sockets.push(socket);
        this.trace.mark(markOf.begin(at));
        const sendErrno = socket.send(payload);
        this.trace.mark(markOf.end(at));
        sent.push({ packetBytes, sendErrno, answerErrno: undefined });
      } catch (error) {
        if (!(error instanceof NetlinkError)) throw error;
        sockets.push(undefined);
        sent.push({ packetBytes, sendErrno: error.errno, answerErrno: undefined });
      }
      await this.#wait(STEP_MS, signal);
    }
    for (let waitedMs = 0; waitedMs < NEIGHBOUR_MS && !signal.aborted; waitedMs += STEP_MS) {
      for (const [at, probe] of sent.entries()) {
        const answer = sockets[at]?.receive() ?? EAGAIN;
        if (answer !== EAGAIN) probe.answerErrno ??= answer;
      }
      await this.#wait(STEP_MS, signal);
      const fates = fatesOf(sent, this.#events, ETHERTYPES[family], this.#firstLink);
      const open = fates.filter(({ kind }) => kind === "gone" || kind === "arrived");
      if (open.length === 0) break;
      // What has left by the last link of this host has no neighbour to wait for.
      if (waitedMs >= ANSWER_MS && !open.some((fate) => this.#mayWait(fate))) break;
    }
    return sent;
  }

  /** Whether a packet may still lie in the queue of a neighbour. */
  #mayWait(fate: Fate): boolean {
    if (fate.kind !== "gone") return false;
    const { way, tunnel, bridge } = this.facts;
    const last = (tunnel?.outer ?? way).link?.name;
    // The pod's own link, which comes first, may have the name of the host's.
    const isLast = fate.links.at(-1) === last && (this.options.pod === undefined || fate.links.length > 1);
    return last === undefined || last === bridge?.link.name || !isLast;
  }

  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    await pause(ms, { signal });
    this.#events.push(...this.trace.lines().flatMap((line) => readTraceLine(line) ?? []));
  }

  async #listen(): Promise<void> {
    const { listenMs, signal } = this.options;
    for (let waitedMs = 0; waitedMs < listenMs && !signal.aborted; waitedMs += STEP_MS) {
      await this.#wait(STEP_MS, signal);
    }
  }

  #report(
    probes: readonly LiveProbe[],
    fates: readonly Fate[],
    others: readonly TraceEvent[],
  ): LiveReport {
    const { pod, listenMs } = this.options;
    const { target, isFromPod, registry } = this.facts;
    const sides = fates.map((fate) => fate.kind === "dropped" ? sideOf(fate, this.#way) : "here");
    const isInPod = this.facts.targetPort !== undefined;
    // What drops it behind this host is no fault of it.
    const stopped = fates.findIndex((fate, at) =>
      this.#stopOf(fate) !== undefined && (sides[at] !== "behind" || isInPod)
    );
    const words = stopped < 0 ? undefined : this.#stopOf(fates[stopped]!);
    const whence = pod === undefined
      ? `this host${
        isFromPod ? ", as no pod's network namespace was found: rules for forwarded packets are not met" : ""
      }`
      : `the pod ${formatAddress(pod.address)}`;
    const rows = fates.map((fate, at) =>
      `  ${probes[at]!.packetBytes} bytes: ${fateText(this.#named(fate))}${SIDES[sides[at]!]}`
    );
    const isGone = fates.some(({ kind }, at) => kind === "gone" || sides[at] === "behind") &&
      words === undefined;
    const host = registry.kind === "said" ? registry.lease?.host : undefined;
    const other = isGone
      ? [
        `  nothing here drops them; what does is behind this host: run 'loden explain' on ${
          host ?? "the other one"
        }`,
      ]
      : [];
    return {
      cause: words && this.#cause(words, {
        fate: this.#named(fates[stopped]!),
        side: sides[stopped]!,
        packetBytes: probes[stopped]!.packetBytes,
        isLargest: stopped === fates.length - 1,
      }),
      // What was read is about this host.
      isAlike: sides[stopped] === "behind" ? [] : words?.alike ?? [],
      lines: [
        `live: ${fates.length} packets from ${whence} to ${formatAddress(target)}, UDP port ${PROBE_PORT}`,
        ...rows,
        ...other,
        ...listenMs === 0 ? [] : heardLines(others, listenMs),
      ],
      json: {
        ...listenMs === 0
          ? {}
          : { heard: Object.fromEntries(heard(others).map(([what, some]) => [what, some.length])) },
        from: pod === undefined ? "host" : formatAddress(pod.address),
        packets: fates.map((fate) => this.#named(fate)).map((fate, at) => ({
          bytes: probes[at]!.packetBytes,
          fate: fate.kind,
          ...fate.kind === "dropped" && {
            reason: fate.drop.reason,
            place: fate.drop.place,
            links: fate.links,
            certain: fate.isCertain,
            side: sides[at],
          },
          ...fate.kind === "gone" && { links: fate.links },
        })),
      },
    };
  }

  #cause(
    { code, text, remedy }: NonNullable<ReturnType<typeof stopOf>>,
    { fate, side, packetBytes, isLargest }: {
      readonly fate: Fate;
      readonly side: keyof typeof SIDES;
      readonly packetBytes: number;
      readonly isLargest: boolean;
    },
  ): ChainLink {
    const { filters, hasLegacy, tunnel } = this.facts;
    const links = fate.kind === "dropped" ? fate.links : [];
    const isOuter = tunnel !== undefined && links.includes(tunnel.link.name);
    // Rules of this host's are not those of the pod.
    const verdicts = side === "behind"
      ? []
      : isOuter
      ? tunnel.outerOutput
      : [filters?.first, filters?.main, filters?.last];
    const doubts = code === "dropped-by-rule" ? verdicts.flatMap((one) => one?.doubts ?? []) : [];
    const legacy = fate.kind === "dropped" && fate.drop.place === "nf_hook_slow" && hasLegacy &&
      side !== "behind";
    const by = legacy
      ? "; it is one of legacy iptables: iptables-legacy-save"
      : doubts.length > 0
      ? `; it can be ${doubts.map(placeText).join(", or ")}`
      : "";
    const which = isLargest
      ? `a packet of ${packetBytes} bytes, the largest that a pod may send`
      : "a packet";
    const where = links.length === 0 ? "" : ` after ${links.at(-1)}`;
    const aside = SIDES[side];
    const told = fate.kind === "dropped"
      ? ` (${fate.drop.reason || "no reason told"} in ${fate.drop.place})`
      : "";
    return {
      name: "live",
      state: "wrong",
      code,
      text: `${which} was stopped${where}: ${text}${by}${told}${aside}`,
      remedy,
    };
  }
}
