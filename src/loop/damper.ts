/** When a fight is a fight, and how it is slowed. */
export interface DamperLimits {
  /** Turns in a window that are answered at once. */
  readonly freeTurns: number;
  readonly windowMs: number;
  /** Before each answer after that, at most. */
  readonly pauseMs: number;
  /** Before the first of these; doubled each time while the fight goes on without a rest. `pauseMs` if absent. */
  readonly firstPauseMs?: number;
}

/** What stays right for so long after it was put back is at rest: the next pause is a short one again. */
const REST_MS = 10_000;

/**
 * What is put back at once so often in a minute, and then ever more rarely, down to twice a minute: so that what a fight
 * leaves is right again soon after it has ended.
 */
export const FIGHT: DamperLimits = { freeTurns: 20, windowMs: 60_000, pauseMs: 30_000, firstPauseMs: 1000 };

/** Slows a fight over one thing: this host waits before it puts back again what another writer changes each time. */
export class Damper {
  readonly #limits: DamperLimits;
  readonly #elapsedMs: () => number;
  /** When the last turns were, oldest first. */
  #turns: readonly number[] = [];
  #isFight = false;
  #pauseMs: number;

  /** @param elapsedMs A clock that nobody sets. */
  constructor(limits: DamperLimits, elapsedMs: () => number) {
    this.#limits = limits;
    this.#elapsedMs = elapsedMs;
    this.#pauseMs = limits.firstPauseMs ?? limits.pauseMs;
  }

  /** Another writer has changed what this host had put there. */
  turn(): void {
    const { freeTurns, windowMs, pauseMs, firstPauseMs = pauseMs } = this.#limits;
    const nowMs = this.#elapsedMs();
    const wasFight = this.isFight;
    const isOn = wasFight && nowMs - this.#turns.at(-1)! < this.#pauseMs + REST_MS;
    this.#pauseMs = isOn ? Math.min(this.#pauseMs * 2, pauseMs) : firstPauseMs;
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
    return Math.max(this.#turns.at(-1)! + this.#pauseMs - this.#elapsedMs(), 0);
  }

  /** Milliseconds until a fight is over if it ends now; 0 while this is none. */
  get overInMs(): number {
    return this.isFight ? this.#turns.at(-1)! + this.#limits.windowMs - this.#elapsedMs() : 0;
  }

  /** Whether there were more turns in one window than are free, and no whole window without one since. */
  get isFight(): boolean {
    return this.#isFight && this.#elapsedMs() - this.#turns.at(-1)! < this.#limits.windowMs;
  }
}
