import { AF_INET, AF_INET6, type Family, familyOf, maskAddress, type Prefix } from "../model/address.ts";
import { readAddress, writeAddress } from "../model/rows.ts";
import { EAFNOSUPPORT, EOPNOTSUPP, isErrno } from "../linux/errno.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import {
  type MessageReader,
  type MessageWriter,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
} from "../netlink/message.ts";

export const RTM_NEWRULE = 32;
export const RTM_DELRULE = 33;
export const RTM_GETRULE = 34;

/** `sizeof(struct fib_rule_hdr)`. */
const RULE_HEADER_BYTES = 12;

const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_GOTO = 4;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_FLOW = 11;
const FRA_SUPPRESS_IFGROUP = 13;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const FRA_PAD = 18;
const FRA_L3MDEV = 19;
const FRA_UID_RANGE = 20;
const FRA_PROTOCOL = 21;
const FRA_IP_PROTO = 22;
const FRA_SPORT_RANGE = 23;
const FRA_DPORT_RANGE = 24;
/** Since Linux 6.15: the bits of a single port that count. */
const FRA_SPORT_MASK = 28;
const FRA_DPORT_MASK = 29;

const ALL_BITS = 0xffff_ffff;
/** `FIB_RULE_INVERT`: `not` of ip-rule(8). */
const FIB_RULE_INVERT = 0x2;

/** `FR_ACT_TO_TBL`: look into a table. */
export const FR_ACT_TO_TBL = 1;
/** `FR_ACT_GOTO`: go on at another rule. */
export const FR_ACT_GOTO = 2;
/** `FR_ACT_BLACKHOLE`; this one and all behind it drop the packet. */
export const FR_ACT_BLACKHOLE = 6;

/** Attributes that say what a rule does, or that stand beside another: none of these is a selector. */
const NO_SELECTORS: ReadonlySet<number> = new Set([
  FRA_GOTO,
  FRA_PRIORITY,
  FRA_FLOW,
  FRA_SUPPRESS_IFGROUP,
  FRA_SUPPRESS_PREFIXLEN,
  FRA_TABLE,
  FRA_PAD,
  FRA_PROTOCOL,
]);

/** A routing policy rule as Loden makes them: from a prefix into a table. */
export interface SourceRule {
  readonly source: Prefix;
  readonly priority: number;
  readonly table: number;
  /** Who made it, `RTPROT_*`. */
  readonly protocol: number;
}

/** What a rule asks for beyond addresses, links and marks. Ranges are from and to. */
export interface RuleNarrowing {
  /** `IPPROTO_*`. */
  readonly protocol?: number;
  readonly sourcePorts?: readonly [from: number, to: number];
  readonly destinationPorts?: readonly [from: number, to: number];
  readonly users?: readonly [from: number, to: number];
  /** Whether it asks for something else besides. */
  readonly isPartly?: true;
}

/** A routing policy rule as the kernel has it. */
export interface ObservedRule {
  readonly family: Family;
  readonly priority: number;
  /** `FR_ACT_*`. */
  readonly action: number;
  /** 0 where it leads into none. */
  readonly table: number;
  /** `RTPROT_*`; 0 before Linux 4.17. */
  readonly protocol: number;
  readonly source?: Prefix;
  readonly destination?: Prefix;
  readonly inputLink?: string;
  readonly outputLink?: string;
  /** What packets have to be marked with. */
  readonly mark?: number;
  /** The bits of the mark that count; all if absent. */
  readonly markMask?: number;
  /** The priority of the rule that it goes on at. */
  readonly target?: number;
  /** Whether it leads packets of a VRF into that one's table. */
  readonly isOfVrf?: true;
  /** Routes of the table with a prefix of this length or a shorter one do not count; they all do if absent. */
  readonly suppressedLength?: number;
  /** Whether it is for the packets that its selectors do not match. */
  readonly isInverted: boolean;
  /** Whether it has other selectors than these: ports, a protocol, users. */
  readonly isNarrower: boolean;
  /** What these are, where it has some. */
  readonly narrowing?: RuleNarrowing;
}

/**
 * | offset | bytes | C field   | here                  |
 * | -----: | ----: | --------- | --------------------- |
 * |      0 |     1 | `family`  | `family`              |
 * |      1 |     1 | `dst_len` | 0                     |
 * |      2 |     1 | `src_len` | the source's length   |
 * |      3 |     1 | `tos`     | 0                     |
 * |      4 |     1 | `table`   | 0; it is an attribute |
 * |      5 |     2 | reserved  | 0                     |
 * |      7 |     1 | `action`  | `FR_ACT_*`            |
 * |      8 |     4 | `flags`   | 0                     |
 *
 * Source: `struct fib_rule_hdr`, linux/fib_rules.h; Documentation/netlink/specs/rt-rule.yaml.
 */
function encodeHeader(writer: MessageWriter, family: Family, sourceLength: number, action: number): void {
  writer.u8(family);
  writer.u8(0);
  writer.u8(sourceLength);
  writer.u8(0);
  writer.u16(0);
  writer.u8(0);
  writer.u8(action);
  writer.u32(0);
}

function encodeBody(
  writer: MessageWriter,
  { source, priority, table, protocol }: SourceRule,
  action: number,
): void {
  const family = familyOf(source.address);
  const words = new Uint32Array(4);
  writeAddress(words, 0, source.address);
  encodeHeader(writer, family, source.length, action);
  writer.attributeAddress(FRA_SRC, words, 0, family === AF_INET ? 4 : 16);
  writer.attributeU32(FRA_TABLE, table);
  writer.attributeU32(FRA_PRIORITY, priority);
  writer.attributeU8(FRA_PROTOCOL, protocol);
  writer.end();
}

