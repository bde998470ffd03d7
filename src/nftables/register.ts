import { AF_INET, AF_INET6, bitsOf, type Family, maskAddress, type Prefix } from "../model/address.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import { addressOf, fromHostOrder, prefixLength } from "./value.ts";

// What rules load into a register and compare. Source: linux/netfilter/nf_tables.h.
export const NFTA_DATA_VALUE = 1;
export const NFTA_PAYLOAD_DREG = 1;
export const NFTA_PAYLOAD_BASE = 2;
export const NFTA_PAYLOAD_OFFSET = 3;
export const NFTA_PAYLOAD_LEN = 4;
export const NFTA_META_DREG = 1;
export const NFTA_META_KEY = 2;
export const NFTA_BITWISE_MASK = 4;
export const NFTA_BITWISE_XOR = 5;
export const NFTA_CMP_OP = 2;
export const NFTA_CMP_DATA = 3;
export const NFT_PAYLOAD_NETWORK_HEADER = 1;
export const NFT_META_MARK = 3;
export const NFT_CMP_EQ = 0;
export const NFT_CMP_NEQ = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER = 2;
const NFT_META_IIF = 4;
const NFT_META_IIFNAME = 6;
const NFT_META_NFPROTO = 15;
const NFT_META_L4PROTO = 16;
const NFTA_CT_DREG = 1;
const NFTA_CT_KEY = 2;
const NFT_CT_STATE = 0;

export const VERDICTS = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;
/** Where the addresses are in the header of each family. */
export const OFFSETS: Readonly<Record<Family, { readonly source: number; readonly destination: number }>> = {
  2: { source: 12, destination: 16 },
  10: { source: 8, destination: 24 },
};

/** One thing that a rule asks or does. What Loden never writes is `other`, by the kernel's name for it. */
export type NftExpression =
  | { readonly kind: "source" | "destination"; readonly prefix: Prefix; readonly isNot: boolean }
  | { readonly kind: "mark"; readonly value: number; readonly mask: number }
  /** The family, the protocol above it (17 is UDP), or the port that packets are sent to. */
  | { readonly kind: "family" | "protocol" | "port"; readonly value: number; readonly isNot: boolean }
  /** The index of the link that packets come in by: 1 is the loopback. */
  | { readonly kind: "input index"; readonly value: number; readonly isNot: boolean }
  /** The name of the link that packets come in by, or how it begins. */
  | { readonly kind: "input"; readonly name: string; readonly isPrefix: boolean; readonly isNot: boolean }
  /** The states of a connection that are asked for: 2 established, 4 related, 8 new. */
  | { readonly kind: "state"; readonly mask: number; readonly isNot: boolean }
  /** A comment as iptables keeps it. */
  | { readonly kind: "comment"; readonly text: string }
  | { readonly kind: "verdict"; readonly verdict: keyof typeof VERDICTS; readonly chain?: string }
  | { readonly kind: "masquerade"; readonly isFullyRandom: boolean }
  /** The same as iptables says it, by its own module, which differs by family; read back it is `other`. */
  | { readonly kind: "iptables masquerade"; readonly isFullyRandom: boolean; readonly family: Family }
  | { readonly kind: "counter" }
  | { readonly kind: "other"; readonly name: string };

/** What the register holds while expressions are read one after the other. */
export interface Loaded {
  readonly what:
    | "source"
    | "destination"
    | "mark"
    | "family"
    | "protocol"
    | "port"
    | "input index"
    | "input"
    | "state";
  readonly bytes: number;
  mask: Uint8Array | undefined;
}

/** By the name of the expression: what it loads, if that is understood. */
export const LOADERS: Readonly<
  Record<"payload" | "meta" | "ct", (data: AttributeReader, family: number) => Loaded | undefined>
> = { payload: loadedPayload, meta: loadedMeta, ct: loadedState };

function loadedPayload(data: AttributeReader, family: number): Loaded | undefined {
  if (find(data, NFTA_PAYLOAD_DREG) === undefined) return undefined;
  const base = find(data, NFTA_PAYLOAD_BASE)?.u32be();
  const offset = find(data, NFTA_PAYLOAD_OFFSET)?.u32be();
  const bytes = find(data, NFTA_PAYLOAD_LEN)?.u32be() ?? 0;
  // Ports are in the same place in UDP, TCP and SCTP.
  if (base === NFT_PAYLOAD_TRANSPORT_HEADER) {
    return offset === 2 && bytes === 2 ? { what: "port", bytes, mask: undefined } : undefined;
  }
  if (base !== NFT_PAYLOAD_NETWORK_HEADER || family !== AF_INET && family !== AF_INET6) return undefined;
  const { source, destination } = OFFSETS[family];
  const what = offset === source ? "source" : offset === destination ? "destination" : undefined;
  if (what === undefined || bytes < 1 || bytes > bitsOf(family) / 8) return undefined;
  return { what, bytes, mask: undefined };
}

