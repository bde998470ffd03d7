import { ICMP, ICMPV6, type Packet, protocolOf, stateBit, TCP, UDP } from "./packet.ts";
import { type RuleAction, statesText, text, u32be } from "./rule_words.ts";

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
      text: `ct state ${statesText(view.getUint16(150, true))}`,
    };
  }
  if (name === "state" && info.length >= 4) {
    const mask = view.getUint32(0, true);
    return { is: isState(packet, mask), text: `ct state ${statesText(mask)}` };
  }
  if (name === "mark" && info.length >= 9 && !packet.isMarked) {
    return { is: (view.getUint32(0, true) === 0) !== (info[8] !== 0), text: "mark" };
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
    text: `${name} dport ${view.getUint16(4, true)}-${view.getUint16(6, true)}`,
  };
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
export function targetOf(attributes: ReadonlyMap<number, Uint8Array>): {
  readonly name: string;
  readonly action: RuleAction;
  readonly isMarking: boolean;
  readonly isUntracking: boolean;
  readonly isWriting: boolean;
} {
  const name = text(attributes.get(1));
  const info = attributes.get(3) ?? new Uint8Array();
  const isMarking = name.endsWith("MARK");
  const kind = isMarking ? "continue" : TARGETS[name] ?? "unknown";
  const at = u32be(attributes.get(2)) === 0 ? 8 : 4;
  const address = kind === "snat" && info.length >= at + 4
    ? info.subarray(at, at + (at === 8 ? 4 : 16))
    : undefined;
  return {
    name,
    action: { kind, ...address !== undefined && { address } },
    isMarking,
    isUntracking: name === "NOTRACK" || name === "CT" && ((info[0] ?? 0) & CT_NOTRACK) !== 0,
    isWriting: name === "TTL" || name === "HL",
  };
}
