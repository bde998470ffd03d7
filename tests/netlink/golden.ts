import { assertEquals } from "@std/assert";
import { parseAddress, parseMac, parsePrefix } from "../../src/model/address.ts";
import {
  FDB,
  FDB_FOREIGN_TRAIT,
  NEIGHBOUR,
  ROUTE,
  ROUTE_BY_OBJECT,
  ROUTE_FOREIGN_TRAIT,
  ROUTE_ONLINK,
  ROUTE_SELECTIVE,
  ROUTE_SHARED,
  writeFamilyAddress,
  writeMac,
} from "../../src/model/rows.ts";
import { Table } from "../../src/model/table.ts";
import { AttributeReader } from "../../src/netlink/attribute.ts";
import {
  MESSAGE_HEADER_BYTES,
  MessageReader,
  MessageWriter,
  NLM_F_ACK,
  NLM_F_DUMP,
} from "../../src/netlink/message.ts";
import { LITTLE_ENDIAN } from "../../src/linux/byte_order.ts";

/** Bytes from hexadecimal text; blanks and line ends do not count. */
export function fromHex(wire: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromHex(wire.replaceAll(/\s/g, ""));
}

/** A request as iproute2 sends it, and how ours is made. */
export interface RequestCase {
  /** What was traced: `strace -e trace=sendmsg,sendto -e write=all COMMAND`, iproute2 6.1. */
  readonly command: string;
  /** The one message that asks for it, without iproute2's look-ups before it. */
  readonly wire: string;
  readonly write: (writer: MessageWriter, sequence: number) => void;
  /**
   * How ours differs where it does. Absent: byte for byte the same. Without `replace` only the order of
   * attributes differs; with it, these fields of iproute2's message as `describeMessage()` names them.
   */
  readonly differs?: {
    readonly why: string;
    readonly replace?: Readonly<Record<string, string | undefined>>;
  };
}

/** Our message for a case, with the sequence number and the ack flag of iproute2's. */
function encodeCase(request: RequestCase): Uint8Array {
  const wire = fromHex(request.wire);
  const reader = new MessageReader(wire);
  reader.reset(wire.length);
  reader.next();
  const writer = new MessageWriter(16);
  request.write(writer, reader.sequence);
  const isDump = (reader.flags & NLM_F_DUMP) === NLM_F_DUMP && reader.type % 4 === 2;
  if (!isDump && reader.flags & NLM_F_ACK) writer.addFlags(NLM_F_ACK);
  return writer.bytes;
}

/** `IFLA_LINKINFO`, `IFLA_INFO_DATA` in it, and `RTA_METRICS`. */
const NESTED: Readonly<Record<number, readonly string[]>> = { 16: ["18", "18.2"], 24: ["8"] };
const HEADER_BYTES: Readonly<Record<number, number>> = { 4: 16, 5: 8, 6: 12, 7: 12, 8: 12, 26: 8 };

/** A message as names and hexadecimal values, so that the order of its attributes does not count. */
function describeMessage(bytes: Uint8Array): Record<string, string> {
  const reader = new MessageReader(bytes);
  reader.reset(bytes.length);
  if (!reader.next()) throw new SyntaxError("Cannot describe a message: there is none");
  const { type, flags, start, end, view } = reader;
  const headerBytes = HEADER_BYTES[type >> 2]!;
  const hex = (from: number, to: number) => bytes.subarray(from, to).toHex();
  const fields: Record<string, string> = { type: String(type), flags: flags.toString(16) };
  fields.header = hex(start, start + headerBytes);
  const walk = (from: number, to: number, path: string) => {
    const attributes = new AttributeReader(view, from, to);
    while (attributes.next()) {
      const name = `${path}${attributes.type}`;
      if (NESTED[type]?.includes(name)) walk(attributes.start, attributes.end, `${name}.`);
      else fields[name] = hex(attributes.start, attributes.end);
    }
  };
  walk(start + headerBytes, end, "");
  return fields;
}

/** What `describeMessage()` must say of our message for a case. */
function expectedDescription(request: RequestCase): Record<string, string> {
  const fields = describeMessage(fromHex(request.wire));
  for (const [name, value] of Object.entries(request.differs?.replace ?? {})) {
    if (value === undefined) delete fields[name];
    else fields[name] = value;
  }
  return fields;
}

/** Compares our message with iproute2's for every case, as the case says. */
export function testRequests(kind: string, requests: readonly RequestCase[]): void {
  for (const request of requests) {
    const but = request.differs === undefined ? "" : `, but ${request.differs.why}`;
    Deno.test(`the ${kind} request is that of \`${request.command}\`${but}`, () => {
      const ours = encodeCase(request);
      assertEquals(describeMessage(ours), expectedDescription(request));
      if (request.differs === undefined) assertEquals(ours.toHex(), fromHex(request.wire).toHex());
    });
  }
}

