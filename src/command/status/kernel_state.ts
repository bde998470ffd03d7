import { type Address, FAMILIES, type Family, formatMac, formatPrefix } from "../../model/address.ts";
import {
  FDB,
  hasGateway,
  NEIGHBOUR,
  NO_SLOT,
  readAddress,
  readMac,
  ROUTE,
  routeDestination,
  routeProtocol,
} from "../../model/rows.ts";
import type { ObservedAddress, ObservedLink } from "../../model/state.ts";
import { Table } from "../../model/table.ts";
import { isOurVtep } from "../../model/vtep.ts";
import { AttributeReader } from "../../netlink/attribute.ts";
import type { NetlinkClient, WriteRequest } from "../../netlink/client.ts";
import { dumpAddresses } from "../../rtnetlink/address.ts";
import { dumpLinks } from "../../rtnetlink/link.ts";
import { LinkSlots } from "../../rtnetlink/link_slots.ts";
import { RTPROT_BOOT, RTPROT_LODEN } from "../../rtnetlink/route_header.ts";
import { ROW_CODECS } from "../../rtnetlink/row_codecs.ts";
import type { RowCodec } from "../../rtnetlink/row_codec.ts";

/** The bridge of the plugin `bridge` unless it is told otherwise. */
const BRIDGE = "cni0";

/** A route to another host's subnet. */
export interface KernelRoute {
  /** `10.244.3.0/24`. */
  readonly destination: string;
  /** The link that it leaves by; `undefined` for none. */
  readonly linkIndex: number | undefined;
  /** `undefined` where it has none of its own. */
  readonly gateway: Address | undefined;
}

/** A VTEP, and what hangs on it. */
export interface KernelVtep {
  readonly link: ObservedLink;
  readonly family: Family;
  readonly routes: readonly KernelRoute[];
  /** The MAC of each permanent neighbour. */
  readonly neighbours: ReadonlyMap<Address, string>;
  /** The underlay address of each MAC; `undefined` for an entry that has none. */
  readonly fdb: ReadonlyMap<string, Address | undefined>;
}

/** What of the overlay the kernel holds, whether or not an agent runs. */
export interface KernelState {
  readonly links: readonly ObservedLink[];
  /** The addresses of all links. */
  readonly addresses: readonly ObservedAddress[];
  readonly vteps: readonly KernelVtep[];
  /** Routes with our protocol that leave by another link than a VTEP, or by none. */
  readonly direct: readonly KernelRoute[];
  /** The bridge of the pods, where there is one. */
  readonly bridge: ObservedLink | undefined;
}

/**
 * Reads what of the overlay is in the kernel: VTEPs by their names and VNI, the routes over them whoever made them, as
 * flannel's have no mark of their own, and routes with our protocol over any other link.
 *
 * @throws {NetlinkError} If the kernel refuses to say.
 */
export function readKernelState(client: NetlinkClient): KernelState {
  const links = dumpLinks(client);
  const slots = new LinkSlots(links.map(({ linkIndex }) => linkIndex));
  const routes = new Map<number | undefined, KernelRoute[]>();
  for (const family of FAMILIES) {
    const ours = (linkIndex: number, protocol: number) =>
      readRoutes(client, links, slots, { family, linkIndex, protocol });
    for (const route of ours(0, RTPROT_LODEN)) push(routes, route.linkIndex, route);
    for (const { linkIndex } of links.filter(isOurVtep)) {
      for (const route of ours(linkIndex, RTPROT_BOOT)) push(routes, linkIndex, route);
    }
  }
  const vteps = links.filter(isOurVtep).map((link): KernelVtep => {
    const family: Family = link.name.startsWith("flannel-v6.") ? 10 : 2;
    return {
      link,
      family,
      routes: routes.get(link.linkIndex) ?? [],
      ...readVtep(client, link, slots, family),
    };
  });
  const isOverVtep = (linkIndex: number | undefined) =>
    vteps.some(({ link }) => link.linkIndex === linkIndex);
  return {
    links,
    addresses: dumpAddresses(client, 0),
    vteps,
    direct: [...routes].flatMap(([linkIndex, some]) => isOverVtep(linkIndex) ? [] : some),
    bridge: links.find(({ name, kind }) => name === BRIDGE && kind === "bridge"),
  };
}

function push(
  map: Map<number | undefined, KernelRoute[]>,
  key: number | undefined,
  value: KernelRoute,
): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

function readRoutes(
  client: NetlinkClient,
  links: readonly ObservedLink[],
  slots: LinkSlots,
  { family, linkIndex, protocol }: {
    readonly family: Family;
    readonly linkIndex: number;
    readonly protocol: number;
  },
): KernelRoute[] {
  const { words, count } = readTable(
    client,
    ROW_CODECS.routes,
    slots,
    (writer, sequence) => ROW_CODECS.routes.encodeDump(writer, sequence, family, linkIndex, protocol),
  );
  const routes: KernelRoute[] = [];
  for (let at = 0; at < count * ROUTE.words; at += ROUTE.words) {
    const slot = words[at + ROUTE.slot]!;
    // Old kernels answer with all that they have.
    if (routeProtocol(words, at) !== protocol || words[at] !== family) continue;
    const index = slot === NO_SLOT ? undefined : links[slot]!.linkIndex;
    if (linkIndex !== 0 && index !== linkIndex) continue;
    routes.push({
      destination: formatPrefix(routeDestination(words, at)),
      linkIndex: index,
      gateway: hasGateway(words, at) ? readAddress(words, at + ROUTE.gateway, family) : undefined,
    });
  }
  return routes;
}

function readVtep(
  client: NetlinkClient,
  { linkIndex }: ObservedLink,
  slots: LinkSlots,
  family: Family,
): Pick<KernelVtep, "neighbours" | "fdb"> {
  const rowsOf = (name: "neighbours" | "fdb") =>
    readTable(
      client,
      ROW_CODECS[name],
      slots,
      (writer, sequence) => ROW_CODECS[name].encodeDump(writer, sequence, family, linkIndex),
    );
  const neighbours = new Map<Address, string>();
  const fdb = new Map<string, Address | undefined>();
  const near = rowsOf("neighbours");
  for (let at = 0; at < near.count * NEIGHBOUR.words; at += NEIGHBOUR.words) {
    const { words } = near;
    neighbours.set(
      readAddress(words, at + NEIGHBOUR.address, words[at + NEIGHBOUR.family] as Family),
      formatMac(readMac(words, at + NEIGHBOUR.mac)),
    );
  }
  const far = rowsOf("fdb");
  for (let at = 0; at < far.count * FDB.words; at += FDB.words) {
    const { words } = far;
    const of = words[at + FDB.family] as Family | 0;
    const address = of === 0 ? undefined : readAddress(words, at + FDB.underlayAddress, of);
    fdb.set(formatMac(readMac(words, at + FDB.mac)), address);
  }
  return { neighbours, fdb };
}

function readTable(client: NetlinkClient, codec: RowCodec, slots: LinkSlots, write: WriteRequest): Table {
  const table = new Table(codec.layout);
  let attributes: AttributeReader | undefined;
  client.dump(`read ${codec.noun}`, write, () => table.clear(), (message) => {
    codec.decode(message, attributes ??= new AttributeReader(message.view), slots, table);
  });
  return table;
}
