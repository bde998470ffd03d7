import { type Address, AF_INET, familyOf } from "../model/address.ts";
import { EINTR } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { encodeSocketAddress } from "./socket_address.ts";

const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_DONTWAIT = 0x40;
const SOL_SOCKET = 1;
const SO_BINDTODEVICE = 25;
const IPPROTO_IP = 0;
const IP_TTL = 2;
const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const IP_MTU_DISCOVER = 10;
const IPV6_MTU_DISCOVER = 23;
/** `IP_PMTUDISC_PROBE`: don't fragment, whatever is known of the path. */
const PMTUDISC_PROBE = 3;

/** From where a datagram goes where. */
export interface UdpPath {
  readonly source: Address;
  readonly target: Address;
  readonly port: number;
  /** Routers that it may pass, plus one. */
  readonly hopLimit: number;
  /** The link that datagrams leave and answers come by, even against the routes; any if absent. */
  readonly linkName?: string;
  /** The link that `source` is on, where it is a link-local address of IPv6. */
  readonly linkIndex?: number;
  /** Whether datagrams are never sent in pieces. */
  readonly isWhole?: true;
}

/** A UDP socket with one peer: what hosts on the way say about its datagrams comes back as errors of `receive()`. */
export class UdpSocket implements Disposable {
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
   * @throws {NetlinkError} If `source` is no address of this host, there is no route to `target`, or no such link.
   */
  static open(
    libc: Libc,
    { source, target, port, hopLimit, linkName, linkIndex, isWhole }: UdpPath,
  ): UdpSocket {
    using stack = new DisposableStack();
    const { call } = libc;
    const family = familyOf(target);
    const fd = libc.checked("open UDP socket", call.socket(family, SOCK_DGRAM_CLOEXEC, 0));
    stack.defer(() => void call.close(fd));
    const [level, name] = family === AF_INET ? [IPPROTO_IP, IP_TTL] : [IPPROTO_IPV6, IPV6_UNICAST_HOPS];
    const value = new Uint8Array(new Int32Array([hopLimit]).buffer);
    libc.checked("limit the hops of UDP socket", call.setsockopt(fd, level, name, value, value.length));
    if (isWhole) {
      const [level, name] = family === AF_INET
        ? [IPPROTO_IP, IP_MTU_DISCOVER]
        : [IPPROTO_IPV6, IPV6_MTU_DISCOVER];
      const value = new Uint8Array(new Int32Array([PMTUDISC_PROBE]).buffer);
      libc.checked("keep datagrams whole", call.setsockopt(fd, level, name, value, value.length));
    }
    if (linkName !== undefined) {
      const device = new TextEncoder().encode(linkName);
      const result = call.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, device.length);
      libc.checked(`bind UDP socket to ${linkName}`, result);
    }
    const from = encodeSocketAddress(source, 0, linkIndex);
    libc.checked("bind UDP socket", call.bind(fd, from, from.length));
    const to = encodeSocketAddress(target, port);
    libc.checked("connect UDP socket", call.connect(fd, to, to.length));
    return new UdpSocket(libc, fd, stack.move());
  }

  /** Sends one datagram. Returns 0, or the errno with which this host refused. */
  send(bytes: Uint8Array<ArrayBuffer>): number {
    const length = this.#libc.call.send(this.#fd, bytes, BigInt(bytes.length), MSG_DONTWAIT);
    return length < 0 ? this.#libc.errno : 0;
  }

  /** Takes the next answer, without waiting: 0 for a datagram, else the errno; `EAGAIN` where there is none. */
  receive(): number {
    const buffer = new Uint8Array(1);
    for (;;) {
      if (this.#libc.call.recv(this.#fd, buffer, BigInt(buffer.length), MSG_DONTWAIT) >= 0) return 0;
      if (this.#libc.errno !== EINTR) return this.#libc.errno;
    }
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}
