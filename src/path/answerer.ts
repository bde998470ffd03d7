import type { Address, Family } from "../model/address.ts";
import type { ProbedNetwork } from "../model/peer_path.ts";
import { Bucket, type Rate } from "./bucket.ts";
import type { PathMember, PathMembers } from "./path_members.ts";
import type { Hearing, ProbeAnswer, ProbeAsk } from "./probe_wire.ts";

/** What is answered: an examination asks some dozens at once. */
const PER_PEER: Rate = { perSecond: 30, burst: 100 };
const IN_ALL: Rate = { perSecond: 300, burst: 600 };
/** What a peer is told to be heard was heard within so long: less than the time from one of its probes to the next. */
const TOLD_MS = 1500;
/** Through the overlay of others, who may be few. */
const OTHERS_MS = 10_000;
/** What is kept of a peer that was not heard for so long is forgotten. */
const KEPT_MS = 60_000;

/** What was heard of one peer in one family. */
interface Heard {
  readonly bucket: Bucket;
  readonly atMs: { underlay: number; overlay: number };
}

/** Decides which questions are answered, and remembers whom it has heard. */
export class Answerer {
  readonly #members: () => PathMembers;
  readonly #inAll: Bucket;
  readonly #isMute: (family: Family) => boolean;
  readonly #heard = new Map<string, Heard>();
  #served = 0;
  #refused = 0;

  /** @param isMute Whether this host's own packet filter refuses what it sends through the overlay of a family. */
  constructor(members: () => PathMembers, nowMs: number, isMute: (family: Family) => boolean = () => false) {
    this.#members = members;
    this.#isMute = isMute;
    this.#inAll = new Bucket(IN_ALL, nowMs);
  }

  /** Questions that were answered. */
  get served(): number {
    return this.#served;
  }

  /** Datagrams that were not. */
  get refused(): number {
    return this.#refused;
  }

  /** Something came that is no question and no answer that was waited for. */
  refuse(): void {
    this.#refused++;
  }

  /**
   * What a question is answered with; `undefined` if it is not: strangers are not answered, nor who asks too much.
   *
   * @param arrivedBytes The bytes of the datagram.
   */
  answer(
    ask: ProbeAsk & { readonly isDamaged: boolean },
    from: { readonly source: Address; readonly network: ProbedNetwork },
    nowMs: number,
  ): ProbeAnswer | undefined {
    const known = this.#members().at.get(from.source);
    if (known === undefined || known.network !== from.network) {
      this.#refused++;
      return undefined;
    }
    const { member } = known;
    const heard = this.#heardOf(member, nowMs);
    heard.atMs[from.network] = nowMs;
    if (!heard.bucket.take(nowMs) || !this.#inAll.take(nowMs)) {
      this.#refused++;
      return undefined;
    }
    this.#served++;
    return {
      kind: "answer",
      nonce: ask.nonce,
      askedUs: ask.askedUs,
      bytes: Math.min(ask.answerBytes, ask.bytes),
      arrivedBytes: ask.bytes,
      isPlain: ask.wantsPlain,
      wasDamaged: ask.isDamaged,
      hears: this.hears(member, nowMs),
    };
  }

  /** What a peer is told of what is heard here. */
  hears(member: Pick<PathMember, "host" | "family">, nowMs: number): Hearing {
    return {
      underlay: nowMs - this.heardMs(member, "underlay") <= TOLD_MS,
      overlay: nowMs - this.heardMs(member, "overlay") <= TOLD_MS,
      others: this.#hearsOthers(keyOf(member), nowMs),
      ...this.#isMute(member.family) && { isMute: true as const },
    };
  }

  /** When a probe of a peer has come through a network last; `-Infinity` if none has. */
  heardMs(member: Pick<PathMember, "host" | "family">, network: ProbedNetwork): number {
    return this.#heard.get(keyOf(member))?.atMs[network] ?? -Infinity;
  }

  #hearsOthers(but: string, nowMs: number): boolean {
    for (const [key, { atMs }] of this.#heard) {
      if (key !== but && nowMs - atMs.overlay <= OTHERS_MS) return true;
    }
    return false;
  }

  #heardOf(member: PathMember, nowMs: number): Heard {
    return this.#heard.getOrInsertComputed(keyOf(member), () => ({
      bucket: new Bucket(PER_PEER, nowMs),
      atMs: { underlay: -Infinity, overlay: -Infinity },
    }));
  }

  /** Forgets who was not heard for long. */
  prune(nowMs: number): void {
    for (const [key, { atMs }] of this.#heard) {
      if (nowMs - Math.max(atMs.underlay, atMs.overlay) > KEPT_MS) this.#heard.delete(key);
    }
  }
}

function keyOf({ host, family }: Pick<PathMember, "host" | "family">): string {
  return `${family} ${host}`;
}
