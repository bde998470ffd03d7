import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { type MessageReader, NLM_F_DUMP } from "../netlink/message.ts";
import {
  encodeHeader,
  HEADER_BYTES,
  NFT_MSG_GETRULE,
  NFT_MSG_NEWRULE,
  NFTA_RULE_CHAIN,
  NFTA_RULE_EXPRESSIONS,
  NFTA_RULE_HANDLE,
  NFTA_RULE_TABLE,
  NFTA_RULE_USERDATA,
  type NftTable,
} from "./objects.ts";
import { decodeComment } from "./value.ts";

const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;

/** One expression of a rule as the kernel has it. */
export interface RawExpression {
  /** `payload`, `cmp`, `immediate`. */
  readonly name: string;
  /** The payloads of its attributes, by their type. */
  readonly attributes: ReadonlyMap<number, Uint8Array>;
}

/** A rule with all that it says, whoever wrote it. */
export interface RawRule extends NftTable {
  readonly chain: string;
  readonly handle: bigint;
  readonly comment?: string;
  readonly expressions: readonly RawExpression[];
}

/** Attributes in a payload, by their type; the last of two counts. */
export function attributesIn(bytes: Uint8Array): ReadonlyMap<number, Uint8Array> {
  return membersOf(
    new AttributeReader(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length),
  );
}

function membersOf(reader: AttributeReader): Map<number, Uint8Array> {
  const members = new Map<number, Uint8Array>();
  while (reader.next()) members.set(reader.type, reader.bytes());
  return members;
}

/** All rules of all tables, or of one chain, each chain's in its order. */
export function dumpRawRules(client: NetlinkClient, of?: NftTable & { readonly chain: string }): RawRule[] {
  const rules: RawRule[] = [];
  client.dump(
    of === undefined ? "read all rules" : `read rules of chain ${of.chain}`,
    (writer, sequence) => {
      writer.begin(NFT_MSG_GETRULE, NLM_F_DUMP, sequence);
      encodeHeader(writer, of?.family ?? 0);
      if (of !== undefined) {
        writer.attributeText(NFTA_RULE_TABLE, of.table);
        writer.attributeText(NFTA_RULE_CHAIN, of.chain);
      }
      writer.end();
    },
    () => void (rules.length = 0),
    (reply) => {
      const rule = decodeRawRule(reply);
      if (rule === undefined) return;
      // An old kernel may not know the filter, and tells of all.
      if (of === undefined || rule.table === of.table && rule.chain === of.chain) rules.push(rule);
    },
  );
  return rules;
}

/**
 * Decodes a rule; `undefined` for any other message.
 *
 * @throws {SyntaxError} If it is malformed.
 */
export function decodeRawRule(reply: MessageReader): RawRule | undefined {
  if (reply.type !== NFT_MSG_NEWRULE) return undefined;
  reply.requireHeader(HEADER_BYTES);
  const { view, start, end } = reply;
  const attributes = new AttributeReader(view, start + HEADER_BYTES, end);
  let [table, chain, handle] = ["", "", 0n];
  let comment: string | undefined;
  const expressions: RawExpression[] = [];
  while (attributes.next()) {
    if (attributes.type === NFTA_RULE_TABLE) table = attributes.text();
    else if (attributes.type === NFTA_RULE_CHAIN) chain = attributes.text();
    else if (attributes.type === NFTA_RULE_HANDLE) handle = attributes.u64be();
    else if (attributes.type === NFTA_RULE_USERDATA) comment = decodeComment(attributes.bytes());
    else if (attributes.type === NFTA_RULE_EXPRESSIONS) {
      const list = attributes.nested();
      while (list.next()) {
        if (list.type !== NFTA_LIST_ELEM) continue;
        const members = membersOf(list.nested());
        const name = new TextDecoder().decode(members.get(NFTA_EXPR_NAME)).replace(/\0.*$/s, "");
        expressions.push({ name, attributes: attributesIn(members.get(NFTA_EXPR_DATA) ?? new Uint8Array()) });
      }
    }
  }
  const family = view.getUint8(start);
  return { family, table, chain, handle, expressions, ...comment !== undefined && { comment } };
}
