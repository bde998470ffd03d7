import { OddFileError, readText, refuseOdd } from "../file/read_text.ts";
import type { Libc } from "../linux/libc.ts";
import { readAside } from "../linux/read_aside.ts";
import { within } from "../loop/pause.ts";

/** A file system that takes longer hangs, as NFS whose server is gone. */
const ANSWER_MS = 5000;

/**
 * Reads files that may be anywhere, and so on a file system that hangs: whoever looks at a path there waits, maybe for ever.
 * That is another thread, and one for each file, however often it is asked for.
 */
export class PatientFiles {
  readonly #libc: Libc;
  readonly #answerMs: number;
  readonly #reading = new Map<string, Promise<string>>();

  constructor(libc: Libc, answerMs = ANSWER_MS) {
    this.#libc = libc;
    this.#answerMs = answerMs;
  }

  /**
   * Reads a text file of at most so many bytes.
   *
   * @throws {OddFileError} If it is no regular file or too large: what it is, and what to do.
   * @throws What the file system says, or that it says nothing.
   */
  async read(path: string, maxBytes: number): Promise<string> {
    let reading = this.#reading.get(path);
    if (reading === undefined) {
      reading = this.#read(path, maxBytes).finally(() => this.#reading.delete(path));
      // Nobody may wait any more when it fails.
      reading.catch(() => {});
      this.#reading.set(path, reading);
    }
    const text = await within(reading, this.#answerMs);
    if (text === undefined) {
      const seconds = this.#answerMs / 1000;
      throw new OddFileError(
        `it was not read within ${seconds} s`,
        "see whether the file system that it is on hangs",
      );
    }
    return text;
  }

  async #read(path: string, maxBytes: number): Promise<string> {
    // Deno opens a file, but does not look at one, with this thread.
    const stat = await Deno.stat(path);
    refuseOdd(stat, maxBytes);
    const bytes = await readAside(this.#libc, path, maxBytes);
    // Why, it says there; the file system is there.
    if (bytes === undefined || bytes.length > maxBytes) return readText(path, maxBytes, stat);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  }
}
