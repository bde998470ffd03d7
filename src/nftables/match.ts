import { AF_INET, type Family, familyOf, formatPrefix, maskAddress } from "../model/address.ts";
import { META_MARK, metaOf, networkBytes, type Packet, STATE_BITS, transportBytes, UDP } from "./packet.ts";
import { attributesIn, type RawRule } from "./raw_rule.ts";
import { addressOf, hostOrder, prefixLength } from "./value.ts";

// What one rule does with one packet: the registers of nf_tables, played with what is known of the packet. Source:
// linux/netfilter/nf_tables.h; net/netfilter/nft_*.c of the kernel for what the expressions do.

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
}

/** A rule and a packet. */
export interface RuleMatch {
  /** Whether the rule is for it; `maybe` where it asks for what is not known. */
  readonly isFor: "yes" | "no" | "maybe";
  readonly action: RuleAction;
  /** Whether it gives packets another mark, which is not known here. */
  readonly isMarking: boolean;
  /** The rule in words, near to those of nft(8). */
  readonly text: string;
}

type Tri = boolean | undefined;

const VERDICTS: Readonly<Record<number, RuleAction["kind"]>> = {
  0: "drop",
  1: "accept",
  [-1]: "continue",
  [-3]: "jump",
  [-4]: "goto",
  [-5]: "return",
};
/** Targets of iptables that end the way of a packet, or change where it comes from or goes to. */
const TARGETS: Readonly<Record<string, RuleAction["kind"]>> = {
  DROP: "drop",
  REJECT: "reject",
  MASQUERADE: "masquerade",
  SNAT: "snat",
  DNAT: "dnat",
  REDIRECT: "dnat",
  LOG: "continue",
  NFLOG: "continue",
  TRACE: "continue",
};
/** Expressions that neither ask nor decide. */
const ASIDES: ReadonlySet<string> = new Set(["counter", "log", "notrack", "dup", "flow_offload", "last"]);
const COMPARE = ["==", "!=", "<", "<=", ">", ">="] as const;
const NFT_REG_VERDICT = 0;

/** What a register holds: bytes if known, and words for what it is. */
interface Loaded {
  readonly bytes: Uint8Array | undefined;
  readonly what: string;
  readonly mask?: Uint8Array;
}

/** Plays a rule for a packet. */
export function matchRule(rule: RawRule, packet: Packet): RuleMatch {
  const registers = new Map<number, Loaded>();
  const words: string[] = [];
  let isFor: Tri = true;
  let action: RuleAction = { kind: "continue" };
  let isMarking = false;
  const also = (answer: Tri) => {
    if (answer === false || isFor === false) isFor = false;
    else if (answer === undefined) isFor = undefined;
  };
  for (const { name, attributes } of rule.expressions) {
    const word = (type: number) => u32be(attributes.get(type));
    if (ASIDES.has(name)) continue;
    if (name === "payload" || name === "meta" || name === "ct") {
      const loaded = load(name, word, packet);
      if (loaded === undefined) {
        isMarking ||= name === "meta" && word(2) === META_MARK;
        words.push(`${name} set`);
      } else registers.set(slot(loaded.register), loaded);
    } else if (name === "bitwise") {
      const loaded = registers.get(slot(word(1)));
      registers.set(slot(word(2)), masked(loaded, attributes));
    } else if (name === "cmp" || name === "range") {
      const loaded = registers.get(slot(word(1)));
      const answer = name === "cmp" ? compare(loaded, word, attributes) : isWithin(loaded, word, attributes);
      also(answer.is);
      words.push(answer.text);
    } else if (name === "immediate") {
      if (word(1) === NFT_REG_VERDICT) action = verdictIn(attributes);
      else registers.delete(slot(word(1)));
    } else if (name === "match") {
      const answer = matchOf(attributes, packet);
      also(answer.is);
      if (answer.text !== "") words.push(answer.text);
    } else if (name === "target") {
      const target = text(attributes.get(1));
      isMarking ||= target.endsWith("MARK");
      action = { kind: target.endsWith("MARK") ? "continue" : TARGETS[target] ?? "unknown" };
      words.push(`-j ${target}`);
    } else if (name === "reject") action = { kind: "reject" };
    else if (name === "masq") action = { kind: "masquerade" };
    else if (name === "nat") action = { kind: word(1) === 0 ? "snat" : "dnat" };
    else if (name === "redir" || name === "tproxy") action = { kind: "dnat" };
    else if (name === "queue") action = { kind: "unknown" };
    else {
      // What it asks, or what it loads from elsewhere, is not known.
      also(undefined);
      const asked = name === "lookup" ? registers.get(slot(word(2)))?.what ?? "?" : "";
      registers.clear();
      words.push(name === "lookup" ? `${asked} in set ${text(attributes.get(1))}` : name);
      // A map of verdicts: where it leads is not known either.
      if (name === "lookup" && attributes.has(3) && word(3) === NFT_REG_VERDICT) action = { kind: "unknown" };
    }
  }
  if (action.kind !== "continue") {
    words.push(action.chain === undefined ? action.kind : `${action.kind} ${action.chain}`);
  }
  return {
    isFor: isFor === undefined ? "maybe" : isFor ? "yes" : "no",
    action,
    isMarking,
    text: words.join(" "),
  };
}

