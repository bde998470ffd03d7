import type { Libc } from "./libc.ts";

const EFD_CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
const POLLIN = 1;
/** `sizeof(struct pollfd)`: the descriptor, then events and returned events of 16 bits. */
const POLL_FD_BYTES = 8;

/** Waits in poll(2), off the main thread, for a descriptor to have something to read. */
export class ReadableWait implements AsyncDisposable {
  readonly #libc: Libc;
  readonly #wakeFd: number;
  /** Two `struct pollfd`. A field: the thread in poll(2) writes to it, so it must outlive the wait. */
  readonly #pollFds = new Uint8Array(2 * POLL_FD_BYTES);
  /** What reading the wake-up descriptor needs. */
  readonly #wakeCount = new Uint8Array(8);
  #waiting: Promise<void> = Promise.resolve();

  /**
   * @param fd The descriptor to wait for; it stays its owner's, who closes it after this is disposed.
   * @throws {NetlinkError} If no wake-up descriptor can be had.
   */
  constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.#wakeFd = libc.checked("open wake-up descriptor", libc.call.eventfd(0, EFD_CLOEXEC_NONBLOCK));
    new Int32Array(this.#pollFds.buffer).set([fd, POLLIN, this.#wakeFd, POLLIN]);
  }

  /**
   * Waits until there is something to read.
   *
   * @throws The signal's reason, once `signal` aborts.
   */
  wait(options: { signal: AbortSignal }): Promise<void> {
    const waited = this.#wait(options.signal);
    this.#waiting = waited.catch(() => {});
    return waited;
  }

  async #wait(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const wake = () => void this.#libc.call.eventfd_write(this.#wakeFd, 1n);
    signal.addEventListener("abort", wake, { once: true });
    try {
      await this.#libc.call.poll(this.#pollFds, 2n, -1);
      signal.throwIfAborted();
    } finally {
      signal.removeEventListener("abort", wake);
      // Else the wake-up of this wait would end the next one.
      this.#libc.call.read(this.#wakeFd, this.#wakeCount, BigInt(this.#wakeCount.length));
    }
  }

  /** Ends a wait that is still under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#libc.call.eventfd_write(this.#wakeFd, 1n);
    await this.#waiting;
    this.#libc.call.close(this.#wakeFd);
  }
}
