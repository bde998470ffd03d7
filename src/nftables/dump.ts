import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { EINVAL, isErrno, NetlinkError } from "../linux/errno.ts";
import { type MessageReader, NLM_F_DUMP } from "../netlink/message.ts";
import {
  encodeHeader,
  HEADER_BYTES,
  type HookLink,
  NFT_MSG_DELCHAIN,
  NFT_MSG_DELRULE,
  NFT_MSG_DELTABLE,
  NFT_MSG_GETCHAIN,
  NFT_MSG_GETGEN,
  NFT_MSG_GETRULE,
  NFT_MSG_GETTABLE,
  NFT_MSG_NEWCHAIN,
  NFT_MSG_NEWGEN,
  NFT_MSG_NEWRULE,
  NFT_MSG_NEWTABLE,
  NFT_TABLE_F_DORMANT,
  NFTA_CHAIN_HANDLE,
  NFTA_CHAIN_HOOK,
  NFTA_CHAIN_NAME,
  NFTA_CHAIN_POLICY,
  NFTA_CHAIN_TABLE,
  NFTA_CHAIN_TYPE,
  NFTA_DEVICE_NAME,
  NFTA_DEVICE_PREFIX,
  NFTA_GEN_ID,
  NFTA_GEN_PROC_NAME,
  NFTA_GEN_PROC_PID,
  NFTA_HOOK_DEV,
  NFTA_HOOK_DEVS,
  NFTA_HOOK_HOOKNUM,
  NFTA_HOOK_PRIORITY,
  NFTA_RULE_CHAIN,
  NFTA_RULE_EXPRESSIONS,
  NFTA_RULE_HANDLE,
  NFTA_RULE_TABLE,
  NFTA_RULE_USERDATA,
  NFTA_TABLE_FLAGS,
  NFTA_TABLE_NAME,
  type NftChain,
  type NftHook,
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
      if (reply.type === NFT_MSG_NEWGEN) ({ generation } = decodeGeneration(reply));
    });
  } catch (error) {
    // What nfnetlink answers for a subsystem that nobody has registered.
    if (!isErrno(error, EINVAL)) throw error;
    throw new NetlinkError(action, EINVAL, "this kernel has no nf_tables; load the module nf_tables");
  }
  return generation;
}

/** The rules' state after a transaction, and who has made it. */
export interface Generation {
  readonly generation: number;
  /** Of the process, as the host numbers it; 0 where that is not said. */
  readonly pid: number;
  /** The first 15 letters of its program. */
  readonly program: string;
}

/** Decodes what a message of the type `NFT_MSG_NEWGEN` says. */
export function decodeGeneration(message: MessageReader): Generation {
  const attributes = attributesOf(message, NFT_MSG_NEWGEN)!;
  let [generation, pid, program] = [0, 0, ""];
  while (attributes.next()) {
    if (attributes.type === NFTA_GEN_ID) generation = attributes.u32be();
    else if (attributes.type === NFTA_GEN_PROC_PID) pid = attributes.u32be();
    else if (attributes.type === NFTA_GEN_PROC_NAME) program = attributes.text();
  }
  return { generation, pid, program };
}

/** What a notification is about, as far as it names tables, chains or rules. */
const SUBJECTS: Readonly<Record<number, { readonly chain: number; readonly handle: number }>> = {
  [NFT_MSG_NEWTABLE]: { chain: 0, handle: 0 },
  [NFT_MSG_DELTABLE]: { chain: 0, handle: 0 },
  [NFT_MSG_NEWCHAIN]: { chain: NFTA_CHAIN_NAME, handle: NFTA_CHAIN_HANDLE },
  [NFT_MSG_DELCHAIN]: { chain: NFTA_CHAIN_NAME, handle: NFTA_CHAIN_HANDLE },
  [NFT_MSG_NEWRULE]: { chain: NFTA_RULE_CHAIN, handle: 0 },
  [NFT_MSG_DELRULE]: { chain: NFTA_RULE_CHAIN, handle: 0 },
};

