import { EAGAIN, EINTR, NetlinkError } from "../linux/errno.ts";
import type { Libc } from "../linux/libc.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const MSG_DONTWAIT = 0x40;

const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
export const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

/** `sizeof(struct sockaddr_nl)`. */
const SOCKET_ADDRESS_BYTES = 12;

/** What a burst of changes on a large host needs: 5,000 unread notifications fit (measured on Linux 6.18). */
const BUFFER_BYTES = 16 * 1024 * 1024;

/** The families of netlink(7) that are spoken here. */
const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

/** Which netlink a socket speaks, and how much may wait in it. */
export interface SocketOptions {
  /** `NETLINK_ROUTE` where absent. */
  readonly protocol?: number;
  readonly bufferBytes?: number;
}

/** The one seam between this program and the kernel: netlink bytes, in and out. */
export interface NetlinkTransport extends Disposable {
  /** What the kernel calls this socket, and names as the cause of the changes that it asked for. */
  readonly portId: number;
  /**
   * Sends one batch of requests. The kernel has carried them out when this returns.
   *
   * @throws {NetlinkError} If the kernel took none of them.
   */
  send(batch: Uint8Array<ArrayBuffer>): void;
  /**
   * Reads one datagram of replies.
   *
   * @returns Bytes read; 0 when nothing waits.
   * @throws {NetlinkError} If replies were lost (`ENOBUFS`) or the socket broke.
   */
  receive(buffer: Uint8Array<ArrayBuffer>): number;
}

/** A netlink socket: requests go out, their replies come back before `send()` returns. */
export class NetlinkSocket implements NetlinkTransport {
  readonly #libc: Libc;
  readonly #resources: DisposableStack;
  readonly fd: number;
  readonly portId: number;

  private constructor(libc: Libc, fd: number, portId: number, resources: DisposableStack) {
    this.#libc = libc;
    this.fd = fd;
    this.portId = portId;
    this.#resources = resources;
  }

  /**
   * Opens a socket in this thread's network namespace.
   *
   * @throws {NetlinkError} If the kernel has no more sockets to give.
   */
  static open(libc: Libc, options: SocketOptions = {}): NetlinkSocket {
    const { protocol = NETLINK_ROUTE, bufferBytes = BUFFER_BYTES } = options;
    using stack = new DisposableStack();
    const { call } = libc;
    const fd = libc.checked("open netlink socket", call.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol));
    stack.defer(() => void call.close(fd));
    const address = new Uint8Array(SOCKET_ADDRESS_BYTES);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_NETLINK, LITTLE_ENDIAN);
    libc.checked("bind netlink socket", call.bind(fd, address, address.length));
    const length = new Uint8Array(new Uint32Array([SOCKET_ADDRESS_BYTES]).buffer);
    libc.checked("name netlink socket", call.getsockname(fd, address, length));
    const socket = new NetlinkSocket(libc, fd, view.getUint32(4, LITTLE_ENDIAN), stack.move());
    // Each is an improvement that an old kernel or a lack of privilege may refuse; all work without.
    socket.option(SOL_SOCKET, SO_SNDBUFFORCE, bufferBytes);
    socket.option(SOL_SOCKET, SO_RCVBUFFORCE, bufferBytes);
    for (const name of [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK]) {
      socket.option(SOL_NETLINK, name, 1);
    }
    return socket;
  }

  /** Sets an option of socket(7) or netlink(7); `false` where the kernel refused. */
  option(level: number, name: number, value: number): boolean {
    const bytes = new Uint8Array(new Int32Array([value]).buffer);
    return this.#libc.call.setsockopt(this.fd, level, name, bytes, bytes.length) === 0;
  }

  send(batch: Uint8Array<ArrayBuffer>): void {
    this.#libc.checked(
      `send ${batch.length} bytes of netlink requests`,
      this.#libc.call.send(this.fd, batch, BigInt(batch.length), 0),
    );
  }

  receive(buffer: Uint8Array<ArrayBuffer>): number {
    for (;;) {
      const length = this.#libc.call.recv(this.fd, buffer, BigInt(buffer.length), MSG_DONTWAIT);
      if (length >= 0) return length;
      const { errno } = this.#libc;
      if (errno === EAGAIN) return 0;
      if (errno !== EINTR) throw new NetlinkError("receive netlink replies", errno);
    }
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}
