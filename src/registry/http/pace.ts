/** How patient one is with an answer. Only time in which the server is waited for counts. */
export interface Patience {
  /** Until it begins. */
  readonly beginMs: number;
  /** From one piece to the next. */
  readonly idleMs: number;
  /** In all, beside the time that what has arrived may take; no bound if absent. */
  readonly graceMs?: number;
  /** How slowly it may come, over the whole; of no meaning without `graceMs`. */
  readonly bytesPerSecond?: number;
  /** How much it may be; no bound if absent. */
  readonly maxBytes?: number;
}

/**
 * Keeps how long an answer may still be waited for: not for ever in silence, nor for ever while it trickles. The longer
 * it is, the longer it may take.
 */
export class Pace {
  readonly #patience: Patience;
  #bytes = 0;
  #waitedMs = 0;
  #waitsSinceMs: number | undefined;
  #hasBegun = false;

  constructor(patience: Patience) {
    this.#patience = patience;
  }

  /** Bytes that have arrived. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether more has arrived than may. */
  get isTooMuch(): boolean {
    return this.#bytes > (this.#patience.maxBytes ?? Infinity);
  }

  /** The server is waited for from now on: how long that may last, in milliseconds. */
  waits(nowMs: number): number {
    this.#waitsSinceMs = nowMs;
    const { beginMs, idleMs } = this.#patience;
    return this.#hasBegun ? Math.min(idleMs, this.#leftMs) : beginMs;
  }

  /** So much has come: nothing but the head with the first. */
  came(bytes: number, nowMs: number): void {
    if (this.#hasBegun) this.#waitedMs += nowMs - (this.#waitsSinceMs ?? nowMs);
    this.#hasBegun = true;
    this.#waitsSinceMs = undefined;
    this.#bytes += bytes;
  }

  /** Why it is given up, as what the server did. */
  get complaint(): string {
    const { beginMs, idleMs } = this.#patience;
    if (!this.#hasBegun) return `said nothing for ${beginMs / 1000} s`;
    if (this.#leftMs >= idleMs) return `said nothing for ${idleMs / 1000} s`;
    return `answers too slowly: ${this.#bytes} bytes in ${
      Math.round((this.#waitedMs + this.#leftMs) / 1000)
    } s`;
  }

  get #leftMs(): number {
    const { graceMs, bytesPerSecond = Infinity } = this.#patience;
    if (graceMs === undefined) return Infinity;
    return Math.max(graceMs + this.#bytes * 1000 / bytesPerSecond - this.#waitedMs, 0);
  }
}
