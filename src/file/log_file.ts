/** How often it is looked whether the file is still there. */
const LOOK_MS = 1000;
/** Of a new one: it names hosts and addresses. Who ships logs is in its group, if not root. */
const MODE = 0o640;

/**
 * A file that lines are added to. One that was removed, or renamed by who rotates logs, is made anew. No call waits on the
 * main thread, whatever is at the path: a FIFO is opened also if nobody reads it.
 */
export class LogFile implements Disposable {
  readonly #path: string;
  readonly #elapsedMs: () => number;
  #file: Deno.FsFile;
  #lookedMs: number;

  private constructor(path: string, file: Deno.FsFile, elapsedMs: () => number) {
    this.#path = path;
    this.#file = file;
    this.#elapsedMs = elapsedMs;
    this.#lookedMs = elapsedMs();
  }

  /**
   * @param elapsedMs A clock that nobody sets.
   * @throws What the file system says.
   */
  static async open(path: string, elapsedMs = () => performance.now()): Promise<LogFile> {
    return new LogFile(path, await open(path), elapsedMs);
  }

  isTerminal(): boolean {
    return this.#file.isTerminal();
  }

  /**
   * Adds some of the bytes, and tells how many.
   *
   * @throws What the file system says.
   */
  async write(bytes: Uint8Array): Promise<number> {
    if (this.#elapsedMs() - this.#lookedMs >= LOOK_MS) await this.#follow();
    return await this.#file.write(bytes);
  }

  /** Opens the file that is at the path now; where that can't be, the old one is written on. */
  async #follow(): Promise<void> {
    this.#lookedMs = this.#elapsedMs();
    try {
      if (await this.#isThere()) return;
      const file = await open(this.#path);
      this.#file.close();
      this.#file = file;
    } catch {
      // Its folder may be gone, or may not be read.
    }
  }

  async #isThere(): Promise<boolean> {
    try {
      const [there, own] = [await Deno.stat(this.#path), await this.#file.stat()];
      return there.ino === own.ino && there.dev === own.dev;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

async function open(path: string): Promise<Deno.FsFile> {
  // For both, a FIFO is opened at once.
  const isFifo = await Deno.stat(path).then(({ isFifo }) => isFifo === true, () => false);
  return await Deno.open(path, { append: true, create: true, read: isFifo, mode: MODE });
}
