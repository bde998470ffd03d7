import { AF_INET, familyOf } from "../model/address.ts";
import { ICMP, ICMPV6, type Packet, protocolOf, stateBit, TCP, UDP } from "./packet.ts";
import { type RuleAction, statesText, text, u32be, type Written } from "./rule_words.ts";

// Matches and targets of iptables, which iptables-nft puts into rules of nf_tables as they are.

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
  // What these change decides nothing of the packet's way.
  TCPMSS: "continue",
  CHECKSUM: "continue",
  CLASSIFY: "continue",
  TOS: "continue",
  DSCP: "continue",
  ECN: "continue",
  TEE: "continue",
  SET: "continue",
  AUDIT: "continue",
  RATEEST: "continue",
  CT: "continue",
  NOTRACK: "continue",
  TTL: "continue",
  HL: "continue",
};

/** A match of iptables, and what it asks for in words. */
interface XtAnswer {
  readonly is: boolean | undefined;
  readonly text: string;
}

/** `struct xt_conntrack_mtinfo3`, `struct xt_mark_mtinfo1`, and those behind: matches of iptables. */
export function matchOf(attributes: ReadonlyMap<number, Uint8Array>, packet: Packet): XtAnswer {
  const [name, info] = [text(attributes.get(1)), attributes.get(3) ?? new Uint8Array()];
  const view = new DataView(info.buffer, info.byteOffset, info.length);
  if (name === "comment") return { is: true, text: `/* ${text(info)} */` };
  const protocols = PROTOCOLS[name];
  if (protocols !== undefined) {
    const answer = name.startsWith("icmp") ? icmpAnswer(name, info) : portsAnswer(name, view, packet);
    return protocols === protocolOf(packet) ? answer : { ...answer, is: false };
  }
  if (name === "conntrack" && info.length >= 152 && view.getUint16(146, true) === 1) {
    const isMet = isState(packet, view.getUint16(150, true));
    return {
      is: isMet === undefined ? undefined : isMet !== ((view.getUint16(148, true) & 1) !== 0),
      text: `ct state ${(view.getUint16(148, true) & 1) !== 0 ? "!= " : ""}${
        statesText(view.getUint16(150, true))
      }`,
    };
  }
  if (name === "state" && info.length >= 4) {
    const mask = view.getUint32(0, true);
    return { is: isState(packet, mask), text: `ct state ${statesText(mask)}` };
  }
  if (name === "mark" && info.length >= 9) {
    const [mark, mask] = [view.getUint32(0, true), view.getUint32(4, true)];
    const hex = (value: number) => `0x${value.toString(16).padStart(8, "0")}`;
    const of = mask === 0xffff_ffff ? "" : ` & ${hex(mask)}`;
    return {
      is: packet.isMarked ? undefined : (mark === 0) !== (info[8] !== 0),
      text: `mark${of} ${info[8] === 0 ? "" : "!= "}${hex(mark)}`,
    };
  }
  return { is: undefined, text: `-m ${name}` };
}

function isState(packet: Packet, mask: number): boolean | undefined {
  const bit = stateBit(packet);
  return bit === undefined ? undefined : (mask & bit) !== 0;
}

/** Matches that are for packets of one protocol. */
const PROTOCOLS: Readonly<Record<string, number>> = { tcp: TCP, udp: UDP, icmp: ICMP, icmp6: ICMPV6 };
/** `SYN` of a segment that begins a connection. */
const SYN = 2;