/** Calls `each` for every message of a captured reply. */
export function eachMessage(
  bytes: Uint8Array,
  each: (message: MessageReader, attributes: AttributeReader) => void,
): void {
  const reader = new MessageReader(bytes);
  const attributes = new AttributeReader(reader.view);
  reader.reset(bytes.length);
  while (reader.next()) each(reader, attributes);
}

/** Makes a refusal's or a reply's sequence number ours, in place. */
export function setSequence(bytes: Uint8Array, sequence: number): void {
  eachMessage(bytes, (message) => {
    message.view.setUint32(message.start - MESSAGE_HEADER_BYTES + 8, sequence, LITTLE_ENDIAN);
  });
}

/** A route in words that a person reads; see `ROUTE`. */
export interface RouteText {
  readonly to: string;
  readonly slot?: number;
  readonly via?: string;
  /** The next-hop object that it leaves by. */
  readonly objectId?: number;
  readonly metric?: number;
  readonly mtuBytes?: number;
  readonly protocol?: number;
  readonly scope?: number;
  /** `RTN_*`; unicast if absent. */
  readonly type?: number;
  readonly onlink?: boolean;
  readonly isForeign?: boolean;
  /** For one TOS or source. */
  readonly isSelective?: boolean;
  /** One of several next hops. */
  readonly isShared?: boolean;
}

/** A table of routes from text. */
export function routeTable(rows: readonly RouteText[]): Table {
  const table = new Table(ROUTE);
  for (const row of rows) {
    const at = table.push();
    const words = table.storage;
    const prefix = parsePrefix(row.to);
    writeFamilyAddress(words, at, prefix.address);
    words[at + ROUTE.length] = prefix.length;
    words[at + ROUTE.slot] = row.slot ?? 0;
    words[at + ROUTE.metric] = row.metric ?? 0;
    words[at + ROUTE.mtuBytes] = row.mtuBytes ?? 0;
    words[at + ROUTE.traits] = (row.protocol ?? 76) | (row.scope ?? 0) << 8 | (row.type ?? 1) << 16 |
      (row.onlink ? ROUTE_ONLINK : 0) | (row.isForeign ? ROUTE_FOREIGN_TRAIT : 0) |
      (row.objectId === undefined ? 0 : ROUTE_BY_OBJECT) | (row.isSelective ? ROUTE_SELECTIVE : 0) |
      (row.isShared ? ROUTE_SHARED : 0);
    words[at + ROUTE.gateway] = row.objectId ?? 0;
    if (row.via !== undefined) {
      // The family before a gateway is not kept: it is the destination's.
      const gateway = new Uint32Array(5);
      writeFamilyAddress(gateway, 0, parseAddress(row.via));
      words.set(gateway.subarray(1), at + ROUTE.gateway);
    }
  }
  return table;
}

/** A neighbour in words that a person reads; see `NEIGHBOUR`. */
export interface NeighbourText {
  readonly address: string;
  readonly mac: string;
  readonly slot?: number;
  /** `NUD_*` bits; permanent if absent. */
  readonly state?: number;
}

/** A table of neighbours from text. */
export function neighbourTable(rows: readonly NeighbourText[]): Table {
  const table = new Table(NEIGHBOUR);
  for (const row of rows) {
    const at = table.push();
    const words = table.storage;
    words[at] = row.slot ?? 0;
    writeFamilyAddress(words, at + NEIGHBOUR.family, parseAddress(row.address));
    writeMac(words, at + NEIGHBOUR.mac, parseMac(row.mac));
    words[at + NEIGHBOUR.state] = row.state ?? 0x80;
  }
  return table;
}

/** An FDB entry in words that a person reads; see `FDB`. */
export interface FdbText {
  readonly mac: string;
  readonly to?: string;
  readonly slot?: number;
  readonly isForeign?: boolean;
  /** `NUD_*` bits; permanent if absent. */
  readonly state?: number;
}

/** A table of FDB entries from text. */
export function fdbTable(rows: readonly FdbText[]): Table {
  const table = new Table(FDB);
  for (const row of rows) {
    const at = table.push();
    const words = table.storage;
    words[at] = row.slot ?? 0;
    writeMac(words, at + FDB.mac, parseMac(row.mac));
    if (row.to !== undefined) writeFamilyAddress(words, at + FDB.family, parseAddress(row.to));
    words[at + FDB.state] = (row.state ?? 0x80) | (row.isForeign ? FDB_FOREIGN_TRAIT : 0);
  }
  return table;
}
