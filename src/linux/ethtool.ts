import type { Libc } from "./libc.ts";
import { LITTLE_ENDIAN } from "./byte_order.ts";

/** `SIOCETHTOOL` of linux/sockios.h. */
const SIOCETHTOOL = 0x8946n;
const ETHTOOL_GDRVINFO = 0x03;
const ETHTOOL_GTXCSUM = 0x16;
const ETHTOOL_STXCSUM = 0x17;

/** `sizeof(struct ifreq)` on 64-bit platforms: the name, then a union whose pointer is used here. */
const REQUEST_BYTES = 40;
/** `IFNAMSIZ`: a link's name with its zero. */
const NAME_BYTES = 16;
/** `sizeof(struct ethtool_value)`. */
const VALUE_BYTES = 8;
/** `sizeof(struct ethtool_drvinfo)`. */
const DRIVER_INFO_BYTES = 196;
/** `ETHTOOL_BUSINFO_LEN`, the length of each text in it. */
const DRIVER_NAME_BYTES = 32;

/**
 * What ethtool(8) asks of links. By ioctl: generic netlink can do it only since Linux 5.7, and the kernels that need
 * it most are older.
 *
 * Source: `struct ethtool_value`, `struct ethtool_drvinfo`, linux/ethtool.h; `struct ifreq`, netdevice(7).
 */
export class Ethtool {
  readonly #libc: Libc;
  readonly #fd: number;

  /** @param fd A socket of any family; its network namespace is the one that is asked. */
  constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.#fd = fd;
  }

  /**
   * Reports whether the link leaves checksums of packets that it sends to later: to the hardware, or to the last
   * moment. Of a VXLAN link this is its only such feature, `tx-checksum-ip-generic`.
   *
   * @throws {NetlinkError} If there is no such link, or it has no such feature.
   */
  hasTxChecksum(linkName: string): boolean {
    const action = `read the checksum offload of ${linkName}`;
    const value = this.#ask(action, linkName, encodeValue(ETHTOOL_GTXCSUM));
    return new DataView(value.buffer).getUint32(4, LITTLE_ENDIAN) !== 0;
  }

  /**
   * Turns it on or off. Without it the kernel segments in software what the link sends, too.
   *
   * @throws {NetlinkError} If there is no such link, it can't, or this process may not.
   */
  setTxChecksum(linkName: string, isOn: boolean): void {
    const action = `turn the checksum offload of ${linkName} ${isOn ? "on" : "off"}`;
    this.#ask(action, linkName, encodeValue(ETHTOOL_STXCSUM, isOn ? 1 : 0));
  }

  /**
   * The driver's name: `vmxnet3`, `virtio_net`, `veth`.
   *
   * @throws {NetlinkError} If there is no such link, or its driver does not say.
   */
  driver(linkName: string): string {
    return decodeDriver(this.#ask(`read the driver of ${linkName}`, linkName, encodeDriverQuery()));
  }

  /** Has the kernel carry out `command` and write its answer into it. */
  #ask(action: string, linkName: string, command: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const request = encodeRequest(linkName, command);
    this.#libc.checked(action, this.#libc.call.ioctl(this.#fd, SIOCETHTOOL, request));
    // The request holds no more than its address: that it is used here keeps it from being collected before.
    return command;
  }
}

/**
 * | offset | bytes | C field | here                                        |
 * | -----: | ----: | ------- | ------------------------------------------- |
 * |      0 |     4 | `cmd`   | `command`                                   |
 * |      4 |     4 | `data`  | `value`; the kernel writes its answer there |
 */
function encodeValue(command: number, value = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(VALUE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, command, LITTLE_ENDIAN);
  view.setUint32(4, value, LITTLE_ENDIAN);
  return bytes;
}

/**
 * | offset | bytes | C field  | here               |
 * | -----: | ----: | -------- | ------------------ |
 * |      0 |     4 | `cmd`    | `ETHTOOL_GDRVINFO` |
 * |      4 |    32 | `driver` | the driver's name  |
 */
function encodeDriverQuery(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(DRIVER_INFO_BYTES);
  new DataView(bytes.buffer).setUint32(0, ETHTOOL_GDRVINFO, LITTLE_ENDIAN);
  return bytes;
}

function decodeDriver(bytes: Uint8Array): string {
  const name = bytes.subarray(4, 4 + DRIVER_NAME_BYTES);
  const zero = name.indexOf(0);
  return new TextDecoder().decode(zero < 0 ? name : name.subarray(0, zero));
}

/**
 * | offset | bytes | C field    | here                                   |
 * | -----: | ----: | ---------- | -------------------------------------- |
 * |      0 |    16 | `ifr_name` | `linkName`, cut to 15 bytes and a zero |
 * |     16 |     8 | `ifr_data` | the address of `command`               |
 */
function encodeRequest(linkName: string, command: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(REQUEST_BYTES);
  bytes.set(new TextEncoder().encode(linkName).subarray(0, NAME_BYTES - 1));
  const pointer = Deno.UnsafePointer.value(Deno.UnsafePointer.of(command));
  new DataView(bytes.buffer).setBigUint64(NAME_BYTES, BigInt(pointer), LITTLE_ENDIAN);
  return bytes;
}
