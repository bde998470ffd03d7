import {
  AF_INET,
  FAMILIES,
  type Family,
  formatPrefix,
  type Prefix,
  prefixContains,
} from "../../model/address.ts";
import {
  hasGateway,
  ROUTE,
  ROUTE_BY_OBJECT,
  ROUTE_SELECTIVE,
  ROUTE_SHARED,
  routeDestination,
  routeProtocol,
  routeType,
} from "../../model/rows.ts";
import type { ObservedLink } from "../../model/state.ts";
import { Table } from "../../model/table.ts";
import { EEXIST, errnoName, ESRCH } from "../../linux/errno.ts";
import { AttributeReader } from "../../netlink/attribute.ts";
import type { NetlinkClient } from "../../netlink/client.ts";
import { dumpLinks } from "../../rtnetlink/link.ts";
import { LinkSlots } from "../../rtnetlink/link_slots.ts";
import { routeCodec } from "../../rtnetlink/route.ts";
import { RTN_UNICAST, RTPROT_BOOT, RTPROT_LODEN } from "../../rtnetlink/route_header.ts";
import type { CleanupPlan, CleanupStep } from "../cleanup/cleanup_step.ts";

/** What the kernel makes of an IPv6 route that is made without a metric: `IP6_RT_PRIO_USER`. */
const IPV6_METRIC = 1024;
/** How many routes a sentence names. */
const NAMED = 3;

/** The routes of one family as the kernel has them, and what their slots stand for. */
interface Routes {
  readonly family: Family;
  readonly table: Table;
  readonly links: readonly ObservedLink[];
}

/** What is to become of our routes, by where their rows begin. */
interface Sorted {
  /** By link: those that get flanneld's form. */
  readonly turned: ReadonlyMap<string, readonly number[]>;
  /** Those in whose place flanneld's form stands already, or nothing is to stand. */
  readonly deleted: readonly number[];
  /** Those that another route stands beside, which flanneld's would be mixed up with. */
  readonly entangled: readonly number[];
}

/** Routes of ours that can't get flanneld's form, and why. */
interface RefusedRoutes {
  readonly verb: "turn";
  readonly object: string;
  readonly reason: string;
}

/** What is planned, and what can't be. */
export interface RoutesPlan extends CleanupPlan {
  readonly refused: readonly RefusedRoutes[];
}

/**
 * Plans how our routes get the form in which flanneld makes, replaces and deletes its own: made by `boot`, without a
 * metric or an MTU. The new one stands before the old one goes. Routes to `former` networks go, and so do those that
 * drop packets; what is to neither is another agent's.
 *
 * Source: flannel pkg/backend/vxlan, pkg/backend/route_network.go.
 *
 * @throws {NetlinkError} If the kernel refuses to say.
 */
export function planRoutes(
  client: NetlinkClient,
  networks: readonly Prefix[],
  former: readonly Prefix[],
): RoutesPlan {
  const links = dumpLinks(client);
  const steps: CleanupStep[] = [];
  const refused: RefusedRoutes[] = [];
  for (const family of FAMILIES) {
    const routes = readRoutes(client, family, links);
    const { turned, deleted, entangled } = sortRoutes(routes, networks, former);
    const ours = (at: number) => formatPrefix(routeDestination(routes.table.words, at));
    for (const [link, rows] of turned) {
      steps.push({
        verb: "turn",
        object: `${countOf(rows, "route", ours)} on ${link} into flanneld's`,
        run: () => turnRoutes(client, routes, rows),
      });
    }
    if (deleted.length > 0) {
      steps.push({
        verb: "delete",
        object: countOf(deleted, "route", ours),
        run: () => deleteRoutes(client, routes, deleted),
      });
    }
    if (entangled.length > 0) {
      refused.push({
        verb: "turn",
        object: countOf(entangled, "route", ours),
        reason: "another one to the same stands beside it, or it is one of an earlier version; remove that",
      });
    }
  }
  return { steps, kept: [], refused };
}

/** Where our routes lead, of whichever network. */
export function ownDestinations(client: NetlinkClient): Prefix[] {
  return FAMILIES.flatMap((family) => {
    const { words, layout, count } = readRoutes(client, family, []).table;
    return Array.from({ length: count }, (_, row) => row * layout.words)
      .filter((at) => isOurs(words, at))
      .map((at) => routeDestination(words, at));
  });
}

function readRoutes(client: NetlinkClient, family: Family, links: readonly ObservedLink[]): Routes {
  const table = new Table(ROUTE);
  const slots = new LinkSlots(links.map(({ linkIndex }) => linkIndex));
  client.dump(
    "read routes",
    (writer, sequence) => routeCodec.encodeDump(writer, sequence, family, 0),
    () => table.clear(),
    (message) => void routeCodec.decode(message, new AttributeReader(message.view), slots, table),
  );
  return { family, table, links };
}

