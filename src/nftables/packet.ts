import { type Address, AF_INET, type Family, familyOf } from "../model/address.ts";
import { addressBytes } from "../model/rows.ts";
import { hostOrder, maskBytes } from "./value.ts";

// `IPPROTO_*`.
export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;

/** A link, as rules name it. */
export interface PacketLink {
  readonly name: string;
  readonly linkIndex: number;
  /** `bridge`, `vxlan`; not known, or none, if absent. */
  readonly kind?: string | undefined;
}

/** A packet, as far as rules may ask about it. */
export interface Packet {
  readonly source: Address;
  readonly destination: Address;
  /** How many bits of the source are known, from the first on; all if absent. */
  readonly sourceBits?: number;
  /** The same of the destination. */
  readonly destinationBits?: number;
  /** The address of which more bits are known for a part of the packets that are played together; none if absent. */
  readonly parts?: "source" | "destination";
  /** What it carries, `IPPROTO_*`; UDP if absent. */
  readonly protocol?: number;
  /** Not known, or none, if absent. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly inputLink?: PacketLink;
  readonly outputLink?: PacketLink;
  /** A rule before has given it a mark, which is not known; it has none if absent. */
  readonly isMarked?: boolean;
  /**
   * Whether it is the first of a connection, or an answer, or a rule has said `notrack` (`unknown` where it may have), or
   * it was not asked yet of which it is (`invalid`).
   */
  readonly state: "new" | "established" | "untracked" | "invalid" | "unknown";
  /** Present where rules meet it as a frame: those of a bridge, and of a link as it comes in or leaves. */
  readonly frame?: PacketFrame;
}

/** What is around a packet while it is a frame. */
export interface PacketFrame {
  /** What `meta nfproto` says: 5 for `netdev`, 7 for `bridge`; absent for that of the packet. */
  readonly nfproto?: number;
  /** Whether it comes in or leaves by a port that is not known. */
  readonly isPortUnknown?: boolean;
  /** Whether the kernel takes it for this host, and not a bridge for another of its ports. */
  readonly isForHost?: boolean;
  /** MAC addresses, six bytes each, where they are known. */
  readonly source?: Uint8Array;
  readonly destination?: Uint8Array;
}

/** `NF_CT_STATE_BIT()` of linux/netfilter/nf_conntrack_common.h. */
const STATE_BITS = { invalid: 1, established: 2, new: 8, untracked: 64 } as const;

/** The state of a packet as a bit; `undefined` where it is not known. */
export function stateBit({ state }: Packet): number | undefined {
  return state === "unknown" ? undefined : STATE_BITS[state];
}

/** The direction of a packet of a connection, `IP_CT_DIR_*`; `undefined` where it is of none, or that is not known. */
export function directionOf({ state }: Packet): number | undefined {
  return state === "new" ? 0 : state === "established" ? 1 : undefined;
}

// `enum nft_meta_keys`, linux/netfilter/nf_tables.h.
const META = {
  protocol: 1,
  mark: 3,
  iif: 4,
  oif: 5,
  iifname: 6,
  oifname: 7,
  nfproto: 15,
  l4proto: 16,
  iifkind: 26,
  oifkind: 27,
} as const;
const PORT_KEYS = [
  META.iif,
  META.oif,
  META.iifname,
  META.oifname,
  META.iifkind,
  META.oifkind,
] as const;
const NAME_BYTES = 16;
const ETHERTYPE: Readonly<Record<Family, number>> = { 2: 0x0800, 10: 0x86dd };

/** What a rule loads from a packet beside its bytes; `undefined` for what is not known. */
export function metaOf(packet: Packet, key: number): Uint8Array | undefined {
  const { inputLink, outputLink, frame } = packet;
  const family = familyOf(packet.source);
  if (frame?.isPortUnknown && (PORT_KEYS as readonly number[]).includes(key)) return undefined;
  switch (key) {
    case META.protocol:
      return Uint8Array.of(ETHERTYPE[family] >> 8, ETHERTYPE[family] & 0xff);
    case META.mark:
      return packet.isMarked ? undefined : hostOrder(0);
    case META.iif:
      return hostOrder(inputLink?.linkIndex ?? 0);
    case META.oif:
      return hostOrder(outputLink?.linkIndex ?? 0);
    case META.iifname:
      return nameBytes(inputLink?.name);
    case META.oifname:
      return nameBytes(outputLink?.name);
    case META.iifkind:
      return inputLink?.kind === undefined ? undefined : nameBytes(inputLink.kind);
    case META.oifkind:
      return outputLink?.kind === undefined ? undefined : nameBytes(outputLink.kind);
    case META.nfproto:
      return Uint8Array.of(frame?.nfproto ?? family);
    case META.l4proto:
      return Uint8Array.of(protocolOf(packet));
    default:
      return undefined;
  }
}

