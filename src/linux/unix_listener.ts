import { LITTLE_ENDIAN } from "./byte_order.ts";
import type { Libc } from "./libc.ts";
import { acceptStream, type Listener, type StreamSocket } from "./stream_socket.ts";

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC_NONBLOCK = 1 | 0o2000000 | 0o4000;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** `sizeof(sun_path)`, without the zero at the end. */
const MAX_PATH_BYTES = 107;
/** Connections that the kernel makes beside those that are taken. */
const BACKLOG = 16;
/** Read and written by its owner alone: who connects needs the right to write. */
const MODE = 0o600;
const ROOT = 0;

/** A socket at a path, for programs of this host that run as root or as this process's user. */
export class UnixListener implements Listener {
  readonly #libc: Libc;

  private constructor(libc: Libc, readonly fd: number) {
    this.#libc = libc;
  }

  /**
   * Listens at a path where nothing is.
   *
   * @throws {NetlinkError} If that can't be had: `EADDRINUSE` if something is there.
   * @throws {RangeError} If the path is longer than a socket's can be.
   */
  static open(libc: Libc, path: string): UnixListener {
    const { call } = libc;
    const address = encodePath(path);
    using stack = new DisposableStack();
    const fd = libc.checked("open a unix socket", call.socket(AF_UNIX, SOCK_STREAM_CLOEXEC_NONBLOCK, 0));
    stack.defer(() => void call.close(fd));
    // Before it has a path: what the file may be used for is never more, whatever the umask.
    libc.checked(`keep others from ${path}`, call.fchmod(fd, MODE));
    libc.checked(`listen at ${path}`, call.bind(fd, address, address.length));
    libc.checked(`listen at ${path}`, call.listen(fd, BACKLOG));
    stack.move();
    return new UnixListener(libc, fd);
  }

  accept(): StreamSocket | undefined {
    for (;;) {
      const stream = acceptStream(this.#libc, this.fd);
      if (stream === undefined || this.#isAllowed(stream.fd)) return stream;
      stream.reset();
    }
  }

  /** Whether who connects may: the folder's rights, and a socket that was handed on, are others' to decide. */
  #isAllowed(fd: number): boolean {
    const { call } = this.#libc;
    // struct ucred: pid, uid, gid.
    const credentials = new DataView(new ArrayBuffer(12));
    const length = new Uint8Array(new Uint32Array([credentials.byteLength]).buffer);
    if (call.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, new Uint8Array(credentials.buffer), length) < 0) {
      return false;
    }
    const uid = credentials.getUint32(4, LITTLE_ENDIAN);
    return uid === ROOT || uid === call.geteuid();
  }

  [Symbol.dispose](): void {
    this.#libc.call.close(this.fd);
  }
}

/**
 * | offset | bytes | C field      | here                         |
 * | -----: | ----: | ------------ | ---------------------------- |
 * |      0 |     2 | `sun_family` | `AF_UNIX`                    |
 * |      2 |     n | `sun_path`   | the path, and a zero         |
 *
 * Source: `struct sockaddr_un`, unix(7).
 */
function encodePath(path: string): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(path);
  if (text.length > MAX_PATH_BYTES) {
    throw new RangeError(`Cannot listen at ${path}: a socket's path has at most ${MAX_PATH_BYTES} bytes`);
  }
  const bytes = new Uint8Array(3 + text.length);
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, LITTLE_ENDIAN);
  bytes.set(text, 2);
  return bytes;
}