/** The table, and the chain in it, that a message about a table, a chain or a rule names; `undefined` for any other. */
export function decodeSubject(
  message: MessageReader,
): NftTable & { readonly chain: string | undefined; readonly handle: string } | undefined {
  const places = SUBJECTS[message.type];
  if (places === undefined) return undefined;
  const attributes = attributesOf(message, message.type)!;
  let [table, chain, handle] = ["", undefined as string | undefined, ""];
  while (attributes.next()) {
    // The same in a table's message, a chain's and a rule's.
    if (attributes.type === NFTA_TABLE_NAME) table = attributes.text();
    else if (attributes.type === places.chain) chain = attributes.text();
    else if (attributes.type === places.handle) handle = String(attributes.u64be());
    // What a rule says stands behind its names.
    if (table !== "" && chain !== undefined && (handle !== "" || places.handle === 0)) break;
  }
  return { family: message.view.getUint8(message.start), table, chain, handle };
}

/** A table as the kernel has it. */
export interface FoundTable extends NftTable {
  /** Whether the kernel runs none of its chains: they stand there, and do nothing. */
  readonly isDormant: boolean;
}

/** Reads all tables. */
export function dumpTables(client: NetlinkClient): FoundTable[] {
  const tables: FoundTable[] = [];
  client.dump("read tables of rules", (writer, sequence) => {
    writer.begin(NFT_MSG_GETTABLE, NLM_F_DUMP, sequence);
    encodeHeader(writer, 0);
    writer.end();
  }, () => {
    tables.length = 0;
  }, (reply) => {
    const attributes = attributesOf(reply, NFT_MSG_NEWTABLE);
    if (attributes === undefined) return;
    let [table, flags] = ["", 0];
    while (attributes.next()) {
      if (attributes.type === NFTA_TABLE_NAME) table = attributes.text();
      else if (attributes.type === NFTA_TABLE_FLAGS) flags = attributes.u32be();
    }
    const family = reply.view.getUint8(reply.start);
    tables.push({ family, table, isDormant: (flags & NFT_TABLE_F_DORMANT) !== 0 });
  });
  return tables;
}

/** Those chains that the kernel runs: all but those of dormant tables. */
export function awakeChains<T extends NftTable>(chains: Iterable<T>, tables: readonly FoundTable[]): T[] {
  const name = ({ family, table }: NftTable) => `${family} ${table}`;
  const asleep = new Set(tables.filter(({ isDormant }) => isDormant).map(name));
  return [...chains].filter((chain) => !asleep.has(name(chain)));
}

/** Reads those chains that are of interest, by family, table and handle. */
export function dumpChains(
  client: NetlinkClient,
  isOfInterest: (chain: NftChain) => boolean,
): Map<string, NftChain> {
  const chains = new Map<string, NftChain>();
  client.dump(
    "read chains of rules",
    (writer, sequence) => {
      writer.begin(NFT_MSG_GETCHAIN, NLM_F_DUMP, sequence);
      encodeHeader(writer, 0);
      writer.end();
    },
    () => chains.clear(),
    (reply) => {
      const chain = decodeChain(reply);
      if (chain === undefined || !isOfInterest(chain)) return;
      chains.set(`${chain.family} ${chain.table} ${decodeSubject(reply)?.handle}`, chain);
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
  let hook: Pick<NftHook, "hook" | "priority" | "links"> | undefined;
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

function decodeHook(members: AttributeReader): Pick<NftHook, "hook" | "priority" | "links"> {
  let [hook, priority] = [-1, 0];
  const links: HookLink[] = [];
  while (members.next()) {
    if (members.type === NFTA_HOOK_HOOKNUM) hook = members.u32be();
    else if (members.type === NFTA_HOOK_PRIORITY) priority = members.u32be() | 0;
    // Where there is one alone, it may stand in the list of them too.
    else if (members.type === NFTA_HOOK_DEV) links.push({ name: members.text(), isPrefix: false });
    else if (members.type === NFTA_HOOK_DEVS) {
      const list = members.nested();
      while (list.next()) {
        if (list.type !== NFTA_DEVICE_NAME && list.type !== NFTA_DEVICE_PREFIX) continue;
        links.push({ name: list.text(), isPrefix: list.type === NFTA_DEVICE_PREFIX });
      }
    }
  }
  return { hook, priority, ...links.length > 0 && { links } };
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
