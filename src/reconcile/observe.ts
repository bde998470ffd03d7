import { AF_INET, type Family, familyOf, type Prefix, prefixContains } from "../model/address.ts";
import {
  FDB,
  hasGateway,
  NEIGHBOUR,
  ROUTE,
  ROUTE_FOREIGN_TRAIT,
  ROUTE_ONLINK,
  routeDestination,
  routeProtocol,
  routeType,
} from "../model/rows.ts";
import type {
  DesiredLink,
  DesiredState,
  ObservedAddress,
  ObservedLink,
  ObservedTables,
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
import { decodeRoute, encodeRouteDump, RTN_UNICAST, RTPROT_BOOT, RTPROT_LODEN } from "../netlink/route.ts";

/** The metric of an IPv6 route that was made without one. */
const IP6_RT_PRIO_USER = 1024;

/** Reads what this host holds of ours. Nothing is remembered but the memory to read into. */
export class Observer {
  readonly #client: NetlinkClient;
  readonly #isAdopting: () => boolean;
  readonly #formerLinks: () => readonly number[];
  readonly #tables: ObservedTables = {
    neighbours: new Table(NEIGHBOUR),
    fdb: new Table(FDB),
    routes: new Table(ROUTE),
    foreignRoutes: new Table(ROUTE),
  };

  /**
   * @param options.isAdopting Whether flannel's routes over the underlay's link are taken for ours.
   * @param options.formerLinks The kernel's indexes of VTEPs that are ours, and not among those that are wanted.
   */
  constructor(
    client: NetlinkClient,
    options: {
      readonly isAdopting?: () => boolean;
      readonly formerLinks?: () => readonly number[];
    } = {},
  ) {
    this.#client = client;
    this.#isAdopting = options.isAdopting ?? (() => false);
    this.#formerLinks = options.formerLinks ?? (() => []);
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
   * What can be ours: what hangs on the VTEPs, flannel's routes over these, and routes to the cluster networks with our
   * protocol over any link or none; and others' routes to the cluster networks. Valid until the next call.
   *
   * @param linkIndexes The kernel's link index of each slot.
   * @param unread Told of a family of which not everything could be read, and why, and the other one is read all the
   * same; where absent that is thrown.
   */
  tables(
    { links, networks }: Pick<DesiredState, "links" | "networks">,
    linkIndexes: readonly number[],
    unread: (family: Family, error: unknown) => void = rethrow,
  ): ObservedTables {
    const slots = new LinkSlots(linkIndexes);
    const [isAdopting, formerLinks] = [this.#isAdopting(), this.#formerLinks()];
    for (const table of Object.values(this.#tables) as Table[]) table.clear();
    for (const family of new Set(networks.map(({ address }) => familyOf(address)))) {
      try {
        this.#routes(
          family,
          networks,
          slots,
          (words, at, linkIndex) =>
            isOurs(words, at, links, isAdopting) || formerLinks.includes(linkIndex) && isOfFlannel(words, at),
        );
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
  }

  /** Reads the routes of the main table to the cluster networks, each into the table of whose it is. */
  #routes(
    family: Family,
    networks: readonly Prefix[],
    slots: LinkSlots,
    isOwn: (words: Uint32Array, at: number, linkIndex: number) => boolean,
  ): void {
    const { routes, foreignRoutes } = this.#tables;
    const [ours, theirs] = [routes.count, foreignRoutes.count];
    let attributes: AttributeReader | undefined;
    this.#client.dump(
      "read routes",
      (writer, sequence) => encodeRouteDump(writer, sequence, family, 0),
      () => {
        routes.truncate(ours);
        foreignRoutes.truncate(theirs);
      },
      (message) => {
        const linkIndex = decodeRoute(
          message,
          attributes ??= new AttributeReader(message.view),
          slots,
          routes,
        );
        if (linkIndex === undefined) return;
        const at = (routes.count - 1) * ROUTE.words;
        const { storage } = routes;
        const isTo = isInNetworks(storage, at, networks);
        if (isTo && isOwn(storage, at, linkIndex)) return;
        if (isTo) {
          const row = foreignRoutes.push();
          foreignRoutes.storage.set(storage.subarray(at, at + ROUTE.words), row);
          foreignRoutes.storage[row + ROUTE.slot] = linkIndex;
        }
        routes.pop();
      },
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

/** Whether a route leads to a part of a cluster network. */
function isInNetworks(words: Uint32Array, at: number, networks: readonly Prefix[]): boolean {
  const { address, length } = routeDestination(words, at);
  return networks.some((network) => network.length <= length && prefixContains(network, address));
}

function isOfFlannel(words: Uint32Array, at: number): boolean {
  return routeProtocol(words, at) === RTPROT_BOOT;
}

/**
 * Whether a route to a cluster network is ours: with our protocol wherever it leads, and flannel's over a VTEP. Those of
 * its host-gw and DirectRouting look like what `ip route add` makes: they count only while flannel's are adopted.
 */
function isOurs(
  words: Uint32Array,
  at: number,
  links: readonly DesiredLink[],
  isAdopting: boolean,
): boolean {
  if (routeProtocol(words, at) === RTPROT_LODEN) return true;
  if (!isOfFlannel(words, at)) return false;
  const link: DesiredLink | undefined = links[words[at + ROUTE.slot]!];
  if (link?.kind !== "underlay") return link?.kind === "vxlan";
  const special = words[at + ROUTE.traits]! & (ROUTE_FOREIGN_TRAIT | ROUTE_ONLINK);
  const isPlain = special === 0 && routeType(words, at) === RTN_UNICAST;
  const metric = words[at] === AF_INET ? 0 : IP6_RT_PRIO_USER;
  const isAsMade = words[at + ROUTE.metric] === metric && words[at + ROUTE.mtuBytes] === 0;
  return isAdopting && isPlain && isAsMade && hasGateway(words, at);
}
