import { AF_INET, formatPrefix, type Prefix, prefixContains, prefixEquals } from "../model/address.ts";
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
import type { Table } from "../model/table.ts";
import { RTN_LOCAL, RTN_UNICAST, RTPROT_KERNEL } from "../rtnetlink/route_header.ts";
import { covers } from "./cover.ts";
import { describeForeign, isSelective } from "./foreign_routes.ts";

/**
 * Says which of others' routes take packets for this host's own pods. Routes over a link to parts of the own subnets
 * are there for pods by all appearance, as some plugins make one for each.
 *
 * @param own The subnets of this host.
 * @param linkName The name of a link of the kernel's index.
 */
export function findOwnTaken(
  own: readonly Prefix[],
  foreign: Table,
  linkName: (linkIndex: number) => string | undefined,
): Condition[] {
  return own.flatMap((subnet) => takenOf(subnet, foreign, linkName));
}

function takenOf(
  subnet: Prefix,
  foreign: Table,
  linkName: (linkIndex: number) => string | undefined,
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
      if (leadsAway(words, at)) parts.push({ row, prefix });
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
        describeForeign(foreign, first, linkName)
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

/** Whether the kernel takes a route before that of the bridge, to the same destination, and it leads elsewhere. */
function isBefore(words: Uint32Array, row: number, bridgeRow: number): boolean {
  const [at, bridgeAt] = [row * ROUTE.words, bridgeRow * ROUTE.words];
  const isElsewhere = leadsAway(words, at) || words[at + ROUTE.slot] !== words[bridgeAt + ROUTE.slot];
  const [metric, bridgeMetric] = [words[at + ROUTE.metric]!, words[bridgeAt + ROUTE.metric]!];
  // Of equal ones the kernel tells, and takes, the first in IPv4; in IPv6 it may take any.
  const isFirst = metric === bridgeMetric && (row < bridgeRow || words[at] !== AF_INET);
  return isElsewhere && (metric < bridgeMetric || isFirst);
}
