import type { Netns } from "../../src/lab/netns.ts";
import { type Address, AF_INET, type Family, familyOf } from "../../src/model/address.ts";
import { writeAddress } from "../../src/model/rows.ts";
import { EAGAIN, NetlinkError } from "../../src/linux/errno.ts";
import type { Libc } from "../../src/linux/libc.ts";

const AF_PACKET = 17;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
/** `IP_MTU_DISCOVER` and `IPV6_MTU_DISCOVER` of ip(7) and ipv6(7), with their levels. */
const MTU_DISCOVER: Readonly<Record<Family, readonly [level: number, name: number]>> = {
  2: [0, 10],
  10: [41, 23],
};
/** `IP_PMTUDISC_DO`: always with DF, never fragmented. */
const PMTUDISC_DO = 2;
/** Every protocol, in network order (`ETH_P_ALL`). */
const ETH_P_ALL_BE = 0x0300;
const RECEIVE_BYTES = 64 * 1024;

export const EMSGSIZE = 90;
export const ECONNREFUSED = 111;

/** A socket in a network namespace, used from outside of it. It never blocks the thread. */
export class NetnsSocket implements Disposable {
  readonly #libc: Libc;
  readonly #fd: number;
  /** Made when it is first needed: a test may have ten thousand of these. */
  #buffer: Uint8Array<ArrayBuffer> | undefined;

  private constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.#fd = fd;
  }

  static #open(libc: Libc, netns: Pick<Netns, "path">, domain: number, type: number): NetnsSocket {
    const fd = libc.inNetns(netns.path, () => {
      return libc.checked("open socket", libc.call.socket(domain, type | SOCK_CLOEXEC, 0));
    });
    return new NetnsSocket(libc, fd);
  }

  /** A UDP socket whose datagrams carry DF and are never fragmented. */
  static udp(libc: Libc, netns: Pick<Netns, "path">, family: Family): NetnsSocket {
    const socket = NetnsSocket.#open(libc, netns, family, SOCK_DGRAM);
    socket.#option(...MTU_DISCOVER[family], PMTUDISC_DO);
    return socket;
  }

  static tcp(libc: Libc, netns: Pick<Netns, "path">, family: Family): NetnsSocket {
    return NetnsSocket.#open(libc, netns, family, SOCK_STREAM);
  }

  /** Does not wait for a peer that has no room for it. */
  static impatientTcp(libc: Libc, netns: Pick<Netns, "path">, family: Family): NetnsSocket {
    return NetnsSocket.#open(libc, netns, family, SOCK_STREAM | SOCK_NONBLOCK);
  }

  /** A packet socket that hears all that one link sends and receives, whole Ethernet frames. */
  static packets(libc: Libc, netns: Pick<Netns, "path">, linkIndex: number): NetnsSocket {
    const socket = NetnsSocket.#open(libc, netns, AF_PACKET, SOCK_RAW);
    socket.#option(SOL_SOCKET, SO_RCVBUFFORCE, 16 * 1024 * 1024);
    // `struct sockaddr_ll` of packet(7).
    const address = new Uint8Array(20);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, ETH_P_ALL_BE, true);
    view.setInt32(4, linkIndex, true);
    libc.checked("bind packet socket", libc.call.bind(socket.#fd, address, address.length));
    return socket;
  }

  #option(level: number, name: number, value: number): void {
    const bytes = new Uint8Array(new Int32Array([value]).buffer);
    this.#libc.checked(
      `set socket option ${level} ${name}`,
      this.#libc.call.setsockopt(this.#fd, level, name, bytes, bytes.length),
    );
  }

  /** @throws {NetlinkError} If the kernel refused. */
  bind(address: Address, port: number): void {
    const bytes = socketAddress(address, port);
    this.#libc.checked("bind socket", this.#libc.call.bind(this.#fd, bytes, bytes.length));
  }

  /** Waits in the kernel for a TCP peer: only to be used where one answers at once, as on the loopback link. */
  connect(address: Address, port: number): void {
    const bytes = socketAddress(address, port);
    this.#libc.checked("connect socket", this.#libc.call.connect(this.#fd, bytes, bytes.length));
  }

  /** @throws {NetlinkError} If the kernel refused: `EMSGSIZE` where the bytes do not fit one packet. */
  send(bytes: Uint8Array<ArrayBuffer>): void {
    const sent = this.#libc.call.send(this.#fd, bytes, BigInt(bytes.length), MSG_NOSIGNAL | MSG_DONTWAIT);
    this.#libc.checked(`send ${bytes.length} bytes`, sent);
  }

  /** What waits: a packet, or bytes of a stream, none at its end; `undefined` if nothing waits. */
  receive(): Uint8Array<ArrayBuffer> | undefined {
    const { call } = this.#libc;
    const buffer = this.#buffer ??= new Uint8Array(RECEIVE_BYTES);
    const length = call.recv(this.#fd, buffer, BigInt(buffer.length), MSG_DONTWAIT);
    if (length >= 0) return buffer.slice(0, length);
    const { errno } = this.#libc;
    if (errno === EAGAIN) return undefined;
    throw new NetlinkError("receive", errno);
  }

  [Symbol.dispose](): void {
    this.#libc.call.close(this.#fd);
  }
}

/** `struct sockaddr_in` of ip(7) or `struct sockaddr_in6` of ipv6(7). */
function socketAddress(address: Address, port: number): Uint8Array<ArrayBuffer> {
  const family = familyOf(address);
  const bytes = new Uint8Array(family === AF_INET ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, family, true);
  view.setUint16(2, port);
  const words = new Uint32Array(4);
  writeAddress(words, 0, address);
  if (family === AF_INET) view.setUint32(4, words[0]!);
  else for (const [index, word] of words.entries()) view.setUint32(8 + 4 * index, word);
  return bytes;
}
