import type { Log } from "../log/log.ts";
import { pause } from "../loop/pause.ts";
import { formatAddress } from "../model/address.ts";
import { EACCES, EAGAIN, errnoName, NetlinkError } from "../linux/errno.ts";
import type { UdpPath, UdpSocket } from "../linux/udp_socket.ts";
import { ProbePolicy, type ProbeResult, type ProbeTarget } from "./probe_policy.ts";

const ENETUNREACH = 101;
const ECONNREFUSED = 111;
const EHOSTUNREACH = 113;

/**
 * What proves that a packet came to a peer and another one came back: a datagram, "port unreachable", and the
 * refusals of a firewall (ICMP types 3 and 1, codes "prohibited" and "policy"). What a router or this host says of an
 * address that it can't reach is not among them: the kernel keeps that from a socket that has not asked for it
 * (`IP_RECVERR`, ip(7)).
 */
export const ANSWERS: ReadonlySet<number> = new Set([0, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EACCES]);

/** The first port of traceroute(8): nobody listens there. */
export const PORT = 33434;
/** Peers are one hop away. A router that gets the packet because the overlay's route is missing can't answer for one. */
const HOP_LIMIT = 1;
/** For a person who looks at packets. */
export const PAYLOAD = new TextEncoder().encode("loden: does this packet arrive?");
/** Between looks for answers of one round: most come within a millisecond. */
const LOOKS_AFTER_MS = [1, 3, 12, 48, 186, 750];

/** What a probe needs of a UDP socket. */
export type ProbeSocket = Pick<UdpSocket, "send" | "receive" | typeof Symbol.dispose>;

/** What a probe works with. */
export interface ProbeDeps {
  /** Who may be asked now. */
  readonly targets: () => Iterable<ProbeTarget>;
  /** Opens a socket in this host's network namespace. */
  readonly open: (path: UdpPath) => ProbeSocket;
  /** From 0 to less than 1. */
  readonly random: () => number;
  /** Milliseconds of a clock that never jumps. */
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/**
 * Proves that packets go to a peer and come back, by datagrams that the peers' kernels refuse. It needs no privilege
 * and nothing that runs on a peer.
 */
export class DataPathProbe {
  readonly #deps: ProbeDeps;
  readonly #policy: ProbePolicy;

  constructor(deps: ProbeDeps) {
    this.#deps = deps;
    this.#policy = new ProbePolicy(deps.random);
  }

  get result(): ProbeResult {
    return this.#policy.result(this.#deps.elapsedMs());
  }

  /**
   * Asks peers once a second, once in ten after half a minute, until each family is proved or `signal` aborts. To be
   * called when the peers are known and the links of the overlay are up; never throws for what the network does.
   */
  async run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { targets, elapsedMs } = this.#deps;
    for (let isProved = false; !signal.aborted && !isProved;) {
      const startedMs = elapsedMs();
      await this.#round(this.#policy.choose(targets(), startedMs), signal);
      const { result } = this;
      isProved = result.state === "proved";
      if (isProved) this.#tell(result);
      else {
        await pause(startedMs + this.#policy.intervalMs(elapsedMs()) - elapsedMs(), { signal });
      }
    }
  }

  #tell({ sinceMs, peers }: ProbeResult): void {
    this.#deps.log.write("info", "data path proved", {
      sinceMs,
      peers: peers.map(({ host, target, outcome }) => `${host} ${formatAddress(target)}: ${outcome}`),
    });
  }

  /** Asks each, and listens until all have answered or the round is over. */
  async #round(targets: readonly ProbeTarget[], signal: AbortSignal): Promise<void> {
    using resources = new DisposableStack();
    const silent = new Map<ProbeTarget, ProbeSocket>();
    for (const target of targets) {
      const socket = this.#ask(target);
      if (socket !== undefined) silent.set(target, resources.use(socket));
    }
    for (const ms of LOOKS_AFTER_MS) {
      if (silent.size === 0 || signal.aborted || this.result.state === "proved") return;
      await pause(ms, { signal });
      for (const [target, socket] of silent) {
        const errno = socket.receive();
        if (errno === EAGAIN) continue;
        silent.delete(target);
        if (ANSWERS.has(errno)) this.#policy.answered(target);
        else this.#policy.refused(target, `this host says ${errnoName(errno)}`);
      }
    }
  }

  /** Sends a datagram; `undefined` if this host refuses to, after which what the socket says proves nothing. */
  #ask(path: ProbeTarget): ProbeSocket | undefined {
    let socket: ProbeSocket | undefined;
    try {
      socket = this.#deps.open({ ...path, port: PORT, hopLimit: HOP_LIMIT });
      const errno = socket.send(PAYLOAD);
      if (errno === 0) return socket;
      this.#policy.refused(path, `this host's own rules or routes refuse it with ${errnoName(errno)}`);
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      this.#policy.refused(path, `this host says ${errnoName(error.errno)}`);
    }
    socket?.[Symbol.dispose]();
    return undefined;
  }
}
