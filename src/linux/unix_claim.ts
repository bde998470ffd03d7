import { EADDRINUSE, isErrno } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { LITTLE_ENDIAN } from "./byte_order.ts";

const AF_UNIX = 1;
const SOCK_CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** `sizeof(sun_path)`. */
const MAX_NAME_BYTES = 107;
/** Processes that can ask between two times that `drain()` is called. */
const BACKLOG = 128;

const READ_BYTES = 64 * 1024;
/** A larger list of sockets is not read to its end. */
const MAX_LIST_BYTES = 64 * 1024 * 1024;
/** Who has a name. */
export interface ClaimHolder {
  /** 0 if the process is not of this PID namespace, as the host's is not for a container. */
  readonly pid: number;
  readonly uid: number;
}

/**
 * A name that one process of a network namespace has at a time, even where processes share no folder: an abstract
 * socket address, unix(7). The kernel takes it back however the process ends.
 */
export class UnixClaim implements Disposable {
  readonly #libc: Libc;
  readonly #fd: number;

  private constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.#fd = fd;
  }

  /**
   * Takes a name in this thread's network namespace.
   *
   * @returns `undefined` if a process has it already.
   * @throws {NetlinkError} If there are no such names here.
   */
  static take(libc: Libc, name: string): UnixClaim | undefined {
    const fd = openSocket(libc, name);
    try {
      const address = encodeName(name);
      libc.checked(`take the name ${name}`, libc.call.bind(fd, address, address.length));
      libc.checked(`show who has the name ${name}`, libc.call.listen(fd, BACKLOG));
      return new UnixClaim(libc, fd);
    } catch (error) {
      libc.call.close(fd);
      if (isErrno(error, EADDRINUSE)) return undefined;
      throw error;
    }
  }

  /** Drops the connections that asked for the holder, so that others can ask. */
  drain(): void {
    for (let count = 0; count < BACKLOG; count++) {
      const fd = this.#libc.call.accept4(this.#fd, null, null, SOCK_CLOEXEC_NONBLOCK);
      if (fd < 0) return;
      this.#libc.call.close(fd);
    }
  }

  /** Gives the name back. */
  [Symbol.dispose](): void {
    this.#libc.call.close(this.#fd);
  }
}

/** Who has a name; `undefined` if nobody has it, or it can't be told. */
export function holderOf(libc: Libc, name: string): ClaimHolder | undefined {
  const fd = openSocket(libc, name);
  try {
    const address = encodeName(name);
    if (libc.call.connect(fd, address, address.length) < 0) return undefined;
    // struct ucred: pid, uid, gid.
    const credentials = new DataView(new ArrayBuffer(12));
    const length = new Uint32Array([credentials.byteLength]);
    const bytes = new Uint8Array(credentials.buffer);
    const result = libc.call.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, bytes, new Uint8Array(length.buffer));
    if (result < 0) return undefined;
    return { pid: credentials.getInt32(0, LITTLE_ENDIAN), uid: credentials.getUint32(4, LITTLE_ENDIAN) };
  } finally {
    libc.call.close(fd);
  }
}

function openSocket(libc: Libc, name: string): number {
  const { call } = libc;
  return libc.checked(
    `open a socket for ${name}`,
    call.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC_NONBLOCK, 0),
  );
}

/**
 * | offset | bytes | C field      | here                                     |
 * | -----: | ----: | ------------ | ---------------------------------------- |
 * |      0 |     2 | `sun_family` | `AF_UNIX`                                |
 * |      2 |     1 | `sun_path`   | 0: the name is abstract                  |
 * |      3 |     n | `sun_path`   | the name; the length says where it ends  |
 *
 * Source: `struct sockaddr_un`, unix(7).
 */
function encodeName(name: string): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(name);
  if (text.length > MAX_NAME_BYTES) throw new RangeError(`Cannot take the name ${name}: it is too long`);
  const bytes = new Uint8Array(3 + text.length);
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, LITTLE_ENDIAN);
  bytes.set(text, 3);
  return bytes;
}

/** Reads a file of proc(5) to its end. */
export function readWhole(libc: Libc, path: string): string {
  const decoder = new TextDecoder();
  const fd = libc.open(path);
  try {
    const buffer = new Uint8Array(READ_BYTES);
    let text = "";
    while (text.length < MAX_LIST_BYTES) {
      const length = libc.checked(`read ${path}`, libc.call.read(fd, buffer, BigInt(buffer.length)));
      if (length === 0) break;
      text += decoder.decode(buffer.subarray(0, length), { stream: true });
    }
    return text + decoder.decode();
  } finally {
    libc.call.close(fd);
  }
}
