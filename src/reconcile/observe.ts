import { AF_INET, type Family, familyOf } from "../model/address.ts";
import { FDB, NEIGHBOUR, NEXT_HOP, ROUTE } from "../model/rows.ts";
import type {
  DesiredLink,
  DesiredState,
  ObservedAddress,
  ObservedLink,
  StateTables,
  VxlanLink,
} from "../model/state.ts";
import { Table } from "../model/table.ts";
import { dumpAddresses } from "../netlink/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { queryLink } from "../netlink/link.ts";
import { withMasterName } from "../netlink/link_master.ts";
import { LinkSlots } from "../netlink/link_slots.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import { type MessageReader } from "../netlink/message.ts";
import { decodeFdbEntry, decodeNeighbour, encodeFdbDump, encodeNeighbourDump } from "../netlink/neighbour.ts";
import { decodeNextHop, encodeNextHopDump } from "../netlink/next_hop.ts";
import { decodeRoute, encodeRouteDump, RTPROT_BOOT, RTPROT_LODEN } from "../netlink/route.ts";

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
    const links = wanted.map(({ name }) => withMasterName(this.#client, queryLink(this.#client, name)));
    this.linkIndexes = links.flatMap((link) => link?.linkIndex ?? []);
    return links;
  }

  /** The addresses on the given links. */
  addresses(links: readonly (ObservedLink | undefined)[]): ObservedAddress[] {
    return links.flatMap((link) => link === undefined ? [] : dumpAddresses(this.#client, link.linkIndex));
  }

  /**
   * The four tables, as far as they can be ours: what hangs on the VTEPs, flannel's routes over these, and, over any
   * link or none, routes and next hops with our protocol. Valid until the next call.
   *
   * @param linkIndexes The kernel's link index of each slot.
   * @param unread Told of a family of which not everything could be read, and why, and the other one is read all the
   * same; where absent that is thrown.
   */
  tables(
    { links, networks }: Pick<DesiredState, "links" | "networks">,
    linkIndexes: readonly number[],
    unread: (family: Family, error: unknown) => void = rethrow,
  ): StateTables {
    const slots = new LinkSlots(linkIndexes, this.#tables.nextHops);
    for (const table of Object.values(this.#tables) as Table[]) table.clear();
    for (const family of networks.map(({ address }) => familyOf(address))) {
      try {
        // Routes come behind the next hops, which may be all that knows their links.
        if (this.#hasNextHopObjects && family === AF_INET) this.#nextHops(slots);
        this.#routes("read routes", family, 0, slots, RTPROT_LODEN);
        for (const [slot, link] of links.entries()) {
          const linkIndex = linkIndexes[slot]!;
          if (link.kind !== "vxlan" || familyOf(link.local) !== family || linkIndex === 0) continue;
          this.#vtep(link, linkIndex, slots);
        }
      } catch (error) {
        unread(family, error);
      }
    }
    return this.#tables;
  }

  #nextHops(slots: LinkSlots): void {
    const { nextHops } = this.#tables;
    this.#dump(
      "read next hops",
      nextHops,
      (writer, sequence) => encodeNextHopDump(writer, sequence, 0),
      (message, attributes) => decodeNextHop(message, attributes, slots, nextHops),
    );
  }

  #vtep(link: VxlanLink, linkIndex: number, slots: LinkSlots): void {
    const family = familyOf(link.local);
    const { neighbours, fdb } = this.#tables;
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
    this.#routes(`read routes of ${link.name}`, family, linkIndex, slots, RTPROT_BOOT);
  }

  #routes(action: string, family: Family, linkIndex: number, slots: LinkSlots, protocol: number): void {
    const { routes } = this.#tables;
    this.#dump(
      action,
      routes,
      (writer, sequence) => encodeRouteDump(writer, sequence, family, linkIndex, protocol),
      (message, attributes) => decodeRoute(message, attributes, slots, protocol, routes),
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

function rethrow(_: Family, error: unknown): never {
  throw error;
}
