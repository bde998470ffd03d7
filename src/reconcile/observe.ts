import { AF_INET, type Family, familyOf, type Prefix, prefixContains } from "../model/address.ts";
import {
  FDB,
  hasGateway,
  NEIGHBOUR,
  ROUTE,
  ROUTE_FOREIGN_TRAIT,
  ROUTE_ONLINK,
  ROUTE_SELECTIVE,
  ROUTE_SHARED,
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
import { dumpAddresses } from "../rtnetlink/address.ts";
import { openRowTaker } from "../core/dump.ts";
import type { NetlinkClient, WriteRequest } from "../netlink/client.ts";
import type { DatagramTaker } from "../netlink/in_bulk.ts";
import { queryLink, withMasterName } from "../rtnetlink/link.ts";
import { LinkSlots } from "../rtnetlink/link_slots.ts";
import { RTN_UNICAST, RTPROT_BOOT, RTPROT_LODEN } from "../rtnetlink/route_header.ts";
import { ROW_CODECS } from "../rtnetlink/row_codecs.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import { type MessageReader } from "../netlink/message.ts";

/** The metric of an IPv6 route that was made without one. */
const IP6_RT_PRIO_USER = 1024;
/** The tables of what hangs on a VTEP alone. */
const ON_VTEP = ["neighbours", "fdb"] as const;

/** Reads what this host holds of ours. Nothing is remembered but the memory to read into. */
export class Observer {
  readonly #client: NetlinkClient;
  readonly #isAdopting: () => boolean;
  readonly #formerLinks: () => readonly number[];
  readonly #isPlain: boolean;
  readonly #tables: ObservedTables = {
    neighbours: new Table(NEIGHBOUR),
    fdb: new Table(FDB),
    routes: new Table(ROUTE),
    foreignRoutes: new Table(ROUTE),
  };

  /**
   * @param options.isAdopting Whether flannel's routes over the underlay's link are taken for ours.
   * @param options.formerLinks The kernel's indexes of VTEPs that are ours, and not among those that are wanted.
   * @param options.isPlain Whether nothing is decoded in the core, as in tests that compare.
   */
  constructor(
    client: NetlinkClient,
    options: {
      readonly isAdopting?: () => boolean;
      readonly formerLinks?: () => readonly number[];
      readonly isPlain?: boolean;
    } = {},
  ) {
    this.#client = client;
    this.#isAdopting = options.isAdopting ?? (() => false);
    this.#formerLinks = options.formerLinks ?? (() => []);
    this.#isPlain = options.isPlain ?? false;
  }

  /** The kernel's index of each link that the last look found. */
  linkIndexes: readonly number[] = [];
  /** Of those the VTEPs. */
  vtepIndexes: readonly number[] = [];

  /** The link of each slot by name; `undefined` where there is none. */
  links(wanted: readonly DesiredLink[]): (ObservedLink | undefined)[] {
    const links = wanted.map(({ name }) => withMasterName(this.#client, queryLink(this.#client, name)));
    const indexesOf = (slots: typeof links) => slots.flatMap((link) => link?.linkIndex ?? []);
    this.linkIndexes = indexesOf(links);
    this.vtepIndexes = indexesOf(links.filter((_, slot) => wanted[slot]!.kind === "vxlan"));
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
    for (const name of ON_VTEP) {
      const table = this.#tables[name];
      const codec = ROW_CODECS[name];
      const before = table.count;
      this.#dump(
        `read ${codec.noun} of ${link.name}`,
        (writer, sequence) => codec.encodeDump(writer, sequence, family, linkIndex),
        () => table.truncate(before),
        (message, attributes) => codec.decode(message, attributes, slots, table),
        this.#isPlain
          ? undefined
          : openRowTaker(name, table, { linkIndexes: slots.linkIndexes, networks: [] }),
      );
    }
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
    this.#dump(
      "read routes",
      (writer, sequence) => ROW_CODECS.routes.encodeDump(writer, sequence, family, 0),
      () => {
        routes.truncate(ours);
        foreignRoutes.truncate(theirs);
      },
      (message, attributes) => {
        const before = routes.count;
        ROW_CODECS.routes.decode(message, attributes, LINK_ITSELF, routes);
        // Of several IPv6 next hops only the first can be ours.
        for (let row = routes.count - 1; row >= before; row--) {
          if (this.#isOwnRow(row, networks, slots, isOwn)) break;
          routes.pop();
        }
      },
      this.#isPlain
        ? undefined
        : openRowTaker("routes", routes, { linkIndexes: slots.linkIndexes, networks }),
    );
  }

  /** Whether the last route, which has the kernel's link index for a slot, is ours; if not it is noted as foreign. */
  #isOwnRow(
    row: number,
    networks: readonly Prefix[],
    slots: LinkSlots,
    isOwn: (words: Uint32Array, at: number, linkIndex: number) => boolean,
  ): boolean {
    const { routes, foreignRoutes } = this.#tables;
    const { storage } = routes;
    const at = row * ROUTE.words;
    if (!isInNetworks(storage, at, networks)) return false;
    const linkIndex = storage[at + ROUTE.slot]!;
    storage[at + ROUTE.slot] = slots.slotOf(linkIndex);
    if (isOwn(storage, at, linkIndex)) {
      // What stands beside ours makes ours no other.
      storage[at + ROUTE.traits]! &= ~ROUTE_SHARED;
      return true;
    }
    if (isBehind(routes, row - 1, at)) return false;
    const foreignAt = foreignRoutes.push();
    foreignRoutes.storage.set(storage.subarray(at, at + ROUTE.words), foreignAt);
    foreignRoutes.storage[foreignAt + ROUTE.slot] = linkIndex;
    return false;
  }

  /** Decodes one dump; `restart` takes back what an interrupted one appended. */
  #dump(
    action: string,
    write: WriteRequest,
    restart: () => void,
    decode: (message: MessageReader, attributes: AttributeReader) => void,
    taker: DatagramTaker | undefined,
  ): void {
    let attributes: AttributeReader | undefined;
    this.#client.dump(
      action,
      write,
      restart,
      (message) => decode(message, attributes ??= new AttributeReader(message.view)),
      taker,
    );
  }
}