/** Writes the request that adds a rule; `EEXIST` if there is the same one. */
export function encodeRule(writer: MessageWriter, sequence: number, rule: SourceRule): void {
  writer.begin(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, sequence);
  encodeBody(writer, rule, FR_ACT_TO_TBL);
}

/** Writes the request that deletes a rule, and only one that is the same in all that a `SourceRule` says. */
export function encodeRuleDeletion(writer: MessageWriter, sequence: number, rule: SourceRule): void {
  writer.begin(RTM_DELRULE, 0, sequence);
  encodeBody(writer, rule, 0);
}

/** Writes the request for all rules of a family. */
export function encodeRuleDump(writer: MessageWriter, sequence: number, family: Family): void {
  writer.begin(RTM_GETRULE, NLM_F_DUMP, sequence);
  encodeHeader(writer, family, 0, 0);
  writer.end();
}

/**
 * Decodes one message about a rule; `undefined` for anything else.
 *
 * @throws {SyntaxError} If the message is malformed.
 */
export function decodeRule(message: MessageReader): ObservedRule | undefined {
  if (message.type !== RTM_NEWRULE) return undefined;
  message.requireHeader(RULE_HEADER_BYTES);
  const { view, start, end } = message;
  const family = view.getUint8(start);
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const [destinationLength, sourceLength, tos, tableByte] = [1, 2, 3, 4].map((at) =>
    view.getUint8(start + at)
  ) as [number, number, number, number];
  const found: { -readonly [Key in keyof ObservedRule]: ObservedRule[Key] } = {
    family,
    priority: 0,
    action: view.getUint8(start + 7),
    table: tableByte,
    protocol: 0,
    isInverted: (view.getUint32(start + 8, LITTLE_ENDIAN) & FIB_RULE_INVERT) !== 0,
    isNarrower: tos !== 0,
  };
  const words = new Uint32Array(4);
  const attributes = new AttributeReader(view, start + RULE_HEADER_BYTES, end);
  let narrowing: RuleNarrowing = tos === 0 ? {} : { isPartly: true };
  const range = (bytes: 2 | 4): readonly [number, number] => {
    if (attributes.length < 2 * bytes) return [0, 0];
    const at = (place: number) =>
      bytes === 2 ? view.getUint16(place, LITTLE_ENDIAN) : view.getUint32(place, LITTLE_ENDIAN);
    return [at(attributes.start), at(attributes.start + bytes)];
  };
  const prefix = (length: number): Prefix => {
    attributes.addressWords(words.fill(0), 0);
    // The kernel keeps what it was given, and compares so many bits.
    return { address: maskAddress(readAddress(words, 0, family), length), length };
  };
  while (attributes.next()) {
    const { type } = attributes;
    if (type === FRA_SRC) found.source = prefix(sourceLength);
    else if (type === FRA_DST) found.destination = prefix(destinationLength);
    else if (type === FRA_IIFNAME) found.inputLink = attributes.text();
    else if (type === FRA_OIFNAME) found.outputLink = attributes.text();
    else if (type === FRA_FWMARK) found.mark = attributes.u32();
    else if (type === FRA_FWMASK) {
      const mask = attributes.u32();
      if (mask !== ALL_BITS) found.markMask = mask;
    } else if (type === FRA_GOTO) found.target = attributes.u32();
    else if (type === FRA_L3MDEV) found.isOfVrf = true;
    else if (type === FRA_PRIORITY) found.priority = attributes.u32();
    else if (type === FRA_TABLE) found.table = attributes.u32();
    else if (type === FRA_PROTOCOL) found.protocol = attributes.u8();
    else if (type === FRA_SUPPRESS_PREFIXLEN) {
      const length = attributes.u32() | 0;
      if (length >= 0) found.suppressedLength = length;
    } else if (!NO_SELECTORS.has(type)) {
      found.isNarrower = true;
      if (type === FRA_IP_PROTO) narrowing = { ...narrowing, protocol: attributes.u8() };
      else if (type === FRA_SPORT_RANGE) narrowing = { ...narrowing, sourcePorts: range(2) };
      else if (type === FRA_DPORT_RANGE) narrowing = { ...narrowing, destinationPorts: range(2) };
      else if (type === FRA_UID_RANGE) narrowing = { ...narrowing, users: range(4) };
      else if ((type === FRA_SPORT_MASK || type === FRA_DPORT_MASK) && attributes.u16() === 0xffff) continue;
      else narrowing = { ...narrowing, isPartly: true };
    }
  }
  if (found.isNarrower) found.narrowing = narrowing;
  return found;
}

/**
 * All rules of a family, in the order in which the kernel goes by them; none if it has no such family, or no rules.
 *
 * @throws {NetlinkError} If the kernel refused for another reason.
 */
export function dumpRules(client: NetlinkClient, family: Family): ObservedRule[] {
  const rules: ObservedRule[] = [];
  try {
    client.dump(
      "read routing policy rules",
      (writer, sequence) => encodeRuleDump(writer, sequence, family),
      () => rules.length = 0,
      (message) => {
        const rule = decodeRule(message);
        if (rule?.family === family) rules.push(rule);
      },
    );
  } catch (error) {
    if (!isErrno(error, EAFNOSUPPORT) && !isErrno(error, EOPNOTSUPP)) throw error;
  }
  return rules;
}
