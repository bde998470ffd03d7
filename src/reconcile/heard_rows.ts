import { AF_INET, AF_INET6 } from "../model/address.ts";
import { FDB, NEIGHBOUR, ROUTE, ROUTE_SELECTIVE, routeProtocol } from "../model/rows.ts";
import type { StateTables } from "../model/state.ts";
import { Table } from "../model/table.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import type { AttributeReader } from "../netlink/attribute.ts";
import type { MessageReader } from "../netlink/message.ts";
import { AF_BRIDGE } from "../rtnetlink/fdb.ts";
import { LinkSlots } from "../rtnetlink/link_slots.ts";
import {
  NDA_DST,
  NDA_LLADDR,
  NEIGHBOUR_HEADER_BYTES,
  RTM_DELNEIGH,
  RTM_NEWNEIGH,
} from "../rtnetlink/neighbour.ts";
import {
  ROUTE_HEADER_BYTES,
  RTA_DST,
  RTA_PRIORITY,
  RTM_DELROUTE,
  RTM_NEWROUTE,
  RTPROT_LODEN,
} from "../rtnetlink/route_header.ts";
import { ROW_CODECS } from "../rtnetlink/row_codecs.ts";
import type { WantedRows } from "./wanted_rows.ts";

/** A row that somebody has changed, by its key. */
export interface NamedRow {
  readonly table: keyof StateTables;
  /** A row of which the key counts. */
  readonly words: Uint32Array;
}

/** What a notification about a row asks for: a look at that row, at everything, or at nothing, as all is as wanted. */
export type Heard = NamedRow | "all" | "nothing";

/** What notifications are held against. */
export interface HeardScene {
  readonly state: StateTables;
  readonly rows: WantedRows;
  /** The kernel's link index of each slot. */
  readonly linkIndexes: readonly number[];
}

/** One row of each table, to decode into. */
const SCRATCH: StateTables = {
  neighbours: new Table(NEIGHBOUR, 1),
  fdb: new Table(FDB, 1),
  routes: new Table(ROUTE, 1),
};

/**
 * Says what is to be looked at after a notification about a neighbour or an FDB entry of a VTEP, or about a route of the main
 * table to a cluster network.
 *
 * @throws {SyntaxError} If the message is malformed.
 */
export function judgeHeard(message: MessageReader, attributes: AttributeReader, scene: HeardScene): Heard {
  const { state, rows, linkIndexes } = scene;
  const slots = new LinkSlots(linkIndexes);
  const named = nameOf(message, attributes, slots);
  if (named === undefined) return "all";
  const { table, words } = named;
  const row = rows.find(table, words, 0);
  if (row === undefined) return "all";
  const isGone = message.type === RTM_DELNEIGH || message.type === RTM_DELROUTE;
  if (isGone) {
    if (table === "routes") return row >= 0 && isOwnRoute(words) ? named : "all";
    // Where nothing is to be, nothing is.
    return row >= 0 ? named : "nothing";
  }
  const there = decoded(message, attributes, slots, table);
  if (row >= 0 && there !== undefined && isSame(there, state[table], row)) return "nothing";
  if (table === "neighbours") return row >= 0 ? named : there === undefined ? "nothing" : "all";
  // Beside an FDB entry there may be another with its key now, and before a route another way.
  return table === "fdb" && row < 0 && there === undefined ? "nothing" : "all";
}

/** The row that a message is about, of which the key is filled in, and a route's protocol; `undefined` for none. */
function nameOf(message: MessageReader, attributes: AttributeReader, slots: LinkSlots): NamedRow | undefined {
  const { type, view, start, end } = message;
  if (type === RTM_NEWNEIGH || type === RTM_DELNEIGH) {
    message.requireHeader(NEIGHBOUR_HEADER_BYTES);
    const family = view.getUint8(start);
    const slot = slots.slotOf(view.getInt32(start + 4, LITTLE_ENDIAN));
    attributes.reset(start + NEIGHBOUR_HEADER_BYTES, end);
    if (family === AF_BRIDGE) {
      const words = new Uint32Array(FDB.words);
      words[FDB.slot] = slot;
      while (attributes.next()) if (attributes.type === NDA_LLADDR) attributes.macWords(words, FDB.mac);
      return { table: "fdb", words };
    }
    if (family !== AF_INET && family !== AF_INET6) return undefined;
    const words = new Uint32Array(NEIGHBOUR.words);
    words[NEIGHBOUR.slot] = slot;
    words[NEIGHBOUR.family] = family;
    while (attributes.next()) {
      if (attributes.type === NDA_DST) attributes.addressWords(words, NEIGHBOUR.address);
    }
    return { table: "neighbours", words };
  }
  if (type !== RTM_NEWROUTE && type !== RTM_DELROUTE) return undefined;
  message.requireHeader(ROUTE_HEADER_BYTES);
  const words = new Uint32Array(ROUTE.words);
  words[ROUTE.family] = view.getUint8(start);
  words[ROUTE.length] = view.getUint8(start + 1);
  // `rtm_src_len` and `rtm_tos`.
  words[ROUTE.traits] = view.getUint8(start + 5) | (view.getUint16(start + 2) === 0 ? 0 : ROUTE_SELECTIVE);
  attributes.reset(start + ROUTE_HEADER_BYTES, end);
  while (attributes.next()) {
    if (attributes.type === RTA_DST) attributes.addressWords(words, ROUTE.destination);
    else if (attributes.type === RTA_PRIORITY) words[ROUTE.metric] = attributes.u32();
  }
  return { table: "routes", words };
}

function isOwnRoute(words: Uint32Array): boolean {
  return routeProtocol(words, 0) === RTPROT_LODEN && (words[ROUTE.traits]! & ROUTE_SELECTIVE) === 0;
}

/** What a message says that there is now, if it is of a kind that is ours. */
function decoded(
  message: MessageReader,
  attributes: AttributeReader,
  slots: LinkSlots,
  table: keyof StateTables,
): Uint32Array | undefined {
  const scratch = SCRATCH[table];
  scratch.clear();
  const count = ROW_CODECS[table].decode(message, attributes, slots, scratch);
  return count === 1 ? scratch.words : undefined;
}

function isSame(words: Uint32Array, { words: rows, layout }: Table, row: number): boolean {
  for (let word = 0; word < layout.words; word++) {
    if (words[word] !== rows[row * layout.words + word]) return false;
  }
  return true;
}
