import type { Libc } from "./libc.ts";
import { LITTLE_ENDIAN } from "./byte_order.ts";

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const MSG_DONTWAIT = 0x40;

/** Sends whole Ethernet frames over one link. It hears nothing: its protocol is none. */
export class PacketSocket implements Disposable {
  readonly #libc: Libc;
  readonly #resources: DisposableStack;
  readonly #fd: number;

  private constructor(libc: Libc, fd: number, resources: DisposableStack) {
    this.#libc = libc;
    this.#fd = fd;
    this.#resources = resources;
  }

  /**
   * Opens a socket in this thread's network namespace.
   *
   * @throws {NetlinkError} If there is no such link, or this process may not (`CAP_NET_RAW`).
   */
  static open(libc: Libc, linkIndex: number): PacketSocket {
    using stack = new DisposableStack();
    const { call } = libc;
    const fd = libc.checked("open packet socket", call.socket(AF_PACKET, SOCK_RAW_CLOEXEC, 0));
    stack.defer(() => void call.close(fd));
    const to = encodeLinkAddress(linkIndex);
    libc.checked("bind packet socket", call.bind(fd, to, to.length));
    return new PacketSocket(libc, fd, stack.move());
  }

  /** @throws {NetlinkError} If the link is down or gone, or its queue is full. */
  send(frame: Uint8Array<ArrayBuffer>): void {
    const sent = this.#libc.call.send(this.#fd, frame, BigInt(frame.length), MSG_DONTWAIT);
    this.#libc.checked("send a frame", Number(sent));
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}

/**
 * | offset | bytes | C field        | here              |
 * | -----: | ----: | -------------- | ----------------- |
 * |      0 |     2 | `sll_family`   | `AF_PACKET`       |
 * |      2 |     2 | `sll_protocol` | 0: nothing is heard |
 * |      4 |     4 | `sll_ifindex`  | `linkIndex`       |
 * |      8 |    12 | the rest       | 0, unused         |
 *
 * Source: `struct sockaddr_ll`, packet(7).
 */
function encodeLinkAddress(linkIndex: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, LITTLE_ENDIAN);
  view.setInt32(4, linkIndex, LITTLE_ENDIAN);
  return bytes;
}