/** Lets a row hold the kernel's link index where it would hold a slot. */
const LINK_ITSELF = { slotOf: (linkIndex: number) => linkIndex };

/**
 * Whether a foreign IPv4 route stands behind one of ours with the same destination and metric, as what is appended
 * does: the kernel tells them in the order in which it tries them. Of IPv6 ones it takes several, or any.
 */
function isBehind({ storage }: Table, ourRow: number, at: number): boolean {
  if (ourRow < 0 || storage[at] !== AF_INET || storage[at + ROUTE.traits]! & ROUTE_SELECTIVE) return false;
  const ourAt = ourRow * ROUTE.words;
  for (let word = 0; word < ROUTE.keyWords; word++) {
    if (storage[ourAt + word] !== storage[at + word]) return false;
  }
  return true;
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
  if (words[at + ROUTE.traits]! & ROUTE_SELECTIVE) return false;
  if (routeProtocol(words, at) === RTPROT_LODEN) return true;
  if (!isOfFlannel(words, at)) return false;
  const link: DesiredLink | undefined = links[words[at + ROUTE.slot]!];
  if (link?.kind !== "underlay") return link?.kind === "vxlan";
  const special = words[at + ROUTE.traits]! & (ROUTE_FOREIGN_TRAIT | ROUTE_SHARED | ROUTE_ONLINK);
  const isPlain = special === 0 && routeType(words, at) === RTN_UNICAST;
  const metric = words[at] === AF_INET ? 0 : IP6_RT_PRIO_USER;
  const isAsMade = words[at + ROUTE.metric] === metric && words[at + ROUTE.mtuBytes] === 0;
  return isAdopting && isPlain && isAsMade && hasGateway(words, at);
}
