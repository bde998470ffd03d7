import { type Address, AF_INET, familyOf } from "../model/address.ts";
import { LITTLE_ENDIAN } from "./byte_order.ts";
import { EINTR } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { addressOf, encodeSocketAddress, portOf } from "./socket_address.ts";

const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_DONTWAIT = 0x40;
/** recvfrom(2) answers with the datagram's real length, also if it was cut. */
const MSG_TRUNC = 0x20;

const SOL_SOCKET = 1;
const SO_NO_CHECK = 11;
const SO_RCVBUFFORCE = 33;
const SO_MEMINFO = 55;
/** Nine numbers of 32 bits, of which `SK_MEMINFO_DROPS` is the last: linux/sock_diag.h. */
const MEMINFO_BYTES = 36;
const MEMINFO_DROPS_AT = 32;
/** Room for what comes while this process is held up. The kernel doubles it. */
const ROOM_BYTES = 512 * 1024;
const IPPROTO_IP = 0;
const IP_TTL = 2;
const IP_MTU_DISCOVER = 10;
const IPPROTO_UDP = 17;
const UDP_NO_CHECK6_TX = 101;
const UDP_NO_CHECK6_RX = 102;
const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const IPV6_MTU_DISCOVER = 23;
const IPV6_V6ONLY = 26;
const IPV6_DONTFRAG = 62;
/** `IP_PMTUDISC_PROBE`: don't fragment, and don't believe what was heard of smaller MTUs. */
const PMTUDISC_PROBE = 3;
/** `sizeof(struct sockaddr_in6)`, the larger of the two. */
const SOCKET_ADDRESS_BYTES = 28;

/** Where a port is. */
export interface UdpPlace {
  readonly address: Address;
  readonly port: number;
  /** Routers that a datagram may pass, plus one. */
  readonly hopLimit: number;
  /** The link that the address is on, where it is a link-local one of IPv6: then it alone is sent by. */
  readonly linkIndex?: number;
}

/** A datagram as it came. */
export interface UdpArrival {
  readonly source: Address;
  readonly sourcePort: number;
  /** A view of the port's own buffer: it is another datagram's after the next `receive()`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A UDP port of one address that sends to many, whole or not at all: nothing on the way may fragment. */
export class UdpPort implements Disposable {
  readonly #libc: Libc;
  readonly #resources: DisposableStack;
  readonly #family: number;
  readonly #buffer: Uint8Array<ArrayBuffer>;
  readonly #source = new Uint8Array(SOCKET_ADDRESS_BYTES);
  readonly #sourceLength = new Uint8Array(4);
  #isPlain = false;

  private constructor(
    libc: Libc,
    readonly fd: number,
    family: number,
    maxBytes: number,
    stack: DisposableStack,
  ) {
    this.#libc = libc;
    this.#family = family;
    this.#buffer = new Uint8Array(maxBytes);
    this.#resources = stack;
  }

  /**
   * Opens a port in this thread's network namespace.
   *
   * @param maxBytes Longer datagrams are not taken.
   * @throws {NetlinkError} If the address is not this host's (`EADDRNOTAVAIL`), or the port is taken (`EADDRINUSE`).
   */
  static open(libc: Libc, { address, port, hopLimit, linkIndex }: UdpPlace, maxBytes: number): UdpPort {
    using stack = new DisposableStack();
    const { call } = libc;
    const family = familyOf(address);
    const fd = libc.checked("open UDP port", call.socket(family, SOCK_DGRAM_CLOEXEC, 0));
    stack.defer(() => void call.close(fd));
    const options: (readonly [level: number, name: number, value: number])[] = family === AF_INET
      ? [[IPPROTO_IP, IP_TTL, hopLimit], [IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE]]
      : [
        [IPPROTO_IPV6, IPV6_V6ONLY, 1],
        [IPPROTO_IPV6, IPV6_UNICAST_HOPS, hopLimit],
        [IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE],
        [IPPROTO_IPV6, IPV6_DONTFRAG, 1],
        [IPPROTO_UDP, UDP_NO_CHECK6_RX, 1],
      ];
    for (const [level, name, value] of options) set(libc, fd, { level, name, value });
    // More than the kernel gives unasked, for floods; where it may not, what it gives has to do.
    const room = new Uint8Array(new Int32Array([ROOM_BYTES]).buffer);
    call.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, room, room.length);
    const place = encodeSocketAddress(address, port, linkIndex);
    libc.checked("bind UDP port", call.bind(fd, place, place.length));
    return new UdpPort(libc, fd, family, maxBytes, stack.move());
  }

  /**
   * Sends one datagram, without waiting. Returns 0, or the errno with which this host refused: `EMSGSIZE` if the link is
   * too small for it.
   *
   * @param isPlain Whether the UDP checksum is left out.
   */
  send(bytes: Uint8Array<ArrayBuffer>, target: Address, port: number, isPlain = false): number {
    if (isPlain !== this.#isPlain) {
      const [level, name] = this.#family === AF_INET
        ? [SOL_SOCKET, SO_NO_CHECK]
        : [IPPROTO_UDP, UDP_NO_CHECK6_TX];
      set(this.#libc, this.fd, { level, name, value: Number(isPlain) });
      this.#isPlain = isPlain;
    }
    const to = encodeSocketAddress(target, port);
    const { call } = this.#libc;
    const sent = call.sendto(this.fd, bytes, BigInt(bytes.length), MSG_DONTWAIT, to, to.length);
    return sent < 0 ? this.#libc.errno : 0;
  }

  /** How many datagrams the kernel had no room for, or found damaged, since the port was opened. */
  get drops(): number {
    const bytes = new Uint8Array(MEMINFO_BYTES);
    const length = new Uint8Array(new Uint32Array([bytes.length]).buffer);
    if (this.#libc.call.getsockopt(this.fd, SOL_SOCKET, SO_MEMINFO, bytes, length) !== 0) return 0;
    return new DataView(bytes.buffer).getUint32(MEMINFO_DROPS_AT, LITTLE_ENDIAN);
  }

  /** Takes the next datagram, without waiting: `undefined` where there is none; `"other"` for one that is not taken. */
  receive(): UdpArrival | "other" | undefined {
    const { call } = this.#libc;
    const buffer = this.#buffer;
    for (;;) {
      new Uint32Array(this.#sourceLength.buffer)[0] = SOCKET_ADDRESS_BYTES;
      const flags = MSG_DONTWAIT | MSG_TRUNC;
      const length = call.recvfrom(
        this.fd,
        buffer,
        BigInt(buffer.length),
        flags,
        this.#source,
        this.#sourceLength,
      );
      if (length < 0) {
        if (this.#libc.errno === EINTR) continue;
        return undefined;
      }
      const source = addressOf(this.#source);
      if (source === undefined || length > buffer.length) return "other";
      return { source, sourcePort: portOf(this.#source), bytes: buffer.subarray(0, length) };
    }
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}

function set(
  libc: Libc,
  fd: number,
  { level, name, value }: { readonly level: number; readonly name: number; readonly value: number },
): void {
  const bytes = new Uint8Array(new Int32Array([value]).buffer);
  libc.checked("set an option of UDP port", libc.call.setsockopt(fd, level, name, bytes, bytes.length));
}