/** `struct xt_tcp`, `struct xt_udp`: ranges of ports, and flags. */
function portsAnswer(name: string, view: DataView, packet: Packet): XtAnswer {
  if (view.byteLength < (name === "tcp" ? 12 : 9)) return { is: undefined, text: name };
  const invert = view.getUint8(name === "tcp" ? 11 : 8);
  const range = (at: number, port: number | undefined, isNot: boolean) => {
    const [from, to] = [view.getUint16(at, true), view.getUint16(at + 2, true)];
    if (from === 0 && to === 0xffff) return !isNot;
    return port === undefined ? undefined : (from <= port && port <= to) !== isNot;
  };
  const answers = [
    range(0, packet.sourcePort, (invert & 1) !== 0),
    range(4, packet.destinationPort, (invert & 2) !== 0),
    ...name === "tcp" ? [flagsMet(view, packet, invert)] : [],
  ];
  return {
    is: answers.includes(false) ? false : answers.includes(undefined) ? undefined : true,
    text: [
      name,
      ...portText("sport", view, 0, (invert & 1) !== 0),
      ...portText("dport", view, 4, (invert & 2) !== 0),
    ].join(" "),
  };
}

function portText(what: string, view: DataView, at: number, isNot: boolean): string[] {
  const [from, to] = [view.getUint16(at, true), view.getUint16(at + 2, true)];
  if (from === 0 && to === 0xffff) return [];
  return [`${what} ${isNot ? "!= " : ""}${from === to ? from : `${from}-${to}`}`];
}

function flagsMet(view: DataView, { state }: Packet, invert: number): boolean | undefined {
  const [option, mask, wanted] = [view.getUint8(8), view.getUint8(9), view.getUint8(10)];
  if (option !== 0 || mask !== 0 && state !== "new") return undefined;
  return ((SYN & mask) === wanted) !== ((invert & 4) !== 0);
}

/** `struct ipt_icmp`, `struct ip6t_icmp`: a type, or any for 255 in IPv4. */
function icmpAnswer(name: string, info: Uint8Array): XtAnswer {
  return { is: name === "icmp" && info[0] === 0xff && info[3] === 0 ? true : undefined, text: name };
}

/** `XT_CT_NOTRACK`. */
const CT_NOTRACK = 1;

/** `xt_ct_target_info`, `nf_nat_ipv4_multi_range_compat`, `nf_nat_range`: targets of iptables. */
export function targetOf(attributes: ReadonlyMap<number, Uint8Array>, packet: Packet): {
  readonly name: string;
  readonly action: RuleAction;
  readonly isMarking: boolean;
  readonly isUntracking: boolean;
  readonly isWriting: boolean;
  readonly writes: readonly Written[];
} {
  const name = text(attributes.get(1));
  const info = attributes.get(3) ?? new Uint8Array();
  const isMarking = name.endsWith("MARK");
  const kind = isMarking ? "continue" : TARGETS[name] ?? "unknown";
  const isIpv4 = familyOf(packet.source) === AF_INET;
  const isHops = name === "TTL" || name === "HL";
  return {
    name,
    action: {
      kind,
      ...(kind === "snat" || kind === "dnat") && natWords(name, info, u32be(attributes.get(2)), isIpv4),
    },
    isMarking,
    isUntracking: name === "NOTRACK" || name === "CT" && ((info[0] ?? 0) & CT_NOTRACK) !== 0,
    isWriting: isHops,
    writes: isHops && info[0] === HOPS_SET && info.length > 1
      ? [{ offset: isIpv4 ? 8 : 7, bytes: info.subarray(1, 2) }]
      : [],
  };
}

/** `IPT_TTL_SET`, `IP6T_HL_SET`. */
const HOPS_SET = 0;
/** `NF_NAT_RANGE_MAP_IPS`: without it the address stays. */
const MAP_IPS = 1;

/** Where a target translates to: the first address of its range, if that is one. */
function natWords(
  name: string,
  info: Uint8Array,
  revision: number,
  isIpv4: boolean,
): Pick<RuleAction, "address" | "does"> {
  if (name === "REDIRECT") return { does: "has this host take it" };
  const at = revision === 0 && isIpv4 ? 8 : 4;
  const size = isIpv4 ? 4 : 16;
  const next = revision === 0 && isIpv4 ? at + 4 : at + 16;
  if (info.length < next + size || (info[at - 4]! & MAP_IPS) === 0) return {};
  const [least, most] = [info.subarray(at, at + size), info.subarray(next, next + size)];
  return least.every((byte, index) => byte === most[index]) ? { address: least } : {};
}
