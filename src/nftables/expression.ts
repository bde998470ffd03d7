import {
  AF_INET,
  AF_INET6,
  bitsOf,
  type Family,
  familyOf,
  formatPrefix,
  maskAddress,
  type Prefix,
} from "../model/address.ts";
import { addressBytes } from "../model/rows.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import type { MessageWriter } from "../netlink/message.ts";
import { addressOf, fromHostOrder, hostOrder, maskBytes, prefixLength } from "./value.ts";

// Source: linux/netfilter/nf_tables.h, linux/netfilter.h, linux/netfilter/nf_nat.h.
const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;
const NFTA_PAYLOAD_DREG = 1;
const NFTA_PAYLOAD_BASE = 2;
const NFTA_PAYLOAD_OFFSET = 3;
const NFTA_PAYLOAD_LEN = 4;
const NFTA_META_DREG = 1;
const NFTA_META_KEY = 2;
const NFTA_BITWISE_SREG = 1;
const NFTA_BITWISE_DREG = 2;
const NFTA_BITWISE_LEN = 3;
const NFTA_BITWISE_MASK = 4;
const NFTA_BITWISE_XOR = 5;
const NFTA_CMP_SREG = 1;
const NFTA_CMP_OP = 2;
const NFTA_CMP_DATA = 3;
const NFTA_IMMEDIATE_DREG = 1;
const NFTA_IMMEDIATE_DATA = 2;
const NFTA_MASQ_FLAGS = 1;
const NFTA_MATCH_NAME = 1;
const NFTA_MATCH_REV = 2;
const NFTA_MATCH_INFO = 3;
const NFTA_TARGET_NAME = 1;

const NFT_REG_VERDICT = 0;
const NFT_REG_1 = 1;
const NFT_PAYLOAD_NETWORK_HEADER = 1;
const NFT_META_MARK = 3;
const NFT_CMP_EQ = 0;
const NFT_CMP_NEQ = 1;
const NF_NAT_RANGE_PROTO_RANDOM_FULLY = 16;
/** `struct xt_comment_info`. */
const XT_COMMENT_BYTES = 256;

const VERDICTS = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;
/** Where the addresses are in the header of each family. */
const OFFSETS: Readonly<Record<Family, { readonly source: number; readonly destination: number }>> = {
  2: { source: 12, destination: 16 },
  10: { source: 8, destination: 24 },
};

/** One thing that a rule asks or does. What Loden never writes is `other`, by the kernel's name for it. */
export type NftExpression =
  | { readonly kind: "source" | "destination"; readonly prefix: Prefix; readonly isNot: boolean }
  | { readonly kind: "mark"; readonly value: number; readonly mask: number }
  /** A comment as iptables keeps it. */
  | { readonly kind: "comment"; readonly text: string }
  | { readonly kind: "verdict"; readonly verdict: keyof typeof VERDICTS; readonly chain?: string }
  | { readonly kind: "masquerade"; readonly isFullyRandom: boolean }
  | { readonly kind: "counter" }
  | { readonly kind: "other"; readonly name: string };

