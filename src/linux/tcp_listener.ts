import { type Address, familyOf } from "../model/address.ts";
import type { Libc } from "./libc.ts";
import { encodeSocketAddress, portOf } from "./socket_address.ts";
import { acceptStream, type Listener, StreamSocket } from "./stream_socket.ts";

const SOCK_STREAM = 1;
const SOCK_CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_SNDBUF = 7;
/** What the kernel holds, twice this, of what a peer has not taken: it counts as this process's memory, and would be megabytes. */
const SEND_BUFFER_BYTES = 32 * 1024;
/** Connections that the kernel makes beside those that are taken. */
const BACKLOG = 511;
/** `sizeof(struct sockaddr_in6)`. */
const MAX_ADDRESS_BYTES = 28;

/** A TCP socket that others connect to. Nothing here waits: poll(2) says when there is something to do. */
export class TcpListener implements Listener {
  readonly #libc: Libc;

  private constructor(libc: Libc, readonly fd: number, readonly port: number) {
    this.#libc = libc;
  }

  /**
   * Listens at an address of this thread's network namespace; at port 0, at one that is free.
   *
   * @throws {NetlinkError} If that can't be had.
   */
  static open(libc: Libc, address: Address, port: number): TcpListener {
    using stack = new DisposableStack();
    const { call } = libc;
    const type = SOCK_STREAM | SOCK_CLOEXEC_NONBLOCK;
    const fd = libc.checked("open TCP socket", call.socket(familyOf(address), type, 0));
    stack.defer(() => void call.close(fd));
    const option = (name: number, value: number) => {
      const bytes = new Uint8Array(new Int32Array([value]).buffer);
      return call.setsockopt(fd, SOL_SOCKET, name, bytes, bytes.length);
    };
    libc.checked("let TCP socket have an address that was just used", option(SO_REUSEADDR, 1));
    // Those that are accepted have it too.
    libc.checked("bound what TCP sockets hold", option(SO_SNDBUF, SEND_BUFFER_BYTES));
    const at = encodeSocketAddress(address, port);
    libc.checked("bind TCP socket", call.bind(fd, at, at.length));
    libc.checked("listen at TCP socket", call.listen(fd, BACKLOG));
    const own = new Uint8Array(MAX_ADDRESS_BYTES);
    const length = new Uint8Array(new Int32Array([own.length]).buffer);
    libc.checked("see where TCP socket listens", call.getsockname(fd, own, length));
    stack.move();
    return new TcpListener(libc, fd, portOf(own));
  }

  /**
   * Takes the next connection; `undefined` if there is none.
   *
   * @throws {NetlinkError} If the process or the system can have no more.
   */
  accept(): StreamSocket | undefined {
    return acceptStream(this.#libc, this.fd);
  }

  [Symbol.dispose](): void {
    this.#libc.call.close(this.fd);
  }
}
