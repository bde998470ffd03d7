/** When a fight is a fight, and how it is slowed. */
export interface DamperLimits {
  /** Turns in a window that are answered at once. */
  readonly freeTurns: number;
  readonly windowMs: number;
  /** Before each answer after that. */
  readonly pauseMs: number;
}

/** Slows a fight over one thing: who puts it back again and again, as somebody else does, waits before the next time. */
export class Damper {
  readonly #limits: DamperLimits;
  readonly #elapsedMs: () => number;
  /** When the last turns were, oldest first. */
  #turns: readonly number[] = [];
  #isFight = false;

  /** @param elapsedMs A clock that nobody sets. */
  constructor(limits: DamperLimits, elapsedMs: () => number) {
    this.#limits = limits;
    this.#elapsedMs = elapsedMs;
  }

  /** Somebody else has changed what this host had put there. */
  turn(): void {
    const { freeTurns, windowMs } = this.#limits;
    const nowMs = this.#elapsedMs();
    const wasFight = this.isFight;
    this.#turns = [...this.#turns.filter((atMs) => nowMs - atMs < windowMs), nowMs].slice(-freeTurns - 1);
    this.#isFight = wasFight || this.#turns.length > freeTurns;
  }

  /** Turns in the window that ended with the last one; no more are counted than it takes for a fight. */
  get turns(): number {
    return this.#turns.length;
  }

  /** Milliseconds to wait before it is put back; 0 while this is no fight. */
  get waitMs(): number {
    if (!this.isFight) return 0;
    return Math.max(this.#turns.at(-1)! + this.#limits.pauseMs - this.#elapsedMs(), 0);
  }

  /** Whether there were more turns in one window than are free, and no whole window without one since. */
  get isFight(): boolean {
    return this.#isFight && this.#elapsedMs() - this.#turns.at(-1)! < this.#limits.windowMs;
  }
}