export const META_MARK = META.mark;
export const META_PKTTYPE = 19;
export const META_BROUTE = 35;

function nameBytes(name: string | undefined): Uint8Array {
  const bytes = new Uint8Array(NAME_BYTES);
  bytes.set(new TextEncoder().encode(name ?? "").subarray(0, NAME_BYTES - 1));
  return bytes;
}

/** What a packet carries. */
export function protocolOf({ protocol = UDP }: Packet): number {
  return protocol;
}

/** Bytes of a packet, and which of their bits are known: all if `known` is absent. */
export interface KnownBytes {
  readonly bytes: Uint8Array;
  readonly known?: Uint8Array;
}

/**
 * The network header (RFC 791, RFC 8200), without what differs from packet to packet; `undefined` for bytes of which
 * nothing is known.
 */
export function networkBytes(packet: Packet, offset: number, length: number): KnownBytes | undefined {
  const [source, destination] = [addressBytes(packet.source), addressBytes(packet.destination)];
  const isIpv4 = familyOf(packet.source) === AF_INET;
  const [sourceAt, protocolAt] = isIpv4 ? [12, 9] : [8, 6];
  const size = sourceAt + 2 * source.length;
  if (offset + length > size) return undefined;
  const [header, mask] = [new Uint8Array(size), new Uint8Array(size)];
  const put = (at: number, bytes: Uint8Array, bits: number) => {
    mask.set(maskBytes(bits, bytes.length), at);
    header.set(bytes.map((byte, index) => byte & mask[at + index]!), at);
  };
  put(protocolAt, Uint8Array.of(protocolOf(packet)), 8);
  put(sourceAt, source, packet.sourceBits ?? 8 * source.length);
  put(sourceAt + source.length, destination, packet.destinationBits ?? 8 * source.length);
  const known = mask.subarray(offset, offset + length);
  if (known.every((byte) => byte === 0)) return undefined;
  const bytes = header.subarray(offset, offset + length);
  return known.every((byte) => byte === 0xff) ? { bytes } : { bytes, known };
}

/** Whether more of these bytes of the network header is known for a part of the packets that are played together. */
export function isOfParts(
  { source, sourceBits, destinationBits, parts }: Packet,
  offset: number,
  length: number,
): boolean {
  const known = parts === "source" ? sourceBits : destinationBits;
  if (parts === undefined || known === undefined) return false;
  const isIpv4 = familyOf(source) === AF_INET;
  const size = isIpv4 ? 4 : 16;
  const at = (isIpv4 ? 12 : 8) + (parts === "source" ? 0 : size);
  // From the first byte that is not known as a whole.
  return offset < at + size && offset + length > at + Math.floor(known / 8);
}

/** The ports of the transport header (RFC 768, RFC 9293); `undefined` for what is behind them, or not known. */
export function transportBytes(packet: Packet, offset: number, length: number): KnownBytes | undefined {
  const protocol = protocolOf(packet);
  if (protocol !== UDP && protocol !== TCP) return undefined;
  const { sourcePort, destinationPort } = packet;
  const ports = [sourcePort, destinationPort].flatMap((port) =>
    port === undefined ? [undefined, undefined] : [port >> 8, port & 0xff]
  );
  const bytes = ports.slice(offset, offset + length).flatMap((byte) => byte ?? []);
  return bytes.length === length ? { bytes: Uint8Array.from(bytes) } : undefined;
}

/** The Ethernet header (IEEE 802.3), as far as it is known; `undefined` for the rest, and where there is none. */
export function linkBytes(packet: Packet, offset: number, length: number): KnownBytes | undefined {
  const { frame } = packet;
  if (frame === undefined) return undefined;
  const ethertype = ETHERTYPE[familyOf(packet.source)];
  const parts: readonly (readonly [number, Uint8Array | undefined])[] = [
    [0, frame.destination],
    [6, frame.source],
    [12, Uint8Array.of(ethertype >> 8, ethertype & 0xff)],
  ];
  const [at, bytes] = parts.findLast(([at]) => offset >= at)!;
  return bytes !== undefined && offset + length <= at + bytes.length
    ? { bytes: bytes.subarray(offset - at, offset - at + length) }
    : undefined;
}
