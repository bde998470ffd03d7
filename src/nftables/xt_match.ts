import { type Packet, STATE_BITS } from "./packet.ts";
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
/** `struct xt_udp`, `struct xt_conntrack_mtinfo3`, `struct xt_mark_mtinfo1`: matches of iptables. */
export function matchOf(
  attributes: ReadonlyMap<number, Uint8Array>,
  packet: Packet,
): { readonly is: boolean | undefined; readonly text: string } {
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
    return {
      is: isMet !== ((view.getUint16(148, true) & 1) !== 0),
      text: `ct state ${statesText(view.getUint16(150, true))}`,
    };
  }
  if (name === "mark" && info.length >= 9 && !packet.isMarked) {
    return { is: (view.getUint32(0, true) === 0) !== (info[8] !== 0), text: "mark" };
  }
  return { is: undefined, text: `-m ${name}` };
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
