import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { EINVAL, isErrno, NetlinkError } from "../linux/errno.ts";
import { type MessageReader, NLM_F_DUMP } from "../netlink/message.ts";
import {
  encodeHeader,
  HEADER_BYTES,
  NFT_MSG_GETCHAIN,
  NFT_MSG_GETGEN,
  NFT_MSG_GETRULE,
  NFT_MSG_GETTABLE,
  NFT_MSG_NEWCHAIN,
  NFT_MSG_NEWGEN,
  NFT_MSG_NEWRULE,
  NFT_MSG_NEWTABLE,
  NFTA_CHAIN_HOOK,
  NFTA_CHAIN_NAME,
  NFTA_CHAIN_POLICY,
  NFTA_CHAIN_TABLE,
  NFTA_CHAIN_TYPE,
  NFTA_GEN_ID,
  NFTA_HOOK_HOOKNUM,
  NFTA_HOOK_PRIORITY,
  NFTA_RULE_CHAIN,
  NFTA_RULE_EXPRESSIONS,
  NFTA_RULE_HANDLE,
  NFTA_RULE_TABLE,
  NFTA_RULE_USERDATA,
  NFTA_TABLE_NAME,
  type NftChain,
  type NftRule,
  type NftTable,
  POLICY,
} from "./objects.ts";
import { decodeExpressions, type NftExpression } from "./expression.ts";
import { decodeComment } from "./value.ts";

/**
 * The number of the rules' present state: another one after each transaction, also of another program.
 *
 * @throws {NetlinkError} If the kernel has no nf_tables.
 */
export function readGeneration(client: NetlinkClient): number {
  const action = "read the generation of the rules";
  let generation = 0;
  try {
    client.request(action, (writer, sequence) => {
      writer.begin(NFT_MSG_GETGEN, 0, sequence);
      encodeHeader(writer, 0);
      writer.end();
    }, (reply) => {
      const attributes = attributesOf(reply, NFT_MSG_NEWGEN);
      while (attributes?.next()) if (attributes.type === NFTA_GEN_ID) generation = attributes.u32be();
    });
  } catch (error) {
    // What nfnetlink answers for a subsystem that nobody has registered.
    if (!isErrno(error, EINVAL)) throw error;
    throw new NetlinkError(action, EINVAL, "this kernel has no nf_tables; load the module nf_tables");
  }
  return generation;
}

/** Reads all tables. */
export function dumpTables(client: NetlinkClient): NftTable[] {
  const tables: NftTable[] = [];
  client.dump("read tables of rules", (writer, sequence) => {
    writer.begin(NFT_MSG_GETTABLE, NLM_F_DUMP, sequence);
    encodeHeader(writer, 0);
    writer.end();
  }, () => {
    tables.length = 0;
  }, (reply) => {
    const attributes = attributesOf(reply, NFT_MSG_NEWTABLE);
    while (attributes?.next()) {
      if (attributes.type === NFTA_TABLE_NAME) {
        tables.push({ family: reply.view.getUint8(reply.start), table: attributes.text() });
      }
    }
  });
  return tables;
}

/** Reads all chains. */
export function dumpChains(client: NetlinkClient): NftChain[] {
  const chains: NftChain[] = [];
  client.dump(
    "read chains of rules",
    (writer, sequence) => {
      writer.begin(NFT_MSG_GETCHAIN, NLM_F_DUMP, sequence);
      encodeHeader(writer, 0);
      writer.end();
    },
    () => void (chains.length = 0),
    (reply) => {
      const chain = decodeChain(reply);
      if (chain !== undefined) chains.push(chain);
    },
  );
  return chains;
}

/** Reads the rules of one chain, in their order. */
export function dumpRules(
  client: NetlinkClient,
  { family, table, chain }: Omit<NftChain, "base">,
): NftRule[] {
  const rules: NftRule[] = [];
  client.dump(
    `read rules of chain ${chain}`,
    (writer, sequence) => {
      writer.begin(NFT_MSG_GETRULE, NLM_F_DUMP, sequence);
      encodeHeader(writer, family);
      writer.attributeText(NFTA_RULE_TABLE, table);
      writer.attributeText(NFTA_RULE_CHAIN, chain);
      writer.end();
    },
    () => void (rules.length = 0),
    (reply) => {
      const rule = decodeRule(reply);
      // An old kernel may not know the filter, and tells of all.
      if (rule?.table === table && rule.chain === chain) rules.push(rule);
    },
  );
  return rules;
}

/** Decodes a chain; `undefined` for any other message. */
export function decodeChain(reply: MessageReader): NftChain | undefined {
  const attributes = attributesOf(reply, NFT_MSG_NEWCHAIN);
  if (attributes === undefined) return undefined;
  let [table, chain, type] = ["", "", ""];
  let hook: { hook: number; priority: number } | undefined;
  let policy: number = POLICY.accept;
  while (attributes.next()) {
    if (attributes.type === NFTA_CHAIN_TABLE) table = attributes.text();
    else if (attributes.type === NFTA_CHAIN_NAME) chain = attributes.text();
    else if (attributes.type === NFTA_CHAIN_TYPE) type = attributes.text();
    else if (attributes.type === NFTA_CHAIN_POLICY) policy = attributes.u32be();
    else if (attributes.type === NFTA_CHAIN_HOOK) hook = decodeHook(attributes.nested());
  }
  const family = reply.view.getUint8(reply.start);
  return { family, table, chain, base: hook && { ...hook, type, policy } };
}

function decodeHook(members: AttributeReader): { hook: number; priority: number } {
  let [hook, priority] = [-1, 0];
  while (members.next()) {
    if (members.type === NFTA_HOOK_HOOKNUM) hook = members.u32be();
    else if (members.type === NFTA_HOOK_PRIORITY) priority = members.u32be() | 0;
  }
  return { hook, priority };
}

/** Decodes a rule; `undefined` for any other message. */
export function decodeRule(reply: MessageReader): NftRule | undefined {
  const attributes = attributesOf(reply, NFT_MSG_NEWRULE);
  if (attributes === undefined) return undefined;
  const family = reply.view.getUint8(reply.start);
  let [table, chain, handle] = ["", "", 0n];
  let expressions: NftExpression[] = [];
  let comment: string | undefined;
  while (attributes.next()) {
    if (attributes.type === NFTA_RULE_TABLE) table = attributes.text();
    else if (attributes.type === NFTA_RULE_CHAIN) chain = attributes.text();
    else if (attributes.type === NFTA_RULE_HANDLE) handle = attributes.u64be();
    else if (attributes.type === NFTA_RULE_USERDATA) comment = decodeComment(attributes.bytes());
    else if (attributes.type === NFTA_RULE_EXPRESSIONS) {
      expressions = decodeExpressions(attributes.nested(), family);
    }
  }
  return { family, table, chain, handle, expressions, ...comment !== undefined && { comment } };
}

/** The attributes of a message of `type`; `undefined` for any other message. */
function attributesOf(reply: MessageReader, type: number): AttributeReader | undefined {
  if (reply.type !== type) return undefined;
  reply.requireHeader(HEADER_BYTES);
  return new AttributeReader(reply.view, reply.start + HEADER_BYTES, reply.end);
}
