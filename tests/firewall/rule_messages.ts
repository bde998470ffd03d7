import { MessageWriter } from "../../src/netlink/message.ts";
import {
  addChain,
  encodeHeader,
  NFT_MSG_NEWCHAIN,
  NFT_MSG_NEWGEN,
  NFTA_CHAIN_HANDLE,
  NFTA_CHAIN_NAME,
  NFTA_CHAIN_TABLE,
  NFTA_GEN_ID,
  NFTA_GEN_PROC_NAME,
  NFTA_GEN_PROC_PID,
  NFTA_RULE_CHAIN,
  NFTA_RULE_TABLE,
  NFTA_TABLE_NAME,
  type NftChain,
} from "../../src/nftables/objects.ts";

// What the kernel tells of transactions, one message each.

function datagram(write: (writer: MessageWriter) => void, portId = 0): Uint8Array {
  const writer = new MessageWriter();
  write(writer);
  const bytes = writer.bytes.slice();
  new DataView(bytes.buffer).setUint32(12, portId, true);
  return bytes;
}

function message(type: number, attributes: (writer: MessageWriter) => void, portId?: number): Uint8Array {
  return datagram((writer) => {
    writer.begin(type, 0, 0);
    encodeHeader(writer, type === NFT_MSG_NEWGEN ? 0 : 2);
    attributes(writer);
    writer.end();
  }, portId);
}

/** That a transaction is over. */
export function newGeneration(generation: number, portId?: number): Uint8Array {
  return message(NFT_MSG_NEWGEN, (writer) => {
    writer.attributeU32be(NFTA_GEN_ID, generation);
    writer.attributeU32be(NFTA_GEN_PROC_PID, 4321);
    writer.attributeText(NFTA_GEN_PROC_NAME, "nft");
  }, portId);
}

/** That a rule has come or gone. */
export function aboutRule(type: number, table: string, chain: string): Uint8Array {
  return message(type, (writer) => {
    writer.attributeText(NFTA_RULE_TABLE, table);
    writer.attributeText(NFTA_RULE_CHAIN, chain);
  });
}

/** That a table has come or gone. */
export function aboutTable(type: number, table: string): Uint8Array {
  return message(type, (writer) => writer.attributeText(NFTA_TABLE_NAME, table));
}

/** That a chain has come, changed or gone. */
export function aboutChain(type: number, chain: NftChain, handle: bigint): Uint8Array {
  const plain = datagram((writer) => addChain(chain)(writer, 0));
  // The kernel names the handle, too: behind all else here, in front of the name there.
  return message(type, (writer) => {
    if (type !== NFT_MSG_NEWCHAIN) {
      writer.attributeText(NFTA_CHAIN_TABLE, chain.table);
      writer.attributeText(NFTA_CHAIN_NAME, chain.chain);
    } else for (const byte of plain.subarray(20)) writer.u8(byte);
    writer.attributeU64be(NFTA_CHAIN_HANDLE, handle);
  });
}