/** What a key loads, and how many bytes. */
const META: ReadonlyMap<number | undefined, Pick<Loaded, "what" | "bytes">> = new Map([
  [NFT_META_MARK, { what: "mark", bytes: 4 }],
  [NFT_META_IIF, { what: "input index", bytes: 4 }],
  [NFT_META_IIFNAME, { what: "input", bytes: 16 }],
  [NFT_META_NFPROTO, { what: "family", bytes: 1 }],
  [NFT_META_L4PROTO, { what: "protocol", bytes: 1 }],
]);

function loadedMeta(data: AttributeReader): Loaded | undefined {
  if (find(data, NFTA_META_DREG) === undefined) return undefined;
  const loaded = META.get(find(data, NFTA_META_KEY)?.u32be());
  return loaded && { ...loaded, mask: undefined };
}

function loadedState(data: AttributeReader): Loaded | undefined {
  if (find(data, NFTA_CT_DREG) === undefined) return undefined;
  return find(data, NFTA_CT_KEY)?.u32be() === NFT_CT_STATE
    ? { what: "state", bytes: 4, mask: undefined }
    : undefined;
}

/** Whether bits are cleared, and nothing else. */
export function isPlainMask(data: AttributeReader): boolean {
  const xor = valueIn(data, NFTA_BITWISE_XOR);
  return valueIn(data, NFTA_BITWISE_MASK) !== undefined && xor?.every((byte) => byte === 0) === true;
}

/** What a comparison with what was loaded says. */
export function comparison(
  { what, bytes, mask }: Loaded,
  data: AttributeReader,
  family: Family,
): NftExpression {
  const other: NftExpression = { kind: "other", name: `cmp ${what}` };
  const value = valueIn(data, NFTA_CMP_DATA);
  const operation = find(data, NFTA_CMP_OP)?.u32be();
  // A name is compared as far as it is given: with the zero behind it, or as a beginning.
  if (what === "input" && value !== undefined && mask === undefined) {
    return inputOf(value, operation) ?? other;
  }
  if (value?.length !== bytes || (operation !== NFT_CMP_EQ && operation !== NFT_CMP_NEQ)) return other;
  const isNot = operation === NFT_CMP_NEQ;
  if (what === "state") {
    // The bits that are asked for are in the mask, and one of them is enough.
    if (mask === undefined || value.some((byte) => byte !== 0)) return other;
    return { kind: "state", mask: fromHostOrder(mask), isNot: !isNot };
  }
  if (what === "input index") {
    return mask === undefined ? { kind: what, value: fromHostOrder(value), isNot } : other;
  }
  if (what === "family" || what === "protocol" || what === "port") {
    if (mask !== undefined) return other;
    return { kind: what, value: value.reduce((sum, byte) => sum * 256 + byte, 0), isNot };
  }
  if (what === "input") return other;
  if (what === "mark") {
    if (isNot) return other;
    return { kind: "mark", value: fromHostOrder(value), mask: mask ? fromHostOrder(mask) : 0xffff_ffff };
  }
  const length = mask === undefined ? bytes * 8 : prefixLength(mask);
  if (length === undefined || mask !== undefined && mask.length !== bytes) return other;
  return { kind: what, prefix: { address: maskAddress(addressOf(value, family), length), length }, isNot };
}

function inputOf(value: Uint8Array, operation: number | undefined): NftExpression | undefined {
  if (operation !== NFT_CMP_EQ && operation !== NFT_CMP_NEQ) return undefined;
  const end = value.indexOf(0);
  const name = new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
  return { kind: "input", name, isPrefix: end < 0, isNot: operation === NFT_CMP_NEQ };
}

/** The attribute of `type` among those of `range`; `undefined` where there is none. */
export function find(
  { view, rangeStart, rangeEnd }: AttributeReader,
  type: number,
): AttributeReader | undefined {
  const reader = new AttributeReader(view, rangeStart, rangeEnd);
  while (reader.next()) if (reader.type === type) return reader;
  return undefined;
}

/** The bytes of the value in the attribute of `type`. */
export function valueIn(data: AttributeReader, type: number): Uint8Array | undefined {
  const nested = find(data, type)?.nested();
  return nested && find(nested, NFTA_DATA_VALUE)?.bytes();
}
