import { EPERM } from "../linux/errno.ts";
import type { UdpPort } from "../linux/udp_port.ts";
import type { Address } from "../model/address.ts";
import type { ProbedNetwork } from "../model/peer_path.ts";

/** That the own packet filter has refused counts for so long, unless it lets something pass. */
const REFUSED_MS = 30_000;
/** That the kernel had no room for what came counts for so long. */
const DEAF_MS = 3000;
/** So many a second, of which some may have been answers. */
const DEAF_DROPS = 50;

/** Where this host is asked and asks. */
export interface ProbePlace {
  readonly network: ProbedNetwork;
  readonly address: Address;
  /** The link that it is on, where it is a link-local address of IPv6. */
  readonly linkIndex?: number;
}

/** What a door needs of a UDP port. */
export type ProbePort = Pick<UdpPort, "fd" | "send" | "receive" | "drops" | typeof Symbol.dispose>;

/** A port that is open, and what is known of what goes out and comes in there. Times are those of a clock that never jumps. */
export class OpenPlace {
  readonly network: ProbedNetwork;
  readonly address: Address;
  readonly linkIndex: number | undefined;
  #refusedMs = -Infinity;
  #drops: number;
  #countedMs: number;
  #deafMs = -Infinity;

  constructor({ network, address, linkIndex }: ProbePlace, readonly port: ProbePort, nowMs: number) {
    this.network = network;
    this.address = address;
    this.linkIndex = linkIndex;
    this.#drops = port.drops;
    this.#countedMs = nowMs;
  }

  /** Sends, and notes whether this host's own packet filter lets it. Answers whether it went. */
  send(
    datagram: Uint8Array<ArrayBuffer>,
    to: { readonly address: Address; readonly port: number; readonly isPlain?: boolean | undefined },
    nowMs: number,
  ): boolean {
    const errno = this.port.send(datagram, to.address, to.port, to.isPlain);
    // What a rule drops on its way out the kernel answers so: nf_hook_slow(), net/netfilter/core.c.
    if (errno === EPERM) this.#refusedMs = nowMs;
    else if (errno === 0) this.#refusedMs = -Infinity;
    return errno === 0;
  }

  /** Whether this host's own packet filter has refused what was sent last. */
  isRefused(nowMs: number): boolean {
    return nowMs - this.#refusedMs <= REFUSED_MS;
  }

  /** Notes whether the kernel has had no room for many datagrams since this was called last. */
  countDrops(nowMs: number): void {
    const { drops } = this.port;
    // Fewer may be damaged probes, which are what is looked for.
    const perSecond = (drops - this.#drops) * 1000 / Math.max(nowMs - this.#countedMs, 1000);
    if (perSecond >= DEAF_DROPS) this.#deafMs = nowMs;
    this.#drops = drops;
    this.#countedMs = nowMs;
  }

  /** Whether there was no room for answers, perhaps: then silence says nothing. */
  isDeaf(nowMs: number): boolean {
    this.countDrops(nowMs);
    return nowMs - this.#deafMs <= DEAF_MS;
  }
}
