import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import { linkIndexOf } from "../../src/lab/wiring.ts";
import { type Address, AF_INET, AF_INET6, type Family, type Mac } from "../../src/model/address.ts";
import { readAddress } from "../../src/model/rows.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { NetnsSocket } from "./overlay_sockets.ts";

const UDP = 17;
const FAMILY_OF_ETHERTYPE: Readonly<Record<number, Family>> = { 0x0800: AF_INET, 0x86dd: AF_INET6 };
const ETHERNET_BYTES = 14;
const UDP_BYTES = 8;
const VXLAN_BYTES = 8;

/** The head of an Ethernet frame that carries IP. */
export interface IpFrame {
  readonly destinationMac: Mac;
  readonly sourceMac: Mac;
  readonly family: Family;
  readonly source: Address;
  readonly destination: Address;
  /** The whole IP packet, headers included. */
  readonly packetBytes: number;
  /** Whether it is one of several pieces. */
  readonly isFragment: boolean;
  /** IPv4: whether routers must not cut it; IPv6 routers never do. */
  readonly dontFragment: boolean;
  /** Protocol of the payload: 17 is UDP. */
  readonly protocol: number;
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** A UDP datagram. */
export interface Datagram {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** A VXLAN packet as it is on the underlay (RFC 7348 section 5). */
export interface VxlanPacket {
  readonly outer: IpFrame;
  readonly udp: Datagram;
  /** The first byte: `0x08` where the VNI is valid. */
  readonly flags: number;
  readonly vni: number;
  readonly inner: IpFrame;
}

/** Decodes an Ethernet frame that carries IPv4 or IPv6; `undefined` for any other. */
export function decodeIpFrame(bytes: Uint8Array<ArrayBuffer>): IpFrame | undefined {
  if (bytes.length < ETHERNET_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const family = FAMILY_OF_ETHERTYPE[view.getUint16(12)];
  if (family === undefined) return undefined;
  const macs = { destinationMac: macAt(view, 0), sourceMac: macAt(view, 6), family };
  const at = ETHERNET_BYTES;
  if (family === AF_INET) {
    const headerBytes = (view.getUint8(at) & 15) * 4;
    const packetBytes = view.getUint16(at + 2);
    const fragment = view.getUint16(at + 6);
    return {
      ...macs,
      source: addressAt(view, at + 12, family),
      destination: addressAt(view, at + 16, family),
      packetBytes,
      // More fragments, or an offset.
      isFragment: (fragment & 0x3fff) !== 0,
      dontFragment: (fragment & 0x4000) !== 0,
      protocol: view.getUint8(at + 9),
      payload: bytes.slice(at + headerBytes, at + packetBytes),
    };
  }
  const packetBytes = 40 + view.getUint16(at + 4);
  const protocol = view.getUint8(at + 6);
  return {
    ...macs,
    source: addressAt(view, at + 8, family),
    destination: addressAt(view, at + 24, family),
    packetBytes,
    // The fragment header of RFC 8200 section 4.5.
    isFragment: protocol === 44,
    dontFragment: true,
    protocol,
    payload: bytes.slice(at + 40, at + packetBytes),
  };
}

/** Decodes a UDP header and what is behind it. */
export function decodeDatagram(bytes: Uint8Array<ArrayBuffer>): Datagram {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    sourcePort: view.getUint16(0),
    destinationPort: view.getUint16(2),
    payload: bytes.slice(UDP_BYTES, view.getUint16(4)),
  };
}

/** Decodes a frame as VXLAN to `port`; `undefined` if it is none, or carries no IP. */
export function decodeVxlan(bytes: Uint8Array<ArrayBuffer>, port: number): VxlanPacket | undefined {
  const outer = decodeIpFrame(bytes);
  if (outer === undefined || outer.protocol !== UDP) return undefined;
  const udp = decodeDatagram(outer.payload);
  if (udp.destinationPort !== port || udp.payload.length < VXLAN_BYTES) return undefined;
  const inner = decodeIpFrame(udp.payload.slice(VXLAN_BYTES));
  if (inner === undefined) return undefined;
  const view = new DataView(udp.payload.buffer);
  return { outer, udp, flags: view.getUint8(0), vni: view.getUint32(4) >>> 8, inner };
}

function macAt(view: DataView, at: number): Mac {
  return view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2) as Mac;
}

function addressAt(view: DataView, at: number, family: Family): Address {
  const words = new Uint32Array(4);
  const count = family === AF_INET ? 1 : 4;
  for (let index = 0; index < count; index++) words[index] = view.getUint32(at + 4 * index);
  return readAddress(words, 0, family);
}

/** What the underlay link of a host sends and receives from now on. */
export class Capture implements Disposable {
  readonly #socket: NetnsSocket;
  readonly frames: Uint8Array<ArrayBuffer>[] = [];

  constructor(libc: Libc, host: LabHost) {
    this.#socket = NetnsSocket.packets(libc, host.netns, linkIndexOf(host.client, UPLINK));
  }

  /** Takes what has come since. */
  read(): readonly Uint8Array<ArrayBuffer>[] {
    for (let frame = this.#socket.receive(); frame !== undefined; frame = this.#socket.receive()) {
      this.frames.push(frame);
    }
    return this.frames;
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
