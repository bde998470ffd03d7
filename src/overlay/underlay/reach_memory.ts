import type { Address } from "../../model/address.ts";
import type { Reach, Reaches } from "../../model/reach.ts";
import { isSameReach } from "./reach.ts";

/** A way that changes has stood this long before it is believed: who changes routes may put them back at once. */
const HOLD_MS = 1000;

/** What slows a way that comes and goes. */
export interface Damping {
  /** A way was lost. */
  turn(): void;
  /** Milliseconds to wait before one that is there again is used; 0 while they don't come and go. */
  readonly waitMs: number;
}

/** An answer that is not believed yet. */
interface Doubt {
  readonly reach: Reach;
  readonly sinceMs: number;
}

/**
 * What is believed of where others are. Of a new address the first answer counts. That one has left the segment counts
 * once it has stood for a second; that one has come onto it likewise where it is reached another way meanwhile, and the
 * later the more often they come and go.
 */
export class ReachMemory {
  readonly #damping: Damping;
  readonly #hasTunnel: boolean;
  #reaches: ReadonlyMap<Address, Reach> = new Map();
  readonly #doubts = new Map<Address, Doubt>();

  /** @param hasTunnel Whether a peer off the segment is reached through the VTEP. */
  constructor(damping: Damping, options: { readonly hasTunnel: boolean }) {
    this.#damping = damping;
    this.#hasTunnel = options.hasTunnel;
  }

  /** What is believed. Keeps its identity while nothing changes. */
  get reaches(): Reaches {
    return this.#reaches;
  }

  /** The addresses whose last answer is not believed yet. */
  get doubted(): Iterable<Address> {
    return this.#doubts.keys();
  }

  /** Milliseconds until an answer that is not believed yet counts if it is the same then; `undefined` for none. */
  waitMs(nowMs: number): number | undefined {
    let first: number | undefined;
    for (const doubt of this.#doubts.values()) {
      const waitMs = this.#holdMs(doubt, nowMs);
      if (first === undefined || waitMs < first) first = waitMs;
    }
    return first;
  }

  /** Forgets all: what comes next is another link. */
  forget(): void {
    this.#reaches = new Map();
    this.forgetDoubts();
  }

  /** Forgets what is not believed yet. */
  forgetDoubts(): void {
    this.#doubts.clear();
  }

  /**
   * Takes the kernel's answers.
   *
   * @param wanted All addresses of interest; what is known of others is forgotten.
   * @returns Addresses that have left the segment or come onto it.
   */
  take(answers: Reaches, wanted: ReadonlySet<Address>, nowMs: number): number {
    const next = new Map<Address, Reach>();
    let isOther = false;
    let moved = 0;
    let lost = 0;
    for (const address of wanted) {
      const known = this.#reaches.get(address);
      const answer = answers.get(address);
      const believed = answer === undefined ? known : this.#judge(address, known, answer, nowMs);
      if (believed === undefined) continue;
      next.set(address, believed);
      if (believed === known) continue;
      isOther = true;
      if (known === undefined || known.place === believed.place) continue;
      if (known.place === "segment") lost++;
      if (known.place === "segment" || believed.place === "segment") moved++;
    }
    for (const address of this.#doubts.keys()) if (!wanted.has(address)) this.#doubts.delete(address);
    if (isOther || next.size !== this.#reaches.size) this.#reaches = next;
    if (lost > 0) this.#damping.turn();
    return moved;
  }

  #judge(address: Address, known: Reach | undefined, answer: Reach, nowMs: number): Reach {
    if (known !== undefined && isSameReach(known, answer)) {
      this.#doubts.delete(address);
      return known;
    }
    const isLeaving = known?.place === "segment";
    const isComing = known !== undefined && answer.place === "segment" && this.#hasTunnel;
    if (isLeaving || isComing) {
      const before = this.#doubts.get(address);
      const isSame = before?.reach.place === answer.place;
      const doubt = isSame ? before : { reach: answer, sinceMs: nowMs };
      if (this.#holdMs(doubt, nowMs) > 0) {
        this.#doubts.set(address, doubt);
        return known;
      }
    }
    this.#doubts.delete(address);
    return answer;
  }

  #holdMs({ reach, sinceMs }: Doubt, nowMs: number): number {
    const dampingMs = reach.place === "segment" ? this.#damping.waitMs : 0;
    return Math.max(sinceMs + HOLD_MS - nowMs, dampingMs, 0);
  }
}