/** Tells which routes are ours, and what is to become of each. */
function sortRoutes(
  { family, table, links }: Routes,
  networks: readonly Prefix[],
  former: readonly Prefix[],
): Sorted {
  const { words, layout, count } = table;
  const rows = Array.from({ length: count }, (_, row) => row * layout.words);
  const plain = new Map(
    rows.filter((at) => words[at + ROUTE.metric] === plainMetric(family) && !isOurs(words, at))
      .map((at) => [formatPrefix(routeDestination(words, at)), at]),
  );
  const turned = new Map<string, number[]>();
  const deleted: number[] = [];
  const entangled: number[] = [];
  for (const at of rows.filter((at) => isOurs(words, at))) {
    const destination = routeDestination(words, at);
    const isIn = (prefixes: readonly Prefix[]) => prefixes.some((one) => isPartOf(destination, one));
    if (!isIn([...networks, ...former])) continue;
    const isWay = routeType(words, at) === RTN_UNICAST && hasGateway(words, at) && isIn(networks);
    const link = links[words[at + ROUTE.slot]!];
    const other = plain.get(formatPrefix(destination));
    if (!isWay || other !== undefined && family === AF_INET) deleted.push(at);
    else if (words[at + ROUTE.traits]! & (ROUTE_SHARED | ROUTE_BY_OBJECT) || link === undefined) {
      entangled.push(at);
    } else turned.set(link.name, [...turned.get(link.name) ?? [], at]);
  }
  return { turned, deleted, entangled };
}

function isOurs(words: Uint32Array, at: number): boolean {
  return routeProtocol(words, at) === RTPROT_LODEN && (words[at + ROUTE.traits]! & ROUTE_SELECTIVE) === 0;
}

function isPartOf({ address, length }: Prefix, network: Prefix): boolean {
  return network.length <= length && typeof address === typeof network.address &&
    prefixContains(network, address);
}

function plainMetric(family: Family): number {
  return family === AF_INET ? 0 : IPV6_METRIC;
}

/** Puts flanneld's routes there, and then takes away ours, but for those whose new form was refused. */
function turnRoutes(client: NetlinkClient, routes: Routes, rows: readonly number[]): void {
  const { family, table: { words, layout } } = routes;
  const linkIndexes = routes.links.map(({ linkIndex }) => linkIndex);
  // In IPv6 the metric is the same, so the new route takes the place of ours; in IPv4 it stands beside it.
  const verb = family === AF_INET ? "add" : "replace";
  const row = new Uint32Array(layout.words);
  const refused = new Map<number, string>();
  client.batch(rows.length, (index, writer, sequence) => {
    row.set(words.subarray(rows[index]!, rows[index]! + layout.words));
    row[ROUTE.metric] = plainMetric(family);
    row[ROUTE.mtuBytes] = 0;
    row[ROUTE.traits] = row[ROUTE.traits]! & ~0xff | RTPROT_BOOT;
    routeCodec.encode[verb](writer, sequence, row, 0, linkIndexes);
  }, (index, errno, extack) => {
    // Another one came meanwhile, as from a flanneld that is started too early.
    if (errno !== EEXIST) refused.set(index, reasonOf(errno, extack));
  });
  if (family === AF_INET) deleteRoutes(client, routes, rows.filter((_, index) => !refused.has(index)));
  throwRefused(routes, rows, refused, "turn");
}

function deleteRoutes(client: NetlinkClient, routes: Routes, rows: readonly number[]): void {
  const { table: { words } } = routes;
  const linkIndexes = routes.links.map(({ linkIndex }) => linkIndex);
  const refused = new Map<number, string>();
  client.batch(
    rows.length,
    (index, writer, sequence) => routeCodec.encode.delete(writer, sequence, words, rows[index]!, linkIndexes),
    (index, errno, extack) => {
      if (errno !== ESRCH) refused.set(index, reasonOf(errno, extack));
    },
  );
  throwRefused(routes, rows, refused, "delete");
}

/** @throws {Error} If there are any: the first, and how many. */
function throwRefused(
  { table: { words } }: Routes,
  rows: readonly number[],
  refused: ReadonlyMap<number, string>,
  verb: string,
): void {
  const [first] = refused;
  if (first === undefined) return;
  const [index, reason] = first;
  const others = refused.size === 1 ? "" : ` and ${refused.size - 1} others`;
  throw new Error(
    `Cannot ${verb} route ${formatPrefix(routeDestination(words, rows[index]!))}${others}: ${reason}`,
  );
}

function reasonOf(errno: number, extack: string | undefined): string {
  return `the kernel answers ${errnoName(errno)}${extack === undefined ? "" : `, "${extack}"`}`;
}

/** `route 10.244.2.0/24`, `12 routes`: few are named. */
function countOf(rows: readonly number[], noun: string, name: (at: number) => string): string {
  if (rows.length > NAMED) return `${rows.length} ${noun}s`;
  return `${noun}${rows.length === 1 ? "" : "s"} ${rows.map(name).join(", ")}`;
}
