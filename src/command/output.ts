import { fileReason } from "../file/file_reason.ts";
import { LineQueue } from "../log/line_queue.ts";
import { aborted, pause, within } from "../loop/pause.ts";

/** What is left to be said at the end is given up after so long, if nobody takes it. */
export const LAST_WORDS_MS = 500;

/**
 * The standard output and error of the process: nothing that is said here waits for who reads it, so that a terminal that
 * was stopped, or a pipe that is full, keeps no signal from being heeded.
 */
export class Output {
  /** All of it is to be read: what nobody has read yet is kept. */
  readonly #lines = queueOf(Deno.stdout, Infinity);
  /** Where there is too much of it, some is lost. */
  readonly errors: LineQueue = queueOf(Deno.stderr);

  /**
   * Prints lines on standard output.
   *
   * @throws {Error} If those before can't be written.
   */
  say(text: string): void {
    this.#check();
    this.#lines.push(text);
  }

  /**
   * Waits until all that was said is read, or `signal` aborts.
   *
   * @throws {Error} If it can't be written.
   */
  async said(signal: AbortSignal): Promise<void> {
    await Promise.race([this.#lines.flush(), aborted(signal).then(() => pause(LAST_WORDS_MS))]);
    if (!signal.aborted) this.#check();
  }

  /** Prints what went wrong, and waits a little for it to be read. */
  async end(reason?: string): Promise<void> {
    if (reason !== undefined) this.errors.push(reason);
    await within(this.errors.flush(), LAST_WORDS_MS);
  }

  #check(): void {
    const { fault } = this.#lines;
    if (fault !== undefined) throw new Error(`Cannot write standard output: ${fault}`);
  }
}

function queueOf(stream: Pick<typeof Deno.stdout, "write">, maxBytes?: number): LineQueue {
  return new LineQueue({
    write: (bytes) => stream.write(bytes),
    pause,
    reasonOf: fileReason,
    ...maxBytes !== undefined && { maxBytes },
  });
}
