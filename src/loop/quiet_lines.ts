/** The same is said at most once in so long, and no more than so many lines. */
const QUIET_MS = 60_000;
const MAX_LINES = 60;

/**
 * What may be logged now: the same once in a while, and not too much in all, so that what comes and goes fills no log.
 * What is held back is due again later, if it still stands.
 */
export class QuietLines {
  readonly #elapsedMs: () => number;
  /** When each line was logged last. */
  #toldMs = new Map<string, number>();

  /** @param elapsedMs A clock that nobody sets. */
  constructor(elapsedMs: () => number) {
    this.#elapsedMs = elapsedMs;
  }

  /** Whether a line may be logged; it counts as logged then. */
  isDue(line: string): boolean {
    const nowMs = this.#elapsedMs();
    this.#toldMs = new Map([...this.#toldMs].filter(([, atMs]) => nowMs - atMs < QUIET_MS));
    if (this.#toldMs.has(line) || this.#toldMs.size >= MAX_LINES) return false;
    this.#toldMs.set(line, nowMs);
    return true;
  }
}