/** The four wide registers lie over the sixteen narrow ones. */
function slot(register: number): number {
  return register >= 8 ? register - 8 : (register - 1) * 4;
}

function load(
  name: string,
  word: (type: number) => number,
  packet: Packet,
): Loaded & { readonly register: number } | undefined {
  const register = word(1);
  // What writes into the packet or its mark has a source register in place of the other.
  if (name === "payload") {
    if (register === 0) return undefined;
    const [base, offset, length] = [word(2), word(3), word(4)];
    const read = base === 1 ? networkBytes : base === 2 ? transportBytes : () => undefined;
    return { register, bytes: read(packet, offset, length), what: payloadName(packet, base, offset) };
  }
  const key = word(name === "meta" ? 2 : 2);
  if (register === 0) return undefined;
  if (name === "meta") {
    return { register, bytes: metaOf(packet, key), what: META_NAMES[key] ?? `meta ${key}` };
  }
  const bytes = key === 0 ? hostOrder(STATE_BITS[packet.state]) : undefined;
  return { register, bytes, what: key === 0 ? "ct state" : `ct ${key}` };
}

const META_NAMES: Readonly<Record<number, string>> = {
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

function payloadName(packet: Packet, base: number, offset: number): string {
  if (base === 2) return offset === 0 ? "sport" : offset === 2 ? "dport" : `th@${offset}`;
  if (base !== 1) return `ll@${offset}`;
  const isIpv4 = familyOf(packet.source) === AF_INET;
  const places: Readonly<Record<number, string>> = isIpv4
    ? { 9: "ip protocol", 12: "ip saddr", 16: "ip daddr" }
    : { 6: "ip6 nexthdr", 8: "ip6 saddr", 24: "ip6 daddr" };
  return places[offset] ?? `nh@${offset}`;
}

function masked(loaded: Loaded | undefined, attributes: ReadonlyMap<number, Uint8Array>): Loaded {
  const [mask, xor] = [valueOf(attributes.get(4)), valueOf(attributes.get(5))];
  const what = loaded?.what ?? "a register";
  const isPlain = mask !== undefined && (u32be(attributes.get(6)) === 0);
  if (!isPlain || loaded?.bytes === undefined || loaded.bytes.length < mask.length) {
    return { bytes: undefined, what, ...mask !== undefined && { mask } };
  }
  const bytes = mask.map((byte, at) => loaded.bytes![at]! & byte ^ (xor?.[at] ?? 0));
  return { bytes, what, mask };
}

function compare(
  loaded: Loaded | undefined,
  word: (type: number) => number,
  attributes: ReadonlyMap<number, Uint8Array>,
): { readonly is: Tri; readonly text: string } {
  const value = valueOf(attributes.get(3)) ?? new Uint8Array();
  const operation = word(2);
  const shown = [loaded?.what ?? "?", ...operation === 0 ? [] : [COMPARE[operation] ?? "?"]].join(" ");
  const sentence = `${shown} ${valueText(loaded, value)}`;
  const bytes = loaded?.bytes;
  if (bytes === undefined || bytes.length < value.length || operation > 5) {
    return { is: undefined, text: sentence };
  }
  const order = orderOf(bytes.subarray(0, value.length), value);
  const is = [order === 0, order !== 0, order < 0, order <= 0, order > 0, order >= 0][operation];
  return { is, text: sentence };
}

function isWithin(
  loaded: Loaded | undefined,
  word: (type: number) => number,
  attributes: ReadonlyMap<number, Uint8Array>,
): { readonly is: Tri; readonly text: string } {
  const [from, to] = [valueOf(attributes.get(3)), valueOf(attributes.get(4))];
  const bytes = loaded?.bytes;
  const sentence = `${loaded?.what ?? "?"} ${word(2) === 1 ? "!= " : ""}${
    from ? valueText(loaded, from) : "?"
  }-${to ? valueText(loaded, to) : "?"}`;
  if (bytes === undefined || from === undefined || to === undefined) return { is: undefined, text: sentence };
  const inside = orderOf(bytes, from) >= 0 && orderOf(bytes, to) <= 0;
  return { is: word(2) === 1 ? !inside : inside, text: sentence };
}

/** As the kernel compares: byte by byte, the first that differs. */
function orderOf(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at < 0 ? 0 : a[at]! - (b[at] ?? 0);
}

/** A value as nft(8) would write it, as far as it is known what it is. */
function valueText(loaded: Loaded | undefined, value: Uint8Array): string {
  const what = loaded?.what ?? "";
  if (what.endsWith("addr")) {
    const family: Family = what.startsWith("ip ") ? 2 : 10;
    const bits = family === 2 ? 32 : 128;
    const length = loaded?.mask === undefined ? value.length * 8 : prefixLength(loaded.mask) ?? bits;
    const address = addressOf(value, family);
    const prefix = formatPrefix({ address: maskAddress(address, length), length });
    return length === bits ? prefix.slice(0, prefix.lastIndexOf("/")) : prefix;
  }
  if (what.endsWith("ifname")) return JSON.stringify(text(value));
  if (what.endsWith("port")) return String((value[0] ?? 0) << 8 | (value[1] ?? 0));
  if (what === "l4proto" || what === "ip protocol" || what === "ip6 nexthdr") {
    return ({ 1: "icmp", 6: "tcp", [UDP]: "udp", 58: "icmpv6" })[value[0]!] ?? String(value[0]);
  }
  if (what === "nfproto") return ({ 2: "ipv4", 10: "ipv6" })[value[0]!] ?? String(value[0]);
  return `0x${value.toHex()}`;
}

function verdictIn(attributes: ReadonlyMap<number, Uint8Array>): RuleAction {
  const data = attributes.get(2);
  const verdict = data && attributesIn(data).get(2);
  const members = verdict && attributesIn(verdict);
  const kind = VERDICTS[u32be(members?.get(1)) | 0] ?? "unknown";
  const chain = members?.get(2);
  return { kind, ...chain !== undefined && { chain: text(chain) } };
}

/** `struct xt_udp`, `struct xt_conntrack_mtinfo3`, `struct xt_mark_mtinfo1`: matches of iptables. */
function matchOf(
  attributes: ReadonlyMap<number, Uint8Array>,
  packet: Packet,
): { readonly is: Tri; readonly text: string } {
  const [name, info] = [text(attributes.get(1)), attributes.get(3) ?? new Uint8Array()];
  const view = new DataView(info.buffer, info.byteOffset, info.length);
  if (name === "comment") return { is: true, text: `/* ${text(info)} */` };
  if (name === "tcp") return { is: false, text: "tcp" };
  if (name === "udp" && info.length >= 9) {
    const range = (at: number, port: number, isNot: boolean) =>
      (view.getUint16(at, true) <= port && port <= view.getUint16(at + 2, true)) !== isNot;
    const invert = info[8]!;
    const is = range(0, packet.sourcePort, (invert & 1) !== 0) &&
      range(4, packet.destinationPort, (invert & 2) !== 0);
    return { is, text: `udp dport ${view.getUint16(4, true)}-${view.getUint16(6, true)}` };
  }
  if (name === "conntrack" && info.length >= 152 && view.getUint16(146, true) === 1) {
    const isMet = (view.getUint16(150, true) & STATE_BITS[packet.state]) !== 0;
    return { is: isMet !== ((view.getUint16(148, true) & 1) !== 0), text: "ct state" };
  }
  if (name === "mark" && info.length >= 9 && !packet.isMarked) {
    return { is: (view.getUint32(0, true) === 0) !== (info[8] !== 0), text: "mark" };
  }
  return { is: undefined, text: `-m ${name}` };
}

/** The bytes of a value in an attribute that holds one. */
function valueOf(data: Uint8Array | undefined): Uint8Array | undefined {
  return data && attributesIn(data).get(1);
}

function u32be(bytes: Uint8Array | undefined): number {
  return bytes === undefined || bytes.length < 4
    ? 0
    : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}

function text(bytes: Uint8Array | undefined): string {
  return new TextDecoder().decode(bytes).replace(/\0.*$/s, "");
}
