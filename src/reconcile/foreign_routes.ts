import { type Address, type Family, formatAddress, formatPrefix, maskAddress } from "../model/address.ts";
import {
  hasGateway,
  NO_SLOT,
  readAddress,
  ROUTE,
  ROUTE_BY_OBJECT,
  ROUTE_FOREIGN_TRAIT,
  ROUTE_SELECTIVE,
  ROUTE_SHARED,
  routeDestination,
  routeProtocol,
  routeType,
} from "../model/rows.ts";
import { Table } from "../model/table.ts";
import { PROTOCOL_NAMES, TYPE_NAMES } from "./route_names.ts";
import { RTN_UNICAST, RTPROT_KERNEL } from "../rtnetlink/route_header.ts";

/** A route that is not ours, and takes packets that one of ours is for. */
export interface ForeignHit {
  /** The row of the desired routes. */
  readonly row: number;
  /** The row of the foreign routes. */
  readonly foreignRow: number;
  /**
   * - `same`: to the same destination with the same metric, so that there is no place for ours.
   * - `before`: to the same destination with a lower metric, which the kernel prefers.
   * - `part`: to a part of the destination, or for some of its packets only.
   */
  readonly kind: "same" | "before" | "part";
  /** Whether it leads where ours does, as that of a flanneld beside this agent: no packet goes astray. */
  readonly isAlike: boolean;
}

/** Rows of desired routes by destination, by family and prefix length. */
type Index = ReadonlyMap<string, { readonly length: number; readonly rows: ReadonlyMap<Address, number> }>;

/** The desired routes stay the same from pass to pass. */
const indexes = new WeakMap<Table, Index>();

/**
 * Finds the foreign routes that the kernel prefers to desired ones. A foreign one behind ours does no harm.
 *
 * @param linkIndexes The kernel's link index of each slot.
 */
export function findForeign(desired: Table, foreign: Table, linkIndexes: readonly number[]): ForeignHit[] {
  if (foreign.count === 0 || desired.count === 0) return [];
  let index = indexes.get(desired);
  if (index === undefined) indexes.set(desired, index = indexOf(desired));
  const hits: ForeignHit[] = [];
  for (let foreignRow = 0; foreignRow < foreign.count; foreignRow++) {
    const at = foreignRow * ROUTE.words;
    const { words } = foreign;
    const { address: destination, length: foreignLength } = routeDestination(words, at);
    for (const [key, { length, rows }] of index) {
      if (!key.startsWith(`${words[at]} `) || length > foreignLength) continue;
      const row = rows.get(maskAddress(destination, length));
      if (row === undefined) continue;
      const isAlike = isSameWay(desired.words, row * ROUTE.words, words, at, linkIndexes);
      if (length < foreignLength || isSelective(foreign, foreignRow)) {
        hits.push({ row, foreignRow, kind: "part", isAlike });
        continue;
      }
      const [metric, other] = [desired.words[row * ROUTE.words + ROUTE.metric]!, words[at + ROUTE.metric]!];
      if (other > metric) continue;
      hits.push({ row, foreignRow, kind: other === metric ? "same" : "before", isAlike });
    }
  }
  return hits;
}

/** Whether a foreign route leads over the same link to the same gateway as a desired one, and nothing else. */
function isSameWay(
  desired: Uint32Array,
  at: number,
  foreign: Uint32Array,
  foreignAt: number,
  linkIndexes: readonly number[],
): boolean {
  if (foreign[foreignAt + ROUTE.slot] !== linkIndexes[desired[at + ROUTE.slot]!]) return false;
  const special = ROUTE_BY_OBJECT | ROUTE_FOREIGN_TRAIT | ROUTE_SHARED;
  if (
    routeType(desired, at) !== routeType(foreign, foreignAt) ||
    (foreign[foreignAt + ROUTE.traits]! & special) !== 0
  ) {
    return false;
  }
  const words = [0, 1, 2, 3, ROUTE.mtuBytes - ROUTE.gateway].map((word) => ROUTE.gateway + word);
  return words.every((word) => desired[at + word] === foreign[foreignAt + word]);
}

function indexOf({ words, count }: Table): Index {
  const index = new Map<string, { length: number; rows: Map<Address, number> }>();
  for (let row = 0; row < count; row++) {
    const at = row * ROUTE.words;
    // A blackhole is there to be behind others.
    if (routeType(words, at) !== RTN_UNICAST) continue;
    const { address, length } = routeDestination(words, at);
    const key = `${words[at]} ${length}`;
    let entry = index.get(key);
    if (entry === undefined) index.set(key, entry = { length, rows: new Map() });
    entry.rows.set(address, row);
  }
  return index;
}

/** Whether a foreign route is only for packets of one TOS, or from one source. */
export function isSelective({ words }: Table, foreignRow: number): boolean {
  return (words[foreignRow * ROUTE.words + ROUTE.traits]! & ROUTE_SELECTIVE) !== 0;
}

/** Whether a foreign route may be taken over by who wants that; never the kernel's own, which come with an address. */
export function isTakable({ words }: Table, { foreignRow, kind }: ForeignHit): boolean {
  return kind !== "part" && routeProtocol(words, foreignRow * ROUTE.words) !== RTPROT_KERNEL;
}

/** A copy of foreign routes that the kernel finds without their link, which is in no slot. */
export function withoutLinks(foreign: Table): Table {
  const copy = new Table(ROUTE, foreign.count);
  for (let row = 0; row < foreign.count; row++) {
    const at = copy.push();
    copy.storage.set(foreign.words.subarray(at, at + ROUTE.words), at);
    copy.storage[at + ROUTE.slot] = NO_SLOT;
  }
  return copy;
}

/** Says what a foreign route is, as iproute2 prints it. */
export function describeForeign(
  foreign: Table,
  row: number,
  linkName: (linkIndex: number) => string | undefined,
): string {
  const { words } = foreign;
  const at = row * ROUTE.words;
  const to = formatPrefix(routeDestination(words, at));
  const via = words[at + ROUTE.traits]! & ROUTE_BY_OBJECT
    ? ` nhid ${words[at + ROUTE.gateway]}`
    : hasGateway(words, at)
    ? ` via ${formatAddress(readAddress(words, at + ROUTE.gateway, words[at] as Family))}`
    : "";
  const linkIndex = words[at + ROUTE.slot]!;
  const device = linkIndex === 0 ? "" : ` dev ${linkName(linkIndex) ?? linkIndex}`;
  const metric = words[at + ROUTE.metric]!;
  const traits = words[at + ROUTE.traits]!;
  return `${TYPE_NAMES[routeType(words, at)] ?? ""}${to}${via}${device}${protocolOf(words, at)}` +
    (metric === 0 ? "" : ` metric ${metric}`) +
    (traits & ROUTE_SHARED ? " (one of several next hops)" : "") +
    (isSelective(foreign, row) ? " (for one TOS or source)" : "");
}

/** The kernel does not tell the protocol of a next hop beside another. */
function protocolOf(words: Uint32Array, at: number): string {
  const protocol = routeProtocol(words, at);
  if (protocol === 0 && words[at + ROUTE.traits]! & ROUTE_SHARED) return "";
  return ` proto ${PROTOCOL_NAMES[protocol] ?? protocol}`;
}
