import type { Log } from "../../log/log.ts";
import { pause } from "../../loop/pause.ts";
import { isBusy, RegistryError } from "../registry_error.ts";
import { LocalFile } from "./local_file.ts";

/** What finds the file held by another process is repeated this often, after a pause of up to this long. */
const ATTEMPTS = 60;
const LONGEST_PAUSE_MS = 50;

/** What a shared file needs of the world. */
export interface SharedFileDeps {
  /** 64 random bits. */
  readonly random: () => bigint;
  readonly log: Log;
  /** How often it is tried to open the file while another process holds it; as often as `LocalFile` does if absent. */
  readonly openAttempts?: number | undefined;
}

/** One file among several processes, which may hold it, and delete or replace it. */
export class SharedFile implements Disposable {
  readonly #deps: SharedFileDeps;
  #file: LocalFile;
  /** Files that were deleted while they were open; they are not closed, see `LocalFile.successor()`. */
  readonly #replaced: LocalFile[] = [];
  readonly #closed = new AbortController();
  /** Told of every write of this process, which `PRAGMA data_version` doesn't show. */
  readonly #wakes = new Set<() => void>();

  /** @throws {RegistryError} As `LocalFile` does. */
  constructor(path: string, deps: SharedFileDeps) {
    this.#file = new LocalFile(path, deps.openAttempts);
    this.#deps = deps;
  }

  /** The file that is open now; another one after it was replaced. */
  get current(): LocalFile {
    return this.#file;
  }

  get path(): string {
    return this.#file.path;
  }

  /** Aborts when the file is closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Opens what the path leads to by now, if the file was deleted or replaced: the other processes no longer see it. */
  reopenIfReplaced(): void {
    if (!this.#file.isReplaced()) return;
    const fresh = this.#file.successor();
    this.#replaced.push(this.#file);
    this.#file = fresh;
    this.#deps.log.write("warn", "lease registry replaced", { path: fresh.path });
  }

  /**
   * Runs `body` again while another process holds the file, a limited number of times.
   *
   * @throws {RegistryError} If it is held for too long, or closed.
   */
  async repeated<T>(body: (file: LocalFile) => T, options: { signal: AbortSignal }): Promise<T> {
    for (let attempt = 1;; attempt++) {
      options.signal.throwIfAborted();
      if (this.closed.aborted) throw new RegistryError(`use the lease registry ${this.path}`, "it is closed");
      try {
        return body(this.#file);
      } catch (error) {
        if (!isBusy(error) || attempt === ATTEMPTS) throw error;
      }
      await this.pause(1 + Number(this.#deps.random() % BigInt(LONGEST_PAUSE_MS)), options);
    }
  }

  /** As `repeated()`, on the file that the path leads to by then. */
  async repeatedOnCurrent<T>(body: (file: LocalFile) => T, options: { signal: AbortSignal }): Promise<T> {
    return await this.repeated(() => {
      this.reopenIfReplaced();
      return body(this.#file);
    }, options);
  }

  /** Ends all pauses: something was written, or heard of. */
  wake(): void {
    for (const wake of this.#wakes) wake();
  }

  /** Waits for `ms`, or less if there is something to look at or `signal` aborts. */
  async pause(ms: number, { signal }: { signal: AbortSignal }): Promise<void> {
    const { promise: woken, resolve: wake } = Promise.withResolvers<void>();
    this.#wakes.add(wake);
    await pause(ms, { signal, woken });
    this.#wakes.delete(wake);
  }

  [Symbol.dispose](): void {
    this.#closed.abort();
    this.#file[Symbol.dispose]();
  }
}
