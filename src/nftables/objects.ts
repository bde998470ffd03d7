import type { NetlinkClient } from "../netlink/client.ts";
import { type MessageWriter, NLM_F_APPEND, NLM_F_CREATE } from "../netlink/message.ts";
import { encodeExpressions, type NftExpression } from "./expression.ts";
import { encodeComment } from "./value.ts";

// nf_tables over nfnetlink. Source: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h, nft(8).

/** The multicast group that hears of every change of the rules. */
export const NFNLGRP_NFTABLES = 7;

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;
const NFNL_BATCH_GENID = 1;
/** `sizeof(struct nfgenmsg)`. */
export const HEADER_BYTES = 4;

const message = (type: number) => NFNL_SUBSYS_NFTABLES << 8 | type;
export const NFT_MSG_NEWTABLE = message(0);
export const NFT_MSG_GETTABLE = message(1);
export const NFT_MSG_DELTABLE = message(2);
export const NFT_MSG_NEWCHAIN = message(3);
export const NFT_MSG_GETCHAIN = message(4);
export const NFT_MSG_DELCHAIN = message(5);
export const NFT_MSG_NEWRULE = message(6);
export const NFT_MSG_GETRULE = message(7);
export const NFT_MSG_DELRULE = message(8);
/** A transaction is over; the kernel says it once for each, after all that was in it. */
export const NFT_MSG_NEWGEN = message(15);
export const NFT_MSG_GETGEN = message(16);

export const NFTA_GEN_ID = 1;
export const NFTA_GEN_PROC_PID = 2;
export const NFTA_GEN_PROC_NAME = 3;
export const NFTA_TABLE_NAME = 1;
export const NFTA_TABLE_FLAGS = 2;
/** The kernel runs no chain of such a table. */
export const NFT_TABLE_F_DORMANT = 1;
const NFTA_TABLE_USERDATA = 6;
export const NFTA_CHAIN_TABLE = 1;
export const NFTA_CHAIN_HANDLE = 2;
export const NFTA_CHAIN_NAME = 3;
export const NFTA_CHAIN_HOOK = 4;
export const NFTA_CHAIN_POLICY = 5;
export const NFTA_CHAIN_TYPE = 7;
const NFTA_CHAIN_USERDATA = 12;
export const NFTA_HOOK_HOOKNUM = 1;
export const NFTA_HOOK_PRIORITY = 2;
export const NFTA_HOOK_DEV = 3;
export const NFTA_HOOK_DEVS = 4;
/** In the list of the links of a hook: a name, or how names begin. */
export const NFTA_DEVICE_NAME = 1;
export const NFTA_DEVICE_PREFIX = 2;
export const NFTA_RULE_TABLE = 1;
export const NFTA_RULE_CHAIN = 2;
export const NFTA_RULE_HANDLE = 3;
export const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_RULE_POSITION = 6;
export const NFTA_RULE_USERDATA = 7;

/** `NF_INET_PRE_ROUTING`, `NF_INET_LOCAL_IN`, `NF_INET_FORWARD` and `NF_INET_POST_ROUTING`. */
export const HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
/** `NF_ACCEPT` and `NF_DROP`. */
export const POLICY = { drop: 0, accept: 1 } as const;

/** A table: `ip`, `ip6`, `inet` and others, by the number of their family. */
export interface NftTable {
  readonly family: number;
  readonly table: string;
}

/** Where a base chain is called from. */
export interface NftHook {
  readonly type: string;
  readonly hook: number;
  readonly priority: number;
  readonly policy: number;
  /** The links that it is called from, where it is called from links alone, as `ingress` is. */
  readonly links?: readonly HookLink[];
}

/** The name of a link that calls a chain, or how it begins. */
export interface HookLink {
  readonly name: string;
  readonly isPrefix: boolean;
}

/** A chain; one without a hook is only jumped to. */
export interface NftChain extends NftTable {
  readonly chain: string;
  readonly base: NftHook | undefined;
}

/** What a rule says. */
export interface NftRuleText {
  readonly expressions: readonly NftExpression[];
  /** What nft(8) shows behind it. */
  readonly comment?: string;
}

/** A rule as the kernel has it. */
export interface NftRule extends NftTable, NftRuleText {
  readonly chain: string;
  readonly handle: bigint;
}

/**
 * | offset | bytes | C field        | here                             |
 * | -----: | ----: | -------------- | -------------------------------- |
 * |      0 |     1 | `nfgen_family` | `family`                         |
 * |      1 |     1 | `version`      | 0                                |
 * |      2 |     2 | `res_id`       | the subsystem, of a batch's ends |
 *
 * Source: `struct nfgenmsg`, linux/netfilter/nfnetlink.h.
 */
export function encodeHeader(writer: MessageWriter, family: number, resource = 0): void {
  writer.u8(family);
  writer.u8(0);
  // In network order: the number is small.
  writer.u16(resource << 8);
}

function bound(writer: MessageWriter, type: number, sequence: number, generation?: number): void {
  writer.begin(type, 0, sequence);
  encodeHeader(writer, 0, NFNL_SUBSYS_NFTABLES);
  if (generation !== undefined) writer.attributeU32be(NFNL_BATCH_GENID, generation);
  writer.end();
}

/** What a change does. `rule` without a text is a rule that goes, by its handle, or all of its chain. */
export type NftAct =
  | { readonly verb: "add" | "delete"; readonly what: "table"; readonly at: NftTable }
  | { readonly verb: "add" | "delete"; readonly what: "chain"; readonly at: Omit<NftChain, "base"> }
  | {
    readonly verb: "add";
    readonly what: "rule";
    readonly at: Omit<NftRule, "handle">;
    /** The rule that it goes before; the end of the chain if absent. */
    readonly before: bigint | undefined;
  }
  | {
    readonly verb: "delete";
    readonly what: "rule";
    readonly at: Omit<NftChain, "base">;
    readonly handle: bigint | undefined;
  };

