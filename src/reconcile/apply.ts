import { AF_INET6, type Family, formatAddress, formatMac, formatPrefix } from "../model/address.ts";
import {
  FDB,
  NEIGHBOUR,
  readAddress,
  readMac,
  ROUTE,
  ROUTE_ONLINK,
  routeDestination,
  routeType,
} from "../model/rows.ts";
import type { DesiredLink } from "../model/state.ts";
import { encodeAddress, encodeAddressDeletion } from "../netlink/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { EADDRNOTAVAIL, EINVAL, ENODEV, ENOENT, ESRCH, NetlinkError } from "../netlink/errno.ts";
import {
  encodeLinkChange,
  encodeLinkDeletion,
  encodeVxlanLink,
  encodeVxlanRepair,
  queryLink,
} from "../netlink/link.ts";
import type { MessageWriter } from "../netlink/message.ts";
import {
  encodeFdbDeletion,
  encodeFdbEntry,
  encodeNeighbour,
  encodeNeighbourDeletion,
} from "../netlink/neighbour.ts";
import { encodeNewRoute, encodeRoute, encodeRouteDeletion, RTN_BLACKHOLE } from "../netlink/route.ts";
import type { LinkStep, TableName, TableStep } from "./plan.ts";
import type { Failures } from "./report.ts";

type EncodeRow = (
  writer: MessageWriter,
  sequence: number,
  words: Uint32Array,
  at: number,
  linkIndexes: readonly number[],
) => void;

/** What the kernel answers when there is nothing to delete, which is what was wanted. */
const ALREADY_GONE: ReadonlySet<number> = new Set([ENOENT, ESRCH, ENODEV, EADDRNOTAVAIL]);

const ENCODE: Readonly<Record<TableName, Record<TableStep["operation"], EncodeRow>>> = {
  neighbours: { add: encodeNeighbour, replace: encodeNeighbour, delete: encodeNeighbourDeletion },
  fdb: { add: encodeFdbEntry, replace: encodeFdbEntry, delete: encodeFdbDeletion },
  routes: { add: encodeNewRoute, replace: encodeRoute, delete: encodeRouteDeletion },
};

/**
 * Carries out one step on a link.
 *
 * @throws {NetlinkError} If the kernel refused.
 * @throws {Error} If a link is needed that is somebody else's.
 */
export function applyLinkStep(client: NetlinkClient, step: LinkStep): void {
  switch (step.kind) {
    case "create link": {
      const { link } = step;
      client.request(
        `create link ${link.name}`,
        (writer, sequence) => encodeVxlanLink(writer, sequence, link),
      );
      const { linkIndex } = presentLink(client, link.name);
      client.request(
        `set link ${link.name} up`,
        (writer, sequence) => encodeLinkChange(writer, sequence, linkIndex, { isUp: true }),
      );
      return;
    }
    case "delete link":
      return idempotent(() =>
        client.request(
          `delete link ${step.name}`,
          (writer, sequence) => encodeLinkDeletion(writer, sequence, step.linkIndex),
        )
      );
    case "repair vxlan":
      return client.request(
        `repair link ${step.link.name}`,
        (writer, sequence) => encodeVxlanRepair(writer, sequence, step.linkIndex, step.link),
      );
    case "change link":
      return client.request(
        `change link ${step.name}`,
        (writer, sequence) => encodeLinkChange(writer, sequence, step.linkIndex, step.change),
      );
    case "need link":
      throw new Error(`Cannot route over link ${step.name}: ${step.why}`);
    default: {
      const { linkIndex } = presentLink(client, step.name);
      const value = { linkIndex, ...step.prefix };
      const action = `${step.kind} ${formatPrefix(step.prefix)} on ${step.name}`;
      if (step.kind === "add address") {
        return client.request(action, (writer, sequence) => encodeAddress(writer, sequence, value));
      }
      return idempotent(() =>
        client.request(action, (writer, sequence) => encodeAddressDeletion(writer, sequence, value))
      );
    }
  }
}

function presentLink(client: NetlinkClient, name: string): { linkIndex: number } {
  const link = queryLink(client, name);
  if (link === undefined) throw new NetlinkError(`use link ${name}`, ENODEV, "it does not exist");
  return link;
}

