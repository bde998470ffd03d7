import { AttributeReader } from "../netlink/attribute.ts";
import { DumpInterruptedError, type NetlinkClient } from "../netlink/client.ts";
import { NetlinkError } from "../linux/errno.ts";
import { type MessageWriter, NLM_F_DUMP } from "../netlink/message.ts";
import { encodeHeader, HEADER_BYTES, type NftTable } from "./objects.ts";
import { rangeOf } from "./compare.ts";
import type { KnownBytes } from "./packet.ts";
import { attributesIn } from "./raw_rule.ts";

// The sets and maps that rules look into. Source: linux/netfilter/nf_tables.h, `enum nft_set_attributes` and those behind.

const NFT_MSG_NEWSET = 10 << 8 | 9;
const NFT_MSG_GETSET = 10 << 8 | 10;
const NFT_MSG_NEWSETELEM = 10 << 8 | 12;
const NFT_MSG_GETSETELEM = 10 << 8 | 13;
const NFTA_SET_TABLE = 1;
const NFTA_SET_NAME = 2;
const NFTA_SET_FLAGS = 3;
const NFTA_SET_KEY_LEN = 5;
const NFTA_SET_DESC = 9;
const NFTA_SET_DESC_CONCAT = 2;
const NFTA_SET_FIELD_LEN = 1;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_SET_ELEM_FLAGS = 3;
const NFTA_SET_ELEM_EXPRESSION = 7;
const NFTA_SET_ELEM_KEY_END = 10;
const NFTA_SET_ELEM_EXPRESSIONS = 11;
const NFTA_DATA_VALUE = 1;
const NFT_SET_INTERVAL = 0x4;
const NFT_SET_ELEM_INTERVAL_END = 0x1;
const NFT_SET_ELEM_CATCHALL = 0x2;
/** Sets with more elements are not read. */
const MOST_ELEMENTS = 65_536;

/** One element, as the kernel tells it. */
interface SetElement {
  readonly key: Uint8Array;
  /** The end of a range of several fields. */
  readonly keyEnd: Uint8Array | undefined;
  /** What it is mapped to: a value or a verdict, as attributes. */
  readonly data: Uint8Array | undefined;
  /** The first value behind a range that began with the element before. */
  readonly isEnd: boolean;
  readonly isCatchAll: boolean;
  /** Whether it has a limit or a quota of its own. */
  readonly isLimited: boolean;
}

/** A set or a map that rules look into. */
export interface RuleSet {
  readonly keyBytes: number;
  readonly isInterval: boolean;
  /** Bytes of the fields of a key; none where it is one value. */
  readonly fields: readonly number[];
  readonly elements: readonly SetElement[];
}

/** What a set says of a key; `found` is undefined where that is not known. */
export interface SetAnswer {
  readonly found: boolean | undefined;
  /** Of the element that was found. */
  readonly data?: Uint8Array;
}

/** Reads a set as a rule names it; `undefined` where it is gone, or too large. */
export function readRuleSet(client: NetlinkClient, table: NftTable, name: string): RuleSet | undefined {
  let set: Omit<RuleSet, "elements"> | undefined;
  let elements: SetElement[] = [];
  let isWhole = true;
  const names = (writer: MessageWriter) => {
    encodeHeader(writer, table.family);
    writer.attributeText(NFTA_SET_TABLE, table.table);
    writer.attributeText(NFTA_SET_NAME, name);
    writer.end();
  };
  try {
    client.ask("read a set of rules", (writer, sequence) => {
      writer.begin(NFT_MSG_GETSET, 0, sequence);
      names(writer);
    }, ({ type, view, start, end }) => {
      if (type === NFT_MSG_NEWSET) set = decodeSet(new AttributeReader(view, start + HEADER_BYTES, end));
    });
    client.dump(
      "read the elements of a set",
      (writer, sequence) => {
        writer.begin(NFT_MSG_GETSETELEM, NLM_F_DUMP, sequence);
        names(writer);
      },
      () => [elements, isWhole] = [[], true],
      ({ type, view, start, end }) => {
        if (type !== NFT_MSG_NEWSETELEM) return;
        const attributes = new AttributeReader(view, start + HEADER_BYTES, end);
        while (attributes.next()) {
          if (attributes.type !== NFTA_SET_ELEM_LIST_ELEMENTS) continue;
          const list = attributes.nested();
          while (list.next()) {
            if (elements.length < MOST_ELEMENTS) elements.push(decodeElement(attributesIn(list.bytes())));
            else isWhole = false;
          }
        }
      },
    );
  } catch (error) {
    // Gone since its rule was read, or of a kind that this kernel does not tell.
    if (error instanceof NetlinkError || error instanceof DumpInterruptedError) return undefined;
    throw error;
  }
  return set && isWhole ? { ...set, elements } : undefined;
}

function decodeSet(attributes: AttributeReader): Omit<RuleSet, "elements"> {
  let [flags, keyBytes] = [0, 0];
  const fields: number[] = [];
  while (attributes.next()) {
    if (attributes.type === NFTA_SET_FLAGS) flags = attributes.u32be();
    else if (attributes.type === NFTA_SET_KEY_LEN) keyBytes = attributes.u32be();
    else if (attributes.type === NFTA_SET_DESC) {
      const members = attributes.nested();
      while (members.next()) {
        if (members.type !== NFTA_SET_DESC_CONCAT) continue;
        const list = members.nested();
        while (list.next()) {
          const field = list.nested();
          while (field.next()) if (field.type === NFTA_SET_FIELD_LEN) fields.push(field.u32be());
        }
      }
    }
  }
  return { keyBytes, isInterval: (flags & NFT_SET_INTERVAL) !== 0, fields };
}

