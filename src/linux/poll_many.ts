import { LITTLE_ENDIAN } from "./byte_order.ts";
import type { Libc } from "./libc.ts";

const EFD_CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
/** `sizeof(struct pollfd)`: the descriptor, then events and returned events of 16 bits. */
const POLL_FD_BYTES = 8;

export const POLLIN = 1;
export const POLLOUT = 4;

/** A descriptor, and the events of poll(2) that are waited for. */
export interface PollEntry {
  readonly fd: number;
  readonly events: number;
}

/** Waits in poll(2), off the main thread, for any of many descriptors; another set each time. */
export class PollMany implements Disposable {
  readonly #libc: Libc;
  readonly #wakeFd: number;
  readonly #wakeCount = new Uint8Array(8);
  /** A field: the thread in poll(2) writes to it, so it must outlive the wait. */
  #pollFds = new Uint8Array(0);

  /** @throws {NetlinkError} If no wake-up descriptor can be had. */
  constructor(libc: Libc) {
    this.#libc = libc;
    this.#wakeFd = libc.checked("open wake-up descriptor", libc.call.eventfd(0, EFD_CLOEXEC_NONBLOCK));
  }

  /** Ends the wait that is under way, or the next one. */
  wake(): void {
    this.#libc.call.eventfd_write(this.#wakeFd, 1n);
  }

  /**
   * Waits until there is something to do, at most so long, or until it is woken; only one wait at a time. No descriptor may
   * be closed meanwhile.
   *
   * @param timeoutMs -1 for ever.
   * @returns For each entry, whether something has happened to it; `undefined` if the kernel could not wait.
   */
  async wait(entries: readonly PollEntry[], timeoutMs: number): Promise<readonly boolean[] | undefined> {
    const view = new DataView(new ArrayBuffer((entries.length + 1) * POLL_FD_BYTES));
    for (const [at, { fd, events }] of [...entries, { fd: this.#wakeFd, events: POLLIN }].entries()) {
      view.setInt32(at * POLL_FD_BYTES, fd, LITTLE_ENDIAN);
      view.setInt16(at * POLL_FD_BYTES + 4, events, LITTLE_ENDIAN);
    }
    this.#pollFds = new Uint8Array(view.buffer);
    const count = await this.#libc.call.poll(this.#pollFds, BigInt(entries.length + 1), timeoutMs);
    // Else the wake-up of this wait would end the next one.
    this.#libc.call.read(this.#wakeFd, this.#wakeCount, BigInt(this.#wakeCount.length));
    return count < 0
      ? undefined
      : entries.map((_, at) => view.getInt16(at * POLL_FD_BYTES + 6, LITTLE_ENDIAN) !== 0);
  }

  [Symbol.dispose](): void {
    this.#libc.call.close(this.#wakeFd);
  }
}