function idempotent(deletion: () => void): void {
  try {
    deletion();
  } catch (error) {
    if (!(error instanceof NetlinkError && ALREADY_GONE.has(error.errno))) throw error;
  }
}

/** Carries out the changes of one table step; each refused row is a failure, the others go on. */
export function applyTableStep(
  client: NetlinkClient,
  step: TableStep,
  links: readonly DesiredLink[],
  linkIndexes: readonly number[],
  failures: Failures,
): void {
  const { rows, indices, operation } = step;
  const encode = ENCODE[step.table][operation];
  const { words } = rows;
  const rowWords = rows.layout.words;
  const misled: number[] = [];
  client.batch(
    indices.length,
    (index, writer, sequence) => encode(writer, sequence, words, indices[index]! * rowWords, linkIndexes),
    (index, errno, extack) => {
      if (operation === "delete" && ALREADY_GONE.has(errno)) return;
      const at = indices[index]! * rowWords;
      if (step.table === "routes" && errno === EINVAL && isUnseenIpv6(words, at)) {
        misled.push(at);
        return;
      }
      const action = `${operation} ${describeRow(step.table, words, at, links)}`;
      failures.add(new NetlinkError(action, errno, extack).message);
    },
  );
  for (const at of misled) {
    const action = `${operation} ${describeRow("routes", words, at, links)}`;
    try {
      setInTwoSteps(client, action, words.subarray(at, at + rowWords), linkIndexes, encode);
    } catch (error) {
      failures.add(error instanceof Error ? error.message : String(error));
    }
  }
}

function isUnseenIpv6(words: Uint32Array, at: number): boolean {
  return words[at] === AF_INET6 && (words[at + ROUTE.traits]! & ROUTE_ONLINK) !== 0;
}

/**
 * Sets an IPv6 route whose gateway lies in its own destination while another route leads there by another link, as
 * one to the same destination may: the kernel refuses the gateway then (`ip6_route_check_nh_onlink()`, EINVAL), though
 * it is not to be looked up. A route without the gateway takes the destination over first.
 *
 * @throws {NetlinkError} If the kernel refused.
 */
function setInTwoSteps(
  client: NetlinkClient,
  action: string,
  route: Uint32Array,
  linkIndexes: readonly number[],
  encodeFirst: EncodeRow,
): void {
  const bare = route.slice().fill(0, ROUTE.gateway, ROUTE.gateway + 4);
  bare[ROUTE.traits]! &= ~ROUTE_ONLINK;
  client.request(action, (writer, sequence) => encodeFirst(writer, sequence, bare, 0, linkIndexes));
  client.request(action, (writer, sequence) => encodeRoute(writer, sequence, route, 0, linkIndexes));
}

/** Says what a row is, as iproute2 prints it. */
export function describeRow(
  table: TableName,
  words: Uint32Array,
  at: number,
  links: readonly DesiredLink[],
): string {
  const address = (family: number, offset: number) =>
    formatAddress(readAddress(words, at + offset, words[at + family] as Family));
  const device = (offset: number) => {
    const link = links[words[at + offset]!];
    return link === undefined ? "" : ` dev ${link.name}`;
  };
  switch (table) {
    case "neighbours": {
      const mac = formatMac(readMac(words, at + NEIGHBOUR.mac));
      return `neighbour ${address(NEIGHBOUR.family, NEIGHBOUR.address)} lladdr ${mac}${
        device(NEIGHBOUR.slot)
      }`;
    }
    case "fdb": {
      const mac = formatMac(readMac(words, at + FDB.mac));
      const to = words[at + FDB.family] === 0 ? "none" : address(FDB.family, FDB.underlayAddress);
      return `FDB entry ${mac} dst ${to}${device(FDB.slot)}`;
    }
    case "routes": {
      const isBlackhole = routeType(words, at) === RTN_BLACKHOLE;
      const to = formatPrefix(routeDestination(words, at));
      return `route ${isBlackhole ? "blackhole " : ""}${to}${device(ROUTE.slot)}`;
    }
  }
}
