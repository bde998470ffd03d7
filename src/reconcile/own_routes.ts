import {
  AF_INET,
  bitsOf,
  familyOf,
  formatPrefix,
  type Prefix,
  prefixContains,
  prefixEquals,
} from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import {
  hasGateway,
  ROUTE,
  ROUTE_BY_OBJECT,
  ROUTE_SHARED,
  routeDestination,
  routeProtocol,
  routeType,
} from "../model/rows.ts";
import type { ObservedAddress, ObservedLink } from "../model/state.ts";
import type { Table } from "../model/table.ts";
import { RTN_LOCAL, RTN_UNICAST, RTPROT_KERNEL } from "../rtnetlink/route_header.ts";
import { covers } from "./cover.ts";
import { describeForeign, isSelective } from "./foreign_routes.ts";

/** What is asked of links. */
export interface OwnRouteLinks {
  /** The name of a link of the kernel's index. */
  readonly name: (linkIndex: number) => string | undefined;
  /** Whether no pods are behind a link: see {@linkcode isBesidePods}. */
  readonly isBeside: (linkIndex: number) => boolean;
}

/** `RT_SCOPE_UNIVERSE`. */
const UNIVERSE = 0;
/** `lo`, in any network namespace. */
const LOOPBACK = 1;
/** Kinds of links that no pod is behind. */
const BESIDE: ReadonlySet<string | undefined> = new Set(["vxlan", "dummy"]);

/**
 * Whether no pods of this host are behind a link: the underlay's and the overlay's, and each that has addresses and none of the
 * own subnets. Those that plugins make for pods have none, or the gateway's.
 *
 * @param addresses Those on the link.
 */
export function isBesidePods(
  link: Pick<ObservedLink, "linkIndex" | "kind">,
  addresses: readonly Pick<ObservedAddress, "address" | "scope">[],
  { own, underlayIndex }: { readonly own: readonly Prefix[]; readonly underlayIndex: number },
): boolean {
  const { linkIndex, kind } = link;
  if (linkIndex === LOOPBACK || linkIndex === underlayIndex || BESIDE.has(kind)) return true;
  const global = addresses.filter(({ scope }) => scope === UNIVERSE);
  const isOwn = ({ address }: Pick<ObservedAddress, "address">) =>
    own.some((subnet) => familyOf(subnet.address) === familyOf(address) && prefixContains(subnet, address));
  return global.length > 0 && !global.some(isOwn);
}

/**
 * Says which of others' routes take packets for this host's own pods. A route over a link that pods may be behind, to a part of
 * the own subnets, is there for pods by all appearance, as some plugins make one for each.
 *
 * @param own The subnets of this host.
 */
export function findOwnTaken(own: readonly Prefix[], foreign: Table, links: OwnRouteLinks): Condition[] {
  return own.flatMap((subnet) => takenOf(subnet, foreign, links));
}

function takenOf(
  subnet: Prefix,
  foreign: Table,
  links: OwnRouteLinks,
): Condition[] {
  const { words } = foreign;
  const bridgeRow = rowsOf(foreign).find((row) =>
    prefixEquals(routeDestination(words, row * ROUTE.words), subnet) && isConnected(words, row * ROUTE.words)
  );
  const parts: { readonly row: number; readonly prefix: Prefix }[] = [];
  let wholeRow: number | undefined;
  for (const row of rowsOf(foreign)) {
    const at = row * ROUTE.words;
    const prefix = routeDestination(words, at);
    if (prefix.length < subnet.length || !prefixContains(subnet, prefix.address)) continue;
    if (prefix.length > subnet.length) {
      if (leadsAway(words, at) || leadsBeside(words, at, links)) parts.push({ row, prefix });
    } else if (bridgeRow !== undefined && row !== bridgeRow && isBefore(words, row, bridgeRow)) {
      if (isSelective(foreign, row)) parts.push({ row, prefix });
      else wholeRow ??= row;
    }
  }
  const first = wholeRow ?? parts[0]?.row;
  if (first === undefined) return [];
  const whole = parts.filter(({ row }) => !isSelective(foreign, row)).map(({ prefix }) => prefix);
  const isWhole = wholeRow !== undefined || covers(whole, subnet.length);
  const more = wholeRow === undefined && parts.length > 1 ? `, and ${parts.length - 1} more like it` : "";
  const what = isWhole ? "the packets for" : "a part of";
  return [{
    code: isWhole ? "own-subnet-taken" : "own-subnet-partly-taken",
    sentence:
      `route ${
        describeForeign(foreign, first, links.name)
      }, which is not ours${more}, takes ${what} this host's own ` +
      `subnet ${formatPrefix(subnet)}: pods there are cut off; delete it`,
  }];
}

function rowsOf({ count }: Table): number[] {
  return Array.from({ length: count }, (_, row) => row);
}

/** Whether a route is the one that the kernel makes for an address of the pods' bridge. */
function isConnected(words: Uint32Array, at: number): boolean {
  return routeProtocol(words, at) === RTPROT_KERNEL && routeType(words, at) === RTN_UNICAST &&
    !hasGateway(words, at);
}

/** Whether a route leads to no link of this host's pods: it drops packets, or hands them to a gateway. */
function leadsAway(words: Uint32Array, at: number): boolean {
  const type = routeType(words, at);
  if (type === RTN_LOCAL) return false;
  const traits = words[at + ROUTE.traits]!;
  return type !== RTN_UNICAST || hasGateway(words, at) || (traits & (ROUTE_BY_OBJECT | ROUTE_SHARED)) !== 0;
}

/** Whether a route leads to a link that no pods are behind, and is not the kernel's own to an address of this host. */
function leadsBeside(words: Uint32Array, at: number, { isBeside }: OwnRouteLinks): boolean {
  const { length, address } = routeDestination(words, at);
  const isOfHost = routeProtocol(words, at) === RTPROT_KERNEL && length === bitsOf(familyOf(address));
  return routeType(words, at) === RTN_UNICAST && !isOfHost && isBeside(words[at + ROUTE.slot]!);
}

/** Whether the kernel takes a route before that of the bridge, to the same destination, and it leads elsewhere. */
function isBefore(words: Uint32Array, row: number, bridgeRow: number): boolean {
  const [at, bridgeAt] = [row * ROUTE.words, bridgeRow * ROUTE.words];
  const isElsewhere = leadsAway(words, at) || words[at + ROUTE.slot] !== words[bridgeAt + ROUTE.slot];
  const [metric, bridgeMetric] = [words[at + ROUTE.metric]!, words[bridgeAt + ROUTE.metric]!];
  // Of equal ones the kernel tells, and takes, the first in IPv4; in IPv6 it may take any.
  const isFirst = metric === bridgeMetric && (row < bridgeRow || words[at] !== AF_INET);
  return isElsewhere && (metric < bridgeMetric || isFirst);
}
