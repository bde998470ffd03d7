/** How many answers are made, and how long one may be told again. */
export interface AnswerPace {
  /** Answers that may be made one after the other. */
  readonly burst: number;
  /** Answers that may be made in a second, in the long run. */
  readonly perSecond: number;
  /** An answer is told again for this long, to those who ask while none may be made. */
  readonly keptMs: number;
}

const PACE: AnswerPace = { burst: 10, perSecond: 40, keptMs: 250 };
/** Of different questions so many answers are kept, and none that is longer. */
const MOST_ANSWERS = 8;
const MOST_BYTES = 256 * 1024;
const MOST_LETTERS = 512;

/**
 * Bounds what answers cost, however many ask: a person or a probe gets one that was made at this moment, a flood those that
 * were made a moment ago.
 */
export class KeptAnswers {
  readonly #elapsedMs: () => number;
  readonly #pace: AnswerPace;
  readonly #answers = new Map<string, { readonly bytes: Uint8Array<ArrayBuffer>; readonly atMs: number }>();
  /** How many may be made now. */
  #free: number;
  #atMs: number;

  /** @param elapsedMs A clock that nobody sets. */
  constructor(elapsedMs: () => number, pace: Partial<AnswerPace> = {}) {
    this.#elapsedMs = elapsedMs;
    this.#pace = { ...PACE, ...pace };
    this.#free = this.#pace.burst;
    this.#atMs = elapsedMs();
  }

  /** Milliseconds until an answer may be made. */
  get waitMs(): number {
    this.#refill();
    return this.#free >= 1 ? 0 : (1 - this.#free) * 1000 / this.#pace.perSecond;
  }

  /** Takes note that one is made. */
  made(): void {
    this.#refill();
    this.#free = Math.max(0, this.#free - 1);
  }

  /** Keeps an answer to a question for those who ask the same soon. */
  keep(question: string, bytes: Uint8Array<ArrayBuffer>): void {
    this.#answers.delete(question);
    if (bytes.length > MOST_BYTES || question.length > MOST_LETTERS) return;
    this.#answers.set(question, { bytes, atMs: this.#elapsedMs() });
    if (this.#answers.size > MOST_ANSWERS) this.#answers.delete(this.#answers.keys().next().value!);
  }

  /** Whether a question was answered a moment ago. */
  has(question: string): boolean {
    const kept = this.#answers.get(question);
    return kept !== undefined && this.#elapsedMs() - kept.atMs <= this.#pace.keptMs;
  }

  /** What may be told again, as no other may be made now; `undefined` if one may, or there is nothing. */
  again(question: string): Uint8Array<ArrayBuffer> | undefined {
    return this.waitMs > 0 && this.has(question) ? this.#answers.get(question)!.bytes : undefined;
  }

  #refill(): void {
    const nowMs = this.#elapsedMs();
    const { burst, perSecond } = this.#pace;
    this.#free = Math.min(burst, this.#free + (nowMs - this.#atMs) * perSecond / 1000);
    this.#atMs = nowMs;
  }
}
