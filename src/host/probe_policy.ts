import { type Address, FAMILIES, type Family, familyOf, formatAddress } from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
import type { Underlay } from "../model/underlay.ts";

/** A peer to ask for a sign of life. */
export interface ProbeTarget {
  /** What the registry knows it by. */
  readonly host: string;
  /** This host's address that the peer answers to. */
  readonly source: Address;
  /** The peer's address. */
  readonly target: Address;
}

/** How a peer has answered. */
export interface ProbedPeer {
  readonly host: string;
  readonly target: Address;
  readonly asked: number;
  /** `answered`, `silent`, or why this host could not even ask: a clause. */
  readonly outcome: string;
}

/** What is known of the data path. */
export interface ProbeResult {
  /** `proved`: in each family a packet went to a peer and something came back, or there is no peer. */
  readonly state: "waiting" | "proved" | "unanswered";
  /**
   * The peers that were asked in families that are not proved, and those that have proved the others. Once the path is
   * unanswered they stay the same, so that what is said of it does.
   */
  readonly peers: readonly ProbedPeer[];
  /** Milliseconds since the first peers were asked; 0 before. */
  readonly sinceMs: number;
}

/** Peers that are asked at a time, of each family. */
const SAMPLE = 3;
/** Without an answer for this long nobody waits for one any more: all peers may be dead. */
const PATIENCE_MS = 10_000;
/** The kernel of a peer answers each host once a second (`net.ipv4.icmp_ratelimit`, `net.ipv6.icmp.ratelimit`). */
const FIRST_INTERVAL_MS = 1000;
const LATER_INTERVAL_MS = 10_000;

/** Decides whom to ask, and what the answers come to. */
export class ProbePolicy {
  readonly #random: () => number;
  #startedMs: number | undefined;
  /** The peers of the last round before the path was unanswered. */
  #named: readonly ProbeTarget[] = [];
  /** By the peer's address: of thousands of peers, few are ever asked. */
  readonly #asked = new Map<Address, { times: number; outcome: string }>();
  readonly #provedBy = new Map<Family, ProbeTarget>();
  /** Families with a peer. */
  #families: readonly Family[] = [];

  /** @param random From 0 to less than 1. */
  constructor(random: () => number) {
    this.#random = random;
  }

  /**
   * Chooses whom to ask now, at most three of each family that is not proved: those that were asked least, and at
   * random among them, so that many hosts that start at once do not all ask the same.
   */
  choose(targets: Iterable<ProbeTarget>, nowMs: number): readonly ProbeTarget[] {
    this.#startedMs ??= nowMs;
    const best = new Map<Family, RankedTarget[]>();
    for (const target of targets) {
      const family = familyOf(target.target);
      const ranked = best.getOrInsertComputed(family, () => []);
      if (this.#provedBy.has(family)) continue;
      keepBest(ranked, { target, rank: this.#timesAsked(target) + this.#random() });
    }
    this.#families = FAMILIES.filter((family) => best.has(family));
    const sample = this.#families.flatMap((family) => best.get(family)!.map(({ target }) => target));
    for (const target of sample) {
      this.#asked.set(target.target, { times: this.#timesAsked(target) + 1, outcome: "silent" });
    }
    if (this.#named.length === 0 || nowMs - this.#startedMs < PATIENCE_MS) this.#named = sample;
    return sample;
  }

  #timesAsked({ target }: ProbeTarget): number {
    return this.#asked.get(target)?.times ?? 0;
  }

  /** A peer has answered. */
  answered(target: ProbeTarget): void {
    this.#provedBy.set(familyOf(target.target), target);
    this.#asked.set(target.target, { times: this.#timesAsked(target), outcome: "answered" });
  }

  /** This host could not even ask; `reason` is a clause. */
  refused(target: ProbeTarget, reason: string): void {
    this.#asked.set(target.target, { times: this.#timesAsked(target), outcome: reason });
  }

  result(nowMs: number): ProbeResult {
    if (this.#startedMs === undefined) return { state: "waiting", peers: [], sinceMs: 0 };
    const sinceMs = nowMs - this.#startedMs;
    const isProved = this.#families.every((family) => this.#provedBy.has(family));
    const state = isProved ? "proved" : sinceMs < PATIENCE_MS ? "waiting" : "unanswered";
    const shown = [
      ...this.#provedBy.values(),
      ...this.#named.filter(({ target }) => !this.#provedBy.has(familyOf(target))),
    ];
    const peers = shown.map((target) => {
      const { times: asked, outcome } = this.#asked.get(target.target)!;
      return { host: target.host, target: target.target, asked, outcome };
    });
    return { state, peers, sinceMs };
  }

  /** How long after the last round the next one may begin. */
  intervalMs(nowMs: number): number {
    return this.result(nowMs).state === "unanswered" ? LATER_INTERVAL_MS : FIRST_INTERVAL_MS;
  }
}

interface RankedTarget {
  readonly target: ProbeTarget;
  readonly rank: number;
}

/** Puts one in among the few of the lowest rank, lowest first, if it is one of them. */
function keepBest(best: RankedTarget[], one: RankedTarget): void {
  if (best.length === SAMPLE && one.rank >= best[SAMPLE - 1]!.rank) return;
  const at = best.findIndex(({ rank }) => one.rank < rank);
  best.splice(at === -1 ? best.length : at, 0, one);
  if (best.length > SAMPLE) best.pop();
}

/**
 * The addresses at which peers can be asked: that of the VTEP where packets are encapsulated, else that of the
 * underlay. Peers of another backend than this host's are left out, as no packets go there.
 */
export function* probeTargets(
  own: Lease,
  remote: readonly Lease[],
  underlay: Underlay,
): Generator<ProbeTarget, void, undefined> {
  const isEncapsulated = own.backendType === "vxlan";
  if (!isEncapsulated && own.backendType !== "host-gw") return;
  for (const { host, backendType, parts } of remote) {
    if (backendType !== own.backendType) continue;
    for (const { subnet, underlayAddress } of parts) {
      const family = familyOf(subnet.address);
      const part = own.parts.find(({ subnet }) => familyOf(subnet.address) === family);
      const leaving = underlay.addresses.find((address) => address.family === family);
      if (part === undefined || leaving === undefined) continue;
      yield isEncapsulated
        ? { host, source: part.subnet.address, target: subnet.address }
        : { host, source: leaving.address, target: underlayAddress };
    }
  }
}

/**
 * What a person is told of a data path that nobody has answered on, one sentence; `undefined` while there is nothing
 * to tell.
 *
 * @param vxlanPort The UDP port of VXLAN; absent where packets are not encapsulated.
 */
export function probeNote({ state, peers }: ProbeResult, vxlanPort?: number): string | undefined {
  if (state !== "unanswered") return undefined;
  const mute = peers.filter(({ outcome }) => outcome !== "answered");
  const names = mute.map(({ host, target, outcome }) =>
    `${host} (${formatAddress(target)}${outcome === "silent" ? "" : `: ${outcome}`})`
  );
  const port = vxlanPort === undefined
    ? "whether these hosts are up and on this host's segment"
    : `whether a firewall between the hosts drops UDP port ${vxlanPort}, and whether these hosts are up`;
  return `no packet has come back over the overlay, peers that were asked are ${
    names.join(", ")
  }; look ${port}`;
}
