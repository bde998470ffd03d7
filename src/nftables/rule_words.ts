import { AF_INET, type Family, familyOf, formatPrefix, maskAddress } from "../model/address.ts";
import { ICMP, ICMPV6, META_MARK, type Packet, TCP, UDP } from "./packet.ts";
import { addressOf, fromHostOrder, prefixLength } from "./value.ts";

// What rules ask for, in words near to those of nft(8).

/** What a rule does with packets that it is for. */
export interface RuleAction {
  readonly kind:
    | "drop"
    | "reject"
    | "accept"
    | "return"
    | "jump"
    | "goto"
    | "continue"
    | "masquerade"
    | "snat"
    | "dnat"
    | "unknown";
  /** Where a jump leads. */
  readonly chain?: string;
  /** What it translates to, where that is one address. */
  readonly address?: Uint8Array;
  /** What nft(8) calls it, where that is another word than its kind. */
  readonly name?: string;
  /** What becomes of a packet that is not just dropped, as `leads it elsewhere`. */
  readonly does?: string;
}

/** Bytes that a rule writes into the network header; what of them is not known has no bit in `known`. */
export interface Written {
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** All if absent. */
  readonly known?: Uint8Array | undefined;
}

/** What a register holds: bytes if known, and words for what it is. */
export interface Loaded {
  readonly bytes: Uint8Array | undefined;
  /** Which bits of the bytes are known, the others being 0 there; all if absent. */
  readonly known?: Uint8Array | undefined;
  readonly what: string;
  readonly mask?: Uint8Array;
  /** Whether more is known of it for a part of the packets that are played: see {@linkcode Packet.parts}. */
  readonly isOfParts?: boolean;
  /** Whether its bytes were put into the network's order. */
  readonly isSwapped?: boolean;
}

export const META_NAMES: Readonly<Record<number, string>> = {
  1: "meta protocol",
  [META_MARK]: "mark",
  4: "iif",
  5: "oif",
  6: "iifname",
  7: "oifname",
  10: "skuid",
  15: "nfproto",
  16: "l4proto",
  19: "pkttype",
};

export function payloadName(packet: Packet, base: number, offset: number): string {
  if (base === 2) return offset === 0 ? "sport" : offset === 2 ? "dport" : `th@${offset}`;
  if (base !== 1) return ({ 0: "ether daddr", 6: "ether saddr", 12: "ether type" })[offset] ?? `ll@${offset}`;
  const isIpv4 = familyOf(packet.source) === AF_INET;
  const places: Readonly<Record<number, string>> = isIpv4
    ? { 9: "ip protocol", 12: "ip saddr", 16: "ip daddr" }
    : { 6: "ip6 nexthdr", 8: "ip6 saddr", 24: "ip6 daddr" };
  return places[offset] ?? `nh@${offset}`;
}

/** A value as nft(8) would write it, as far as it is known what it is. */
export function valueText(loaded: Loaded | undefined, value: Uint8Array): string {
  const what = loaded?.what ?? "";
  if (what.endsWith("addr")) {
    const family: Family = what.startsWith("ip ") ? 2 : 10;
    const bits = family === 2 ? 32 : 128;
    const length = loaded?.mask === undefined ? value.length * 8 : prefixLength(loaded.mask) ?? bits;
    const address = addressOf(value, family);
    const prefix = formatPrefix({ address: maskAddress(address, length), length });
    return length === bits ? prefix.slice(0, prefix.lastIndexOf("/")) : prefix;
  }
  // A shorter one is compared as far as it goes.
  if (what.endsWith("ifname")) return JSON.stringify(text(value) + (value.includes(0) ? "" : "*"));
  if (what === "ct state" && value.length === 4) return statesText(fromHostOrder(value));
  if (what.endsWith("port")) return String((value[0] ?? 0) << 8 | (value[1] ?? 0));
  if (what === "l4proto" || what === "ip protocol" || what === "ip6 nexthdr") {
    return ({ [ICMP]: "icmp", [TCP]: "tcp", [UDP]: "udp", [ICMPV6]: "icmpv6" })[value[0]!] ??
      String(value[0]);
  }
  if (what === "nfproto") return ({ 2: "ipv4", 10: "ipv6" })[value[0]!] ?? String(value[0]);
  // The host's numbers are shown as such, and as wide as their masks are.
  if (!loaded?.isSwapped && value.length === 4 && isOfHost(what)) return hexText(fromHostOrder(value));
  return `0x${value.toHex()}`;
}

/** A mask, as nft(8) writes it between what is asked and the value; nothing where the value tells it. */
export function maskText(loaded: Loaded | undefined): string {
  const mask = loaded?.mask;
  if (loaded === undefined || mask === undefined || mask.every((byte) => byte === 0xff)) return "";
  const isPrefix = loaded.what.endsWith("addr") && prefixLength(mask) !== undefined;
  return isPrefix ? "" : ` & ${valueText({ what: hexOf(loaded), bytes: undefined }, mask)}`;
}

/** What has a mask shown as a number, in the order of what it is of. */
function hexOf({ what, isSwapped }: Loaded): string {
  return !isSwapped && isOfHost(what) ? "mark" : "";
}

/** Whether the kernel holds it in the host's order of bytes. */
function isOfHost(what: string): boolean {
  return /^(mark|iif|oif|skuid|pkttype|meta \d+|ct .+|a value)$/.test(what);
}

function hexText(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}

/** `NF_CT_STATE_*`, as nft(8) calls them. */
const STATE_NAMES: Readonly<Record<number, string>> = {
  1: "invalid",
  2: "established",
  4: "related",
  8: "new",
  64: "untracked",
};

/** The states of a mask or a value. */
export function statesText(bits: number): string {
  const names = Object.entries(STATE_NAMES).filter(([bit]) => (bits & Number(bit)) !== 0);
  return names.length === 0 ? String(bits) : names.map(([, name]) => name).join(",");
}

/** A number of an attribute; 0 where that is missing. */
export function u32be(bytes: Uint8Array | undefined): number {
  return bytes === undefined || bytes.length < 4
    ? 0
    : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}

/** A text of an attribute, up to its zero. */
export function text(bytes: Uint8Array | undefined): string {
  return new TextDecoder().decode(bytes).replace(/\0.*$/s, "");
}
