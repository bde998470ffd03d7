import type { LinkedAbort } from "../../loop/linked_abort.ts";

/** How long an answer may take. */
export interface AnswerLimits {
  /** It may be silent for so long, before it begins and in between. */
  readonly silenceMs: number;
  /** It may be as slow as it likes for so long. */
  readonly graceMs?: number;
  /** From then on it has to have come at this rate at least, as seen from its beginning. */
  readonly bytesPerS?: number;
}

const GRACE_MS = 30_000;
/** Slower than any line that a host could be a member by: a modem's. */
const BYTES_PER_S = 4096;

/**
 * Aborts an answer that has fallen silent, or that comes so slowly that it has no end: each piece that arrives buys the
 * answer time, so that a large one over a slow line is read for as long as it needs. It aborts with itself as the reason.
 */
export class AnswerPace {
  readonly #abort: LinkedAbort;
  readonly #silenceMs: number;
  readonly #graceMs: number;
  readonly #bytesPerMs: number;
  #startedMs: number | undefined;
  #bytes = 0;

  constructor(abort: LinkedAbort, limits: AnswerLimits) {
    const { silenceMs, graceMs = GRACE_MS, bytesPerS = BYTES_PER_S } = limits;
    this.#abort = abort;
    this.#silenceMs = silenceMs;
    this.#graceMs = graceMs;
    this.#bytesPerMs = bytesPerS / 1000;
  }

  /** An answer, or the next one, is waited for. */
  begin(): void {
    this.#startedMs = performance.now();
    this.#bytes = 0;
    this.#abort.limit(this.#silenceMs, this);
  }

  /** So many bytes of it are here. */
  arrived(bytes: number): void {
    if (this.#startedMs === undefined) this.begin();
    this.#bytes += bytes;
    const dueMs = this.#startedMs! + this.#graceMs + this.#bytes / this.#bytesPerMs;
    this.#abort.limit(Math.min(this.#silenceMs, dueMs - performance.now()), this);
  }

  /** Nothing is due. */
  rest(): void {
    this.#startedMs = undefined;
    this.#abort.limit(Infinity);
  }

  /** What was wrong, as what is said of who answers: `does not answer within 5 s`. */
  get reason(): string {
    const tookMs = performance.now() - (this.#startedMs ?? 0);
    if (this.#bytes === 0) return `does not answer within ${this.#silenceMs / 1000} s`;
    const dueMs = this.#graceMs + this.#bytes / this.#bytesPerMs;
    return tookMs < dueMs
      ? `fell silent for ${this.#silenceMs / 1000} s in the middle of its answer`
      : `answers too slowly: ${this.#bytes} bytes in ${Math.round(tookMs / 1000)} s`;
  }
}