/** Writes the expressions of a rule as nft(8) and iptables-nft do, inside of `NFTA_RULE_EXPRESSIONS`. */
export function encodeExpressions(writer: MessageWriter, expressions: readonly NftExpression[]): void {
  const { element, compare, mask } = elementsOf(writer);
  for (const expression of expressions) {
    switch (expression.kind) {
      case "source":
      case "destination": {
        const { prefix, isNot } = expression;
        const family = familyOf(prefix.address);
        const bytes = addressBytes(prefix.address);
        element("payload", () => {
          writer.attributeU32be(NFTA_PAYLOAD_DREG, NFT_REG_1);
          writer.attributeU32be(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
          writer.attributeU32be(NFTA_PAYLOAD_OFFSET, OFFSETS[family][expression.kind]);
          writer.attributeU32be(NFTA_PAYLOAD_LEN, bytes.length);
        });
        // nft(8) and iptables load fewer bytes where that does; iptables before 1.8.7 reads this form alone.
        if (prefix.length < bitsOf(family)) mask(maskBytes(prefix.length, bytes.length));
        compare(isNot ? NFT_CMP_NEQ : NFT_CMP_EQ, bytes);
        break;
      }
      case "mark":
        element("meta", () => {
          writer.attributeU32be(NFTA_META_KEY, NFT_META_MARK);
          writer.attributeU32be(NFTA_META_DREG, NFT_REG_1);
        });
        mask(hostOrder(expression.mask));
        compare(NFT_CMP_EQ, hostOrder(expression.value));
        break;
      case "comment":
        element("match", () => {
          const info = new Uint8Array(XT_COMMENT_BYTES);
          info.set(new TextEncoder().encode(expression.text).subarray(0, XT_COMMENT_BYTES - 1));
          writer.attributeText(NFTA_MATCH_NAME, "comment");
          writer.attributeU32be(NFTA_MATCH_REV, 0);
          writer.attributeBytes(NFTA_MATCH_INFO, info);
        });
        break;
      case "counter":
        element("counter", () => {});
        break;
      case "masquerade":
        element("masq", () => {
          if (!expression.isFullyRandom) return;
          writer.attributeU32be(NFTA_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
        });
        break;
      case "verdict":
        element("immediate", () => {
          writer.attributeU32be(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
          writer.nested(NFTA_IMMEDIATE_DATA, () =>
            writer.nested(NFTA_DATA_VERDICT, () => {
              writer.attributeU32be(NFTA_VERDICT_CODE, VERDICTS[expression.verdict] >>> 0);
              if (expression.chain !== undefined) {
                writer.attributeText(NFTA_VERDICT_CHAIN, expression.chain);
              }
            }));
        });
        break;
      case "other":
        throw new TypeError(`Cannot encode expression ${expression.name}: it is not one of ours`);
    }
  }
}

/** What writes an element of a rule; and those that compare the register, and clear bits of it. */
function elementsOf(writer: MessageWriter) {
  const element = (name: string, data: () => void) =>
    writer.nested(NFTA_LIST_ELEM, () => {
      writer.attributeText(NFTA_EXPR_NAME, name);
      writer.nested(NFTA_EXPR_DATA, data);
    });
  const compare = (operation: number, value: Uint8Array) =>
    element("cmp", () => {
      writer.attributeU32be(NFTA_CMP_SREG, NFT_REG_1);
      writer.attributeU32be(NFTA_CMP_OP, operation);
      writer.nested(NFTA_CMP_DATA, () => writer.attributeBytes(NFTA_DATA_VALUE, value));
    });
  const mask = (bits: Uint8Array) =>
    element("bitwise", () => {
      writer.attributeU32be(NFTA_BITWISE_SREG, NFT_REG_1);
      writer.attributeU32be(NFTA_BITWISE_DREG, NFT_REG_1);
      writer.attributeU32be(NFTA_BITWISE_LEN, bits.length);
      writer.nested(NFTA_BITWISE_MASK, () => writer.attributeBytes(NFTA_DATA_VALUE, bits));
      writer.nested(NFTA_BITWISE_XOR, () =>
        writer.attributeBytes(NFTA_DATA_VALUE, new Uint8Array(bits.length)));
    });
  return { element, compare, mask };
}

/** What the register holds while expressions are read one after the other. */
interface Loaded {
  readonly what: "source" | "destination" | "mark";
  readonly bytes: number;
  mask: Uint8Array | undefined;
}

/**
 * Reads the expressions of a rule of `family`, also of one that another program wrote.
 *
 * @throws {SyntaxError} If they are malformed.
 */
export function decodeExpressions(list: AttributeReader, family: number): NftExpression[] {
  const expressions: NftExpression[] = [];
  let loaded: Loaded | undefined;
  while (list.next()) {
    const element = list.nested();
    const name = find(element, NFTA_EXPR_NAME)?.text() ?? "";
    const data = find(element, NFTA_EXPR_DATA)?.nested();
    if (name === "payload" || name === "meta") {
      loaded = data && (name === "meta" ? loadedMark(data) : loadedAddress(data, family));
      if (loaded === undefined) expressions.push({ kind: "other", name });
    } else if (name === "bitwise" && loaded !== undefined && data !== undefined && isPlainMask(data)) {
      loaded.mask = valueIn(data, NFTA_BITWISE_MASK);
    } else if (name === "cmp" && loaded !== undefined && data !== undefined) {
      expressions.push(comparison(loaded, data, family as Family));
      loaded = undefined;
    } else expressions.push(data === undefined ? { kind: "other", name } : statement(name, data));
  }
  return expressions;
}

/** The expressions as text: the same text says the same. Counters say nothing. */
export function expressionsText(expressions: readonly NftExpression[]): string {
  return JSON.stringify(
    expressions.filter(({ kind }) => kind !== "counter").map((expression) =>
      "prefix" in expression ? { ...expression, prefix: formatPrefix(expression.prefix) } : expression
    ),
  );
}

function statement(name: string, data: AttributeReader): NftExpression {
  const other: NftExpression = { kind: "other", name };
  switch (name) {
    case "counter":
      return { kind: "counter" };
    case "masq": {
      const flags = find(data, NFTA_MASQ_FLAGS)?.u32be() ?? 0;
      if ((flags & ~NF_NAT_RANGE_PROTO_RANDOM_FULLY) !== 0) return other;
      return { kind: "masquerade", isFullyRandom: flags !== 0 };
    }
    case "immediate":
      return verdictIn(data) ?? other;
    case "match": {
      const match = find(data, NFTA_MATCH_NAME)?.text();
      const text = find(data, NFTA_MATCH_INFO)?.text();
      if (match === "comment" && text !== undefined) return { kind: "comment", text };
      return { kind: "other", name: `match ${match}` };
    }
    case "target":
      return { kind: "other", name: `target ${find(data, NFTA_TARGET_NAME)?.text()}` };
    default:
      return other;
  }
}

function verdictIn(data: AttributeReader): NftExpression | undefined {
  const value = find(data, NFTA_IMMEDIATE_DATA)?.nested();
  const verdict = value && find(value, NFTA_DATA_VERDICT)?.nested();
  const code = verdict && find(verdict, NFTA_VERDICT_CODE)?.u32be();
  const names = Object.keys(VERDICTS) as (keyof typeof VERDICTS)[];
  const name = names.find((name) => code === VERDICTS[name] >>> 0);
  if (verdict === undefined || name === undefined) return undefined;
  const chain = find(verdict, NFTA_VERDICT_CHAIN)?.text();
  return { kind: "verdict", verdict: name, ...chain !== undefined && { chain } };
}

function loadedAddress(data: AttributeReader, family: number): Loaded | undefined {
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  if (find(data, NFTA_PAYLOAD_BASE)?.u32be() !== NFT_PAYLOAD_NETWORK_HEADER) return undefined;
  const offset = find(data, NFTA_PAYLOAD_OFFSET)?.u32be();
  const bytes = find(data, NFTA_PAYLOAD_LEN)?.u32be() ?? 0;
  const { source, destination } = OFFSETS[family];
  const what = offset === source ? "source" : offset === destination ? "destination" : undefined;
  if (what === undefined || bytes < 1 || bytes > bitsOf(family) / 8) return undefined;
  return { what, bytes, mask: undefined };
}

function loadedMark(data: AttributeReader): Loaded | undefined {
  if (find(data, NFTA_META_KEY)?.u32be() !== NFT_META_MARK) return undefined;
  if (find(data, NFTA_META_DREG) === undefined) return undefined;
  return { what: "mark", bytes: 4, mask: undefined };
}

function isPlainMask(data: AttributeReader): boolean {
  const xor = valueIn(data, NFTA_BITWISE_XOR);
  return valueIn(data, NFTA_BITWISE_MASK) !== undefined && xor?.every((byte) => byte === 0) === true;
}

function comparison({ what, bytes, mask }: Loaded, data: AttributeReader, family: Family): NftExpression {
  const other: NftExpression = { kind: "other", name: `cmp ${what}` };
  const value = valueIn(data, NFTA_CMP_DATA);
  const operation = find(data, NFTA_CMP_OP)?.u32be();
  if (value?.length !== bytes || (operation !== NFT_CMP_EQ && operation !== NFT_CMP_NEQ)) return other;
  const isNot = operation === NFT_CMP_NEQ;
  if (what === "mark") {
    if (isNot) return other;
    return { kind: "mark", value: fromHostOrder(value), mask: mask ? fromHostOrder(mask) : 0xffff_ffff };
  }
  const length = mask === undefined ? bytes * 8 : prefixLength(mask);
  if (length === undefined || mask !== undefined && mask.length !== bytes) return other;
  return { kind: what, prefix: { address: maskAddress(addressOf(value, family), length), length }, isNot };
}

/** The attribute of `type` among those of `range`; `undefined` where there is none. */
function find({ view, rangeStart, rangeEnd }: AttributeReader, type: number): AttributeReader | undefined {
  const reader = new AttributeReader(view, rangeStart, rangeEnd);
  while (reader.next()) if (reader.type === type) return reader;
  return undefined;
}

/** The bytes of the value in the attribute of `type`. */
function valueIn(data: AttributeReader, type: number): Uint8Array | undefined {
  const nested = find(data, type)?.nested();
  return nested && find(nested, NFTA_DATA_VALUE)?.bytes();
}