function decodeElement(members: ReadonlyMap<number, Uint8Array>): SetElement {
  const value = (type: number) => {
    const data = members.get(type);
    return data && attributesIn(data).get(NFTA_DATA_VALUE);
  };
  const flags = members.get(NFTA_SET_ELEM_FLAGS)?.[3] ?? 0;
  return {
    key: value(NFTA_SET_ELEM_KEY) ?? new Uint8Array(),
    keyEnd: value(NFTA_SET_ELEM_KEY_END),
    data: members.get(NFTA_SET_ELEM_DATA),
    isEnd: (flags & NFT_SET_ELEM_INTERVAL_END) !== 0,
    isCatchAll: (flags & NFT_SET_ELEM_CATCHALL) !== 0,
    isLimited: isLimitIn(members),
  };
}

/** A counter asks nothing. */
function isLimitIn(members: ReadonlyMap<number, Uint8Array>): boolean {
  if (members.has(NFTA_SET_ELEM_EXPRESSIONS)) return true;
  const one = members.get(NFTA_SET_ELEM_EXPRESSION);
  const name = one && attributesIn(one).get(1);
  return name !== undefined && !new TextDecoder().decode(name).startsWith("counter");
}

/** Looks a key up, as the kernel does. */
export function lookUp(set: RuleSet, key: KnownBytes | undefined): SetAnswer {
  if (key === undefined || key.bytes.length < set.keyBytes) return { found: undefined };
  const asked = key.bytes.subarray(0, set.keyBytes);
  const known = key.known?.subarray(0, set.keyBytes);
  const near = known === undefined ? elementOf(set, asked) : elementForAll(set, asked, known);
  if (near === "some") return { found: undefined };
  const element = near ?? set.elements.find(({ isCatchAll }) => isCatchAll);
  if (element === undefined) return { found: false };
  return { found: element.isLimited ? undefined : true, ...element.data && { data: element.data } };
}

/** The element that has all keys with those known bits, or none of them; `some` where it has some, or others have. */
function elementForAll(
  set: RuleSet,
  key: Uint8Array,
  known: Uint8Array,
): SetElement | "some" | undefined {
  const plain = set.elements.filter(({ isCatchAll }) => !isCatchAll);
  const [least, most] = rangeOf({ bytes: key, known }, key.length) as [Uint8Array, Uint8Array];
  if (!set.isInterval) {
    const isNear = (element: SetElement) =>
      key.every((byte, at) => ((byte ^ (element.key[at] ?? 0)) & known[at]!) === 0);
    return plain.some(isNear) ? "some" : undefined;
  }
  if (plain.some(({ keyEnd }) => keyEnd !== undefined) || set.fields.length > 1) {
    const met = plain.filter((element) => isMeeting(set, element, least, most));
    const isWhole = met.length === 1 && isBetween(set, met[0]!, least) && isBetween(set, met[0]!, most);
    return met.length === 0 ? undefined : isWhole ? met[0] : "some";
  }
  const isCut = plain.some((element) => order(element.key, least) > 0 && order(element.key, most) <= 0);
  return isCut ? "some" : elementOf(set, least);
}

/** Whether in each field some of the keys from `least` to `most` are in the element's range. */
function isMeeting(
  { fields, keyBytes }: RuleSet,
  { key: from, keyEnd: to = from }: SetElement,
  least: Uint8Array,
  most: Uint8Array,
): boolean {
  return partsOf(fields, keyBytes).every((part) =>
    order(part(from), part(most)) <= 0 && order(part(least), part(to)) <= 0
  );
}

function elementOf(set: RuleSet, key: Uint8Array): SetElement | undefined {
  const plain = set.elements.filter(({ isCatchAll }) => !isCatchAll);
  if (!set.isInterval) return plain.find((element) => order(element.key, key) === 0);
  if (plain.some(({ keyEnd }) => keyEnd !== undefined) || set.fields.length > 1) {
    return plain.find((element) => isBetween(set, element, key));
  }
  // The last that begins before it: where that is an end, no range has it.
  let nearest: SetElement | undefined;
  for (const element of plain) {
    if (order(element.key, key) > 0) continue;
    const ahead = nearest === undefined ? 1 : order(element.key, nearest.key);
    // One range may begin where another ends.
    if (ahead > 0 || ahead === 0 && !element.isEnd) nearest = element;
  }
  return nearest?.isEnd ? undefined : nearest;
}

/** Whether each field of a key is within its range. */
function isBetween(
  { fields, keyBytes }: RuleSet,
  { key: from, keyEnd: to = from }: SetElement,
  key: Uint8Array,
): boolean {
  return partsOf(fields, keyBytes).every((part) =>
    order(part(from), part(key)) <= 0 && order(part(key), part(to)) <= 0
  );
}

/** What cuts each field out of a key. */
function partsOf(fields: readonly number[], keyBytes: number): ((whole: Uint8Array) => Uint8Array)[] {
  let at = 0;
  return (fields.length === 0 ? [keyBytes] : fields).map((bytes) => {
    const from = at;
    at += Math.ceil(bytes / 4) * 4;
    return (whole: Uint8Array) => whole.subarray(from, from + bytes);
  });
}

/** Byte by byte, the first that differs. */
function order(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at < 0 ? a.length - b.length : a[at]! - (b[at] ?? 0);
}
