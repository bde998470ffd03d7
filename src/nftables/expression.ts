import { AF_INET, bitsOf, type Family, familyOf, formatPrefix } from "../model/address.ts";
import { addressBytes } from "../model/rows.ts";
import type { AttributeReader } from "../netlink/attribute.ts";
import type { MessageWriter } from "../netlink/message.ts";
import {
  comparison,
  find,
  isPlainMask,
  type Loaded,
  LOADERS,
  NFT_CMP_EQ,
  NFT_CMP_NEQ,
  NFT_META_MARK,
  NFT_PAYLOAD_NETWORK_HEADER,
  NFTA_BITWISE_MASK,
  NFTA_BITWISE_XOR,
  NFTA_CMP_DATA,
  NFTA_CMP_OP,
  NFTA_DATA_VALUE,
  NFTA_META_DREG,
  NFTA_META_KEY,
  NFTA_PAYLOAD_BASE,
  NFTA_PAYLOAD_DREG,
  NFTA_PAYLOAD_LEN,
  NFTA_PAYLOAD_OFFSET,
  type NftExpression,
  OFFSETS,
  valueIn,
  VERDICTS,
} from "./register.ts";
import { hostOrder, maskBytes } from "./value.ts";

export type { NftExpression };

// Source: linux/netfilter/nf_tables.h, linux/netfilter.h, linux/netfilter/nf_nat.h.
const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;
const NFTA_BITWISE_SREG = 1;
const NFTA_BITWISE_DREG = 2;
const NFTA_BITWISE_LEN = 3;
const NFTA_CMP_SREG = 1;
const NFTA_IMMEDIATE_DREG = 1;
const NFTA_IMMEDIATE_DATA = 2;
const NFTA_MASQ_FLAGS = 1;
const NFTA_MATCH_NAME = 1;
const NFTA_MATCH_REV = 2;
const NFTA_MATCH_INFO = 3;
const NFTA_TARGET_NAME = 1;
const NFTA_TARGET_REV = 2;
const NFTA_TARGET_INFO = 3;

const NFT_REG_VERDICT = 0;
const NFT_REG_1 = 1;
const NF_NAT_RANGE_PROTO_RANDOM_FULLY = 16;
/** `struct xt_comment_info`. */
const XT_COMMENT_BYTES = 256;
const XT_MASQUERADE = "MASQUERADE";
const ALL_BITS = 0xffff_ffff;

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
        if (expression.mask !== ALL_BITS) mask(hostOrder(expression.mask));
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
      case "iptables masquerade":
        element("target", () => {
          writer.attributeText(NFTA_TARGET_NAME, XT_MASQUERADE);
          writer.attributeU32be(NFTA_TARGET_REV, 0);
          writer.attributeBytes(NFTA_TARGET_INFO, masqueradeInfo(expression));
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
      default:
        throw new TypeError(
          `Cannot encode expression ${
            expression.kind === "other" ? expression.name : expression.kind
          }: it is not one of ours`,
        );
    }
  }
}

/**
 * `struct nf_nat_ipv4_multi_range_compat` with one range, and for IPv6 `struct nf_nat_range`: flags, and no addresses or
 * ports.
 *
 * Source: linux/netfilter/nf_nat.h, as iptables-nft 1.8.9 fills them.
 */
function masqueradeInfo(
  { isFullyRandom, family }: { readonly isFullyRandom: boolean; readonly family: Family },
): Uint8Array {
  const flags = hostOrder(isFullyRandom ? NF_NAT_RANGE_PROTO_RANDOM_FULLY : 0);
  const info = new Uint8Array(family === AF_INET ? 24 : 40);
  if (family === AF_INET) info.set(hostOrder(1));
  info.set(flags, family === AF_INET ? 4 : 0);
  return info;
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
    if (name === "payload" || name === "meta" || name === "ct") {
      loaded = data && LOADERS[name](data, family);
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
    expressions.filter(({ kind }) => kind !== "counter").map((expression) => {
      if ("prefix" in expression) return { ...expression, prefix: formatPrefix(expression.prefix) };
      return expression.kind === "iptables masquerade"
        ? { kind: "other", name: `target ${XT_MASQUERADE}` }
        : expression;
    }),
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
