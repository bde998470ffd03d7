import { type Address, AF_INET, type Family, familyOf } from "../model/address.ts";
import { addressBytes } from "../model/rows.ts";
import { hostOrder } from "./value.ts";

/** `IPPROTO_UDP` and `IPPROTO_ICMP`. */
export const UDP = 17;

/** A link, as rules name it. */
export interface PacketLink {
  readonly name: string;
  readonly linkIndex: number;
}

/** A UDP packet, as far as rules may ask about it. */
export interface Packet {
  readonly source: Address;
  readonly destination: Address;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly inputLink?: PacketLink;
  readonly outputLink?: PacketLink;
  /** A rule before has given it a mark, which is not known; it has none if absent. */
  readonly isMarked?: boolean;
  /** Whether it is the first of a connection, or an answer, or a rule has said `notrack`. */
  readonly state: "new" | "established" | "untracked";
}

/** `NF_CT_STATE_BIT()` of linux/netfilter/nf_conntrack_common.h. */
export const STATE_BITS = { established: 2, new: 8, untracked: 64 } as const;

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
} as const;
const NAME_BYTES = 16;
const ETHERTYPE: Readonly<Record<Family, number>> = { 2: 0x0800, 10: 0x86dd };

/** What a rule loads from a packet beside its bytes; `undefined` for what is not known. */
export function metaOf(packet: Packet, key: number): Uint8Array | undefined {
  const { inputLink, outputLink } = packet;
  const family = familyOf(packet.source);
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
      return nameBytes(inputLink);
    case META.oifname:
      return nameBytes(outputLink);
    case META.nfproto:
      return Uint8Array.of(family);
    case META.l4proto:
      return Uint8Array.of(UDP);
    default:
      return undefined;
  }
}

export const META_MARK = META.mark;

function nameBytes(link: PacketLink | undefined): Uint8Array {
  const bytes = new Uint8Array(NAME_BYTES);
  bytes.set(new TextEncoder().encode(link?.name ?? "").subarray(0, NAME_BYTES - 1));
  return bytes;
}

/**
 * The network header (RFC 791, RFC 8200), without what differs from packet to packet; `undefined` for bytes that do.
 */
export function networkBytes(packet: Packet, offset: number, length: number): Uint8Array | undefined {
  const [source, destination] = [addressBytes(packet.source), addressBytes(packet.destination)];
  const isIpv4 = familyOf(packet.source) === AF_INET;
  const [sourceAt, protocolAt] = isIpv4 ? [12, 9] : [8, 6];
  const parts: readonly (readonly [number, Uint8Array])[] = [
    [protocolAt, Uint8Array.of(UDP)],
    [sourceAt, source],
    [sourceAt + source.length, destination],
  ];
  for (const [at, bytes] of parts) {
    if (offset >= at && offset + length <= at + bytes.length) {
      return bytes.subarray(offset - at, offset - at + length);
    }
  }
  return undefined;
}

/** The ports of the transport header (RFC 768); `undefined` for what is behind them. */
export function transportBytes(packet: Packet, offset: number, length: number): Uint8Array | undefined {
  const { sourcePort, destinationPort } = packet;
  const bytes = Uint8Array.of(
    sourcePort >> 8,
    sourcePort & 0xff,
    destinationPort >> 8,
    destinationPort & 0xff,
  );
  return offset + length <= bytes.length ? bytes.subarray(offset, offset + length) : undefined;
}
