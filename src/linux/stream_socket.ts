import { EAGAIN, EINTR, NetlinkError } from "./errno.ts";
import type { Libc } from "./libc.ts";

const SOCK_CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
const SOL_SOCKET = 1;
const SO_LINGER = 13;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const SHUT_WR = 1;
const ECONNABORTED = 103;

/** What others connect to. Nothing here waits: poll(2) says when there is something to do. */
export interface Listener extends Disposable {
  readonly fd: number;
  /**
   * Takes the next connection; `undefined` if there is none.
   *
   * @throws {NetlinkError} If the process or the system can have no more.
   */
  accept(): StreamSocket | undefined;
}

/**
 * Takes the next connection of a socket that listens; `undefined` if there is none.
 *
 * @throws {NetlinkError} If the process or the system can have no more.
 */
export function acceptStream(libc: Libc, listenerFd: number): StreamSocket | undefined {
  for (;;) {
    const fd = libc.call.accept4(listenerFd, null, null, SOCK_CLOEXEC_NONBLOCK);
    if (fd >= 0) return new StreamSocket(libc, fd);
    const { errno } = libc;
    if (errno === EAGAIN) return undefined;
    // One that has gone meanwhile is no fault.
    if (errno !== ECONNABORTED && errno !== EINTR) throw new NetlinkError("accept a connection", errno);
  }
}

/** A connection, by TCP or on this host. Nothing here waits. */
export class StreamSocket implements Disposable {
  readonly #libc: Libc;

  constructor(libc: Libc, readonly fd: number) {
    this.#libc = libc;
  }

  /**
   * Reads what has come: how many bytes, 0 at the end; `undefined` if nothing has.
   *
   * @throws {NetlinkError} If the peer is gone.
   */
  read(buffer: Uint8Array<ArrayBuffer>): number | undefined {
    return this.#orLater("read", this.#libc.call.recv(this.fd, buffer, BigInt(buffer.length), MSG_DONTWAIT));
  }

  /**
   * Writes as much as can be taken now: how many bytes, or `undefined` for none.
   *
   * @throws {NetlinkError} If the peer is gone.
   */
  write(bytes: Uint8Array<ArrayBuffer>): number | undefined {
    const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    return this.#orLater("write", this.#libc.call.send(this.fd, bytes, BigInt(bytes.length), flags));
  }

  /** Says that nothing more is written. */
  endWriting(): void {
    this.#libc.call.shutdown(this.fd, SHUT_WR);
  }

  /** Closes it, and forgets what the peer has not taken: else the kernel would keep that for minutes. */
  reset(): void {
    const isOnForNothing = new Uint8Array(new Int32Array([1, 0]).buffer);
    this.#libc.call.setsockopt(this.fd, SOL_SOCKET, SO_LINGER, isOnForNothing, isOnForNothing.length);
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#libc.call.close(this.fd);
  }

  #orLater(action: string, length: number): number | undefined {
    if (length >= 0) return length;
    const { errno } = this.#libc;
    if (errno === EAGAIN || errno === EINTR) return undefined;
    throw new NetlinkError(action, errno);
  }
}
