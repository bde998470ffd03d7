import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { NLM_F_DUMP } from "../netlink/message.ts";
import { encodeHeader, HEADER_BYTES, type NftTable } from "./objects.ts";
import { attributesIn, type RawRule } from "./raw_rule.ts";

// linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h.
const NFT_MSG_NEWSETELEM = 0x0a0c;
const NFT_MSG_GETSETELEM = 0x0a0d;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NF_DROP = 0;

const NFTA_META_KEY = 2;
const NFTA_LOOKUP_SET = 1;
const NFTA_LOOKUP_DREG = 3;
/** `NFT_META_IIFNAME` and `NFT_META_OIFNAME`. */
const LINK_NAMES: readonly number[] = [6, 7];

/** The map of verdicts that a rule looks a link's name up in, and nothing else; `undefined` where it does not. */
export function linkMapOf({ expressions }: RawRule): string | undefined {
  const [meta, lookup, ...others] = expressions.filter(({ name }) => name !== "counter");
  if (meta?.name !== "meta" || lookup?.name !== "lookup" || others.length > 0) return undefined;
  const key = meta.attributes.get(NFTA_META_KEY);
  if (key === undefined || !LINK_NAMES.includes(u32be(key)) || !lookup.attributes.has(NFTA_LOOKUP_DREG)) {
    return undefined;
  }
  const set = lookup.attributes.get(NFTA_LOOKUP_SET);
  return set && nameOf(set);
}

/** A text that ends with a zero, as names of links and sets do. */
export function nameOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).replace(/\0.*$/s, "");
}

/** The keys for which a map of verdicts drops a packet, as bytes. */
export function dumpDroppedKeys(
  client: NetlinkClient,
  { family, table, set }: NftTable & { readonly set: string },
): Uint8Array[] {
  const keys: Uint8Array[] = [];
  client.dump(
    `read map ${set} of table ${table}`,
    (writer, sequence) => {
      writer.begin(NFT_MSG_GETSETELEM, NLM_F_DUMP, sequence);
      encodeHeader(writer, family);
      writer.attributeText(NFTA_SET_ELEM_LIST_TABLE, table);
      writer.attributeText(NFTA_SET_ELEM_LIST_SET, set);
      writer.end();
    },
    () => keys.length = 0,
    ({ type, view, start, end }) => {
      if (type !== NFT_MSG_NEWSETELEM) return;
      const reader = new AttributeReader(view, start + HEADER_BYTES, end);
      while (reader.next()) {
        if (reader.type === NFTA_SET_ELEM_LIST_ELEMENTS) keys.push(...droppedIn(reader.bytes()));
      }
    },
  );
  return keys;
}

function droppedIn(list: Uint8Array): Uint8Array[] {
  const keys: Uint8Array[] = [];
  const reader = new AttributeReader(
    new DataView(list.buffer, list.byteOffset, list.length),
    0,
    list.length,
  );
  while (reader.next()) {
    const element = attributesIn(reader.bytes());
    const [key, data] = [element.get(NFTA_SET_ELEM_KEY), element.get(NFTA_SET_ELEM_DATA)];
    const value = key && attributesIn(key).get(NFTA_DATA_VALUE);
    const verdict = data && attributesIn(data).get(NFTA_DATA_VERDICT);
    const code = verdict && attributesIn(verdict).get(NFTA_VERDICT_CODE);
    if (value !== undefined && code !== undefined && u32be(code) === NF_DROP) keys.push(value);
  }
  return keys;
}

function u32be(bytes: Uint8Array): number {
  return bytes.length < 4 ? -1 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}
