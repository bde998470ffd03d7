/** What waits to be written at most; more is lost, until half of it is written. */
const MAX_BYTES = 512 * 1024;
/** `PIPE_BUF` of pipe(7): so much is written to a pipe whole or not at all, also if the process ends meanwhile. */
const WHOLE_BYTES = 4096;
/** Between attempts where another program has made the descriptor one that does not wait. */
const RETRY_MS = 50;

/** What lines are written with. */
export interface LineQueueDeps {
  /** Writes some of the bytes, off the main thread, and tells how many. */
  readonly write: (bytes: Uint8Array) => Promise<number>;
  readonly pause: (ms: number) => Promise<void>;
  /** Why `write` has failed, in words. */
  readonly reasonOf: (error: unknown) => string;
  readonly maxBytes?: number;
}

/** What became of lines. */
export interface LineLoss {
  /** Why lines are lost now; `undefined` if they are not. */
  readonly fault: string | undefined;
  /** How many were lost since the start. */
  readonly lostLines: number;
}

/**
 * Lines on their way to where they are read. Whoever says something never waits for who reads it: what waits is bounded,
 * order is kept, a line is written whole or not at all, and where some are missing a line says how many.
 */
export class LineQueue implements LineLoss {
  readonly #deps: LineQueueDeps;
  readonly #maxBytes: number;
  /** What is not written yet, the oldest first. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  /** Lines that were lost behind those that wait, and before them. */
  #lostBehind = 0;
  #lostBefore = 0;
  #isFull = false;
  /** Why the last attempt failed. */
  #reason: string | undefined;
  /** Whether a part of a line was written, and then no more. */
  #isCut = false;
  #draining: Promise<void> | undefined;
  lostLines = 0;
  /** The line that stands in the place of lines that were lost. */
  lostLine = (lines: number): string => `${lines} lines lost`;

  constructor(deps: LineQueueDeps) {
    this.#deps = deps;
    this.#maxBytes = deps.maxBytes ?? MAX_BYTES;
  }

  get fault(): string | undefined {
    return this.#reason ?? (this.#isStuck ? "nobody reads it" : undefined);
  }

  /** Whether there was no room for a line, and is little still: else short lines would be told between many that are lost. */
  get #isStuck(): boolean {
    return this.#isFull && this.#waitingBytes > this.#maxBytes / 2;
  }

  /** Has a line written when that can be. */
  push(line: string): void {
    const bytes = encode(line);
    if (this.#isStuck || this.#waitingBytes + bytes.length > this.#maxBytes) {
      this.#isFull = true;
      this.#lostBehind++;
      this.lostLines++;
      return;
    }
    this.#isFull = false;
    this.#tellLost();
    this.#add(bytes);
    this.#draining ??= this.#drain();
  }

  /** Waits until nothing waits any more; whoever can't wait so long goes on without. */
  async flush(): Promise<void> {
    await this.#draining;
  }

  #add(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
  }

  #tellLost(): void {
    if (this.#lostBehind > 0) this.#add(encode(this.lostLine(this.#lostBehind)));
    this.#lostBehind = 0;
  }

  /** Never throws. */
  async #drain(): Promise<void> {
    // What is said in one go is written in one go.
    await undefined;
    while (this.#waiting.length > 0) {
      const lines = this.#next();
      if (await this.#tellLostBefore() && await this.#write(concat(lines))) {
        this.#reason = undefined;
      } else {
        this.#lostBefore += lines.length;
        this.lostLines += lines.length;
      }
      this.#waitingBytes -= lines.reduce((sum, { length }) => sum + length, 0);
      if (this.#waiting.length === 0) this.#tellLost();
    }
    this.#draining = undefined;
  }

  /** Reports whether the lines that come now follow those that were lost, and what says so. */
  async #tellLostBefore(): Promise<boolean> {
    if (this.#lostBefore === 0) return true;
    const line = encode(this.lostLine(this.#lostBefore));
    const isTold = await this.#write(this.#isCut ? concat([encode(""), line]) : line);
    if (isTold) this.#lostBefore = 0;
    return isTold;
  }

  /** Takes whole lines, as many as are written at once. */
  #next(): Uint8Array[] {
    let bytes = 0;
    const end = this.#waiting.findIndex(({ length }) => (bytes += length) > WHOLE_BYTES);
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : Math.max(end, 1));
  }

  /** Reports whether all was written. */
  async #write(bytes: Uint8Array): Promise<boolean> {
    for (let written = 0; written < bytes.length;) {
      try {
        written += await this.#deps.write(bytes.subarray(written));
        this.#isCut = written < bytes.length;
      } catch (error) {
        if (error instanceof Deno.errors.WouldBlock || error instanceof Deno.errors.Interrupted) {
          await this.#deps.pause(RETRY_MS);
          continue;
        }
        this.#reason = this.#deps.reasonOf(error);
        return false;
      }
    }
    return true;
  }
}

function encode(line: string): Uint8Array {
  return new TextEncoder().encode(`${line}\n`);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
