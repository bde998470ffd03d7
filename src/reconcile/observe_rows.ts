import { encodeRouteQuery, ENETUNREACH } from "../rtnetlink/route_query.ts";
import { ENOENT } from "../linux/errno.ts";
import type { Family } from "../model/address.ts";
import { FDB, NEIGHBOUR, readAddress, ROUTE, ROUTE_SELECTIVE, routeProtocol } from "../model/rows.ts";
import type { StateTables } from "../model/state.ts";
import type { Table } from "../model/table.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient, WriteRequest } from "../netlink/client.ts";
import type { MessageReader } from "../netlink/message.ts";
import { encodeFdbQuery } from "../rtnetlink/fdb.ts";
import { LinkSlots } from "../rtnetlink/link_slots.ts";
import { encodeNeighbourQuery } from "../rtnetlink/neighbour.ts";
import { RTPROT_LODEN } from "../rtnetlink/route_header.ts";
import { ROW_CODECS } from "../rtnetlink/row_codecs.ts";
import { emptyLike, rowsOf, TABLES } from "./wanted_rows.ts";

/** What is asked for one row. */
const QUERIES: Readonly<
  Record<keyof StateTables, (words: Uint32Array, at: number, linkIndexes: readonly number[]) => WriteRequest>
> = {
  neighbours: (words, at, linkIndexes) => (writer, sequence) =>
    encodeNeighbourQuery(writer, sequence, words, at, linkIndexes[words[at + NEIGHBOUR.slot]!]!),
  fdb: (words, at, linkIndexes) => (writer, sequence) =>
    encodeFdbQuery(writer, sequence, words, at, linkIndexes[words[at + FDB.slot]!]!),
  routes: (words, at) => (writer, sequence) =>
    encodeRouteQuery(writer, sequence, {
      destination: readAddress(words, at + ROUTE.destination, words[at] as Family),
    }),
};

/**
 * What the kernel has of some rows, each asked for by its key; `undefined` where that does not say all that a whole look
 * would: another's route to the same destination or to a part of it, an address that the kernel refuses, a rule that leads
 * elsewhere.
 *
 * The kernel has answered for one neighbour and for one FDB entry since Linux 5.0.
 *
 * @param keys Rows of which the keys count.
 * @param linkIndexes The kernel's link index of each slot.
 * @throws {NetlinkError} If the kernel refused.
 */
export function observeRows(
  client: NetlinkClient,
  keys: StateTables,
  linkIndexes: readonly number[],
): StateTables | undefined {
  const observed = emptyLike(keys);
  const slots = new LinkSlots(linkIndexes);
  for (const name of TABLES) {
    const { words } = keys[name];
    const table = observed[name];
    for (const at of rowsOf(keys[name])) {
      const before = table.count;
      const isAbsent = !ask(client, name, QUERIES[name](words, at, linkIndexes), slots, table);
      if (isAbsent) continue;
      const added = table.count - before;
      if (name !== "routes") {
        // One that is not permanent is none of ours, as in a dump.
        if (added > 0 && !isSameKey(table, before, words, at)) return undefined;
        continue;
      }
      const fate = added === 1 ? judgeRoute(table, before, words, at) : "odd";
      if (fate === "odd") return undefined;
      if (fate === "absent") table.truncate(before);
    }
  }
  return observed;
}

/** Asks for one row, which is appended to `table`; reports whether there is any answer. */
function ask(
  client: NetlinkClient,
  name: keyof StateTables,
  write: WriteRequest,
  slots: LinkSlots,
  table: Table,
): boolean {
  const codec = ROW_CODECS[name];
  const decode = (message: MessageReader) =>
    void codec.decode(message, new AttributeReader(message.view), slots, table);
  const absent = name === "routes" ? ENETUNREACH : ENOENT;
  return client.ask(`look at one of the ${codec.noun}`, write, decode, absent);
}

/** What the route that the kernel takes for the first address of a destination says of ours. */
function judgeRoute(table: Table, row: number, words: Uint32Array, at: number): "ours" | "absent" | "odd" {
  const found = table.words;
  const foundAt = row * ROUTE.words;
  const length = found[foundAt + ROUTE.length]!;
  if (length < words[at + ROUTE.length]!) return "absent";
  const isOurs = isSameKey(table, row, words, at) && routeProtocol(found, foundAt) === RTPROT_LODEN &&
    (found[foundAt + ROUTE.traits]! & ROUTE_SELECTIVE) === 0;
  return isOurs ? "ours" : "odd";
}

function isSameKey({ words: found, layout }: Table, row: number, words: Uint32Array, at: number): boolean {
  for (let word = 0; word < layout.keyWords; word++) {
    if (found[row * layout.words + word] !== words[at + word]) return false;
  }
  return true;
}
