import { AF_INET, AF_INET6, type Family, familyOf } from "../model/address.ts";
import { FDB, NEIGHBOUR, NEXT_HOP, ROUTE } from "../model/rows.ts";
import type {
  DesiredLink,
  ObservedAddress,
  ObservedLink,
  StateTables,
  UnderlayLink,
  VxlanLink,
} from "../model/state.ts";
import { Table } from "../model/table.ts";
import { dumpAddresses } from "../netlink/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { queryLink } from "../netlink/link.ts";
import { LinkSlots } from "../netlink/link_slots.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import { type MessageReader } from "../netlink/message.ts";
import { decodeFdbEntry, decodeNeighbour, encodeFdbDump, encodeNeighbourDump } from "../netlink/neighbour.ts";
import { decodeNextHop, encodeNextHopDump } from "../netlink/next_hop.ts";
import { decodeRoute, encodeRouteDump } from "../netlink/route.ts";

/** Reads what this host holds of ours. Nothing is remembered but the memory to read into. */
export class Observer {
  readonly #client: NetlinkClient;
  readonly #hasNextHopObjects: boolean;
  readonly #tables: StateTables = {
    neighbours: new Table(NEIGHBOUR),
    fdb: new Table(FDB),
    nextHops: new Table(NEXT_HOP),
    routes: new Table(ROUTE),
  };

  constructor(client: NetlinkClient, options: { hasNextHopObjects: boolean }) {
    this.#client = client;
    this.#hasNextHopObjects = options.hasNextHopObjects;
  }

  /** The kernel's index of each link that the last look found. */
  linkIndexes: readonly number[] = [];

  /** The link of each slot by name; `undefined` where there is none. */
  links(wanted: readonly DesiredLink[]): (ObservedLink | undefined)[] {
    const links = wanted.map(({ name }) => queryLink(this.#client, name));
    this.linkIndexes = links.flatMap((link) => link?.linkIndex ?? []);
    return links;
  }

  /** The addresses on the given links. */
  addresses(links: readonly (ObservedLink | undefined)[]): ObservedAddress[] {
    return links.flatMap((link) => link === undefined ? [] : dumpAddresses(this.#client, link.linkIndex));
  }

  /**
   * The four tables, as far as they are about the given links. Valid until the next call.
   *
   * @param linkIndexes The kernel's link index of each slot.
   * @throws {NetlinkError} If the kernel refused a dump.
   */
  tables(wanted: readonly DesiredLink[], linkIndexes: readonly number[]): StateTables {
    const slots = new LinkSlots(linkIndexes);
    for (const table of Object.values(this.#tables) as Table[]) table.clear();
    for (const [slot, link] of wanted.entries()) {
      const linkIndex = linkIndexes[slot]!;
      if (linkIndex === 0) continue;
      if (link.kind === "vxlan") this.#vtep(link, linkIndex, slots, slot);
      else this.#underlay(link, linkIndex, slots, slot);
    }
    return this.#tables;
  }

  #vtep(link: VxlanLink, linkIndex: number, slots: LinkSlots, slot: number): void {
    const family = familyOf(link.local);
    const { neighbours, fdb, nextHops } = this.#tables;
    this.#dump(
      `read neighbours of ${link.name}`,
      neighbours,
      (writer, sequence) => encodeNeighbourDump(writer, sequence, family, linkIndex),
      (message, attributes) => decodeNeighbour(message, attributes, slots, neighbours),
    );
    this.#dump(
      `read FDB of ${link.name}`,
      fdb,
      (writer, sequence) => encodeFdbDump(writer, sequence, linkIndex),
      (message, attributes) => decodeFdbEntry(message, attributes, slots, fdb),
    );
    if (this.#hasNextHopObjects && family === AF_INET) {
      this.#dump(
        `read next hops of ${link.name}`,
        nextHops,
        (writer, sequence) => encodeNextHopDump(writer, sequence, linkIndex),
        (message, attributes) => decodeNextHop(message, attributes, slots, nextHops),
      );
    }
    this.#routes(link.name, family, linkIndex, slots, slot);
  }

  #underlay(link: UnderlayLink, linkIndex: number, slots: LinkSlots, slot: number): void {
    for (const family of [AF_INET, AF_INET6] as const) {
      this.#routes(link.name, family, linkIndex, slots, slot);
    }
  }

  #routes(name: string, family: Family, linkIndex: number, slots: LinkSlots, slot: number): void {
    const { routes } = this.#tables;
    this.#dump(
      `read routes of ${name}`,
      routes,
      (writer, sequence) => encodeRouteDump(writer, sequence, family, linkIndex),
      (message, attributes) => decodeRoute(message, attributes, slots, slot, routes),
    );
  }

  /** Appends one dump to a table; an interrupted one takes back what it appended. */
  #dump(
    action: string,
    table: Table,
    write: Parameters<NetlinkClient["dump"]>[1],
    decode: (message: MessageReader, attributes: AttributeReader) => void,
  ): void {
    const before = table.count;
    let attributes: AttributeReader | undefined;
    this.#client.dump(
      action,
      write,
      () => table.truncate(before),
      (message) => decode(message, attributes ??= new AttributeReader(message.view)),
    );
  }
}