/** One change of a transaction, as a message. */
export interface NftChange {
  (writer: MessageWriter, sequence: number): void;
  readonly act: NftAct;
}

function changeOf(act: NftAct, write: (writer: MessageWriter, sequence: number) => void): NftChange {
  return Object.assign(write, { act });
}

/**
 * Carries out changes, all or none.
 *
 * @param generation What `readGeneration()` said before they were planned.
 * @throws {NetlinkError} `ERESTART` if another program has changed the rules since.
 */
export function changeRules(
  client: NetlinkClient,
  action: string,
  generation: number,
  changes: readonly NftChange[],
): void {
  client.transaction(action, (writer, next) => {
    bound(writer, NFNL_MSG_BATCH_BEGIN, next(), generation);
    for (const change of changes) change(writer, next());
    bound(writer, NFNL_MSG_BATCH_END, next());
  });
}

function tableMessage(
  verb: NftAct["verb"],
  [type, flags]: readonly [number, number],
  { family, table }: NftTable,
  comment?: string,
): NftChange {
  return changeOf({ verb, what: "table", at: { family, table } }, (writer, sequence) => {
    writer.begin(type, flags, sequence);
    encodeHeader(writer, family);
    writer.attributeText(NFTA_TABLE_NAME, table);
    if (comment !== undefined) writer.attributeBytes(NFTA_TABLE_USERDATA, encodeComment(comment));
    writer.end();
  });
}

/** Adds a table if it is not there; only a new one gets the comment. */
export const addTable = (table: NftTable, comment?: string): NftChange =>
  tableMessage("add", [NFT_MSG_NEWTABLE, NLM_F_CREATE], table, comment);

/** Deletes a table and all that is in it. */
export const deleteTable = (table: NftTable): NftChange =>
  tableMessage("delete", [NFT_MSG_DELTABLE, 0], table);

/** Adds a chain if it is not there; only a new one gets the comment. */
export function addChain({ family, table, chain, base }: NftChain, comment?: string): NftChange {
  return changeOf({ verb: "add", what: "chain", at: { family, table, chain } }, (writer, sequence) => {
    writer.begin(NFT_MSG_NEWCHAIN, NLM_F_CREATE, sequence);
    encodeHeader(writer, family);
    writer.attributeText(NFTA_CHAIN_TABLE, table);
    writer.attributeText(NFTA_CHAIN_NAME, chain);
    if (base !== undefined) {
      writer.nested(NFTA_CHAIN_HOOK, () => {
        writer.attributeU32be(NFTA_HOOK_HOOKNUM, base.hook);
        writer.attributeU32be(NFTA_HOOK_PRIORITY, base.priority >>> 0);
      });
      writer.attributeU32be(NFTA_CHAIN_POLICY, base.policy);
      writer.attributeText(NFTA_CHAIN_TYPE, base.type);
    }
    if (comment !== undefined) writer.attributeBytes(NFTA_CHAIN_USERDATA, encodeComment(comment));
    writer.end();
  });
}

/** Deletes a chain that is empty and that nothing jumps to. */
export function deleteChain(
  { family, table, chain }: Pick<NftChain, "family" | "table" | "chain">,
): NftChange {
  return changeOf({ verb: "delete", what: "chain", at: { family, table, chain } }, (writer, sequence) => {
    writer.begin(NFT_MSG_DELCHAIN, 0, sequence);
    encodeHeader(writer, family);
    writer.attributeText(NFTA_CHAIN_TABLE, table);
    writer.attributeText(NFTA_CHAIN_NAME, chain);
    writer.end();
  });
}

/** Adds a rule in front of the one with the handle `before`, else at the end of its chain. */
export function addRule(
  { family, table, chain, expressions, comment }: Omit<NftRule, "handle">,
  before?: bigint,
): NftChange {
  const at = { family, table, chain, expressions, ...comment !== undefined && { comment } };
  return changeOf({ verb: "add", what: "rule", at, before }, (writer, sequence) => {
    writer.begin(NFT_MSG_NEWRULE, NLM_F_CREATE | (before === undefined ? NLM_F_APPEND : 0), sequence);
    encodeHeader(writer, family);
    writer.attributeText(NFTA_RULE_TABLE, table);
    writer.attributeText(NFTA_RULE_CHAIN, chain);
    writer.nested(NFTA_RULE_EXPRESSIONS, () => encodeExpressions(writer, expressions));
    if (before !== undefined) writer.attributeU64be(NFTA_RULE_POSITION, before);
    if (comment !== undefined) writer.attributeBytes(NFTA_RULE_USERDATA, encodeComment(comment));
    writer.end();
  });
}

/** Deletes one rule, or without a handle all rules of a chain. */
export function deleteRule(
  { family, table, chain, handle }: Pick<NftRule, "family" | "table" | "chain"> & {
    readonly handle?: bigint;
  },
): NftChange {
  return changeOf(
    { verb: "delete", what: "rule", at: { family, table, chain }, handle },
    (writer, sequence) => {
      writer.begin(NFT_MSG_DELRULE, 0, sequence);
      encodeHeader(writer, family);
      writer.attributeText(NFTA_RULE_TABLE, table);
      writer.attributeText(NFTA_RULE_CHAIN, chain);
      if (handle !== undefined) writer.attributeU64be(NFTA_RULE_HANDLE, handle);
      writer.end();
    },
  );
}
