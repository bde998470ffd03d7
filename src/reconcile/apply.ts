import { errorText } from "../log/error_text.ts";
import { openRowEncoder } from "../core/encode.ts";
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
import type { DesiredLink, VxlanLink } from "../model/state.ts";
import { encodeAddress, encodeAddressDeletion } from "../rtnetlink/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EEXIST,
  EINVAL,
  ENODEV,
  ENOENT,
  ESRCH,
  isErrno,
  NetlinkError,
} from "../linux/errno.ts";
import { encodeLinkChange, encodeLinkDeletion, queryLink } from "../rtnetlink/link.ts";
import { RTN_BLACKHOLE } from "../rtnetlink/route_header.ts";
import type { EncodeRow } from "../rtnetlink/row_codec.ts";
import { ROW_CODECS } from "../rtnetlink/row_codecs.ts";
import { encodeVxlanLink, encodeVxlanRepair } from "../rtnetlink/vxlan.ts";
import type { LinkStep, TableName, TableStep } from "./plan.ts";
import type { Failures } from "./report.ts";
import { sayWhoHasPort, sayWhoHasVni } from "./vni_holder.ts";

/** What the kernel answers when there is nothing to delete, which is what was wanted. */
const ALREADY_GONE: ReadonlySet<number> = new Set([ENOENT, ESRCH, ENODEV, EADDRNOTAVAIL]);

/** So many rows are handed to the core, which takes a copy of the whole table. */
const MANY_ROWS = 64;

/**
 * Carries out one step on a link.
 *
 * @param portOwner Says who has a UDP port that a VTEP can't have, as a phrase.
 * @throws {NetlinkError} If the kernel refused.
 * @throws {Error} If a link is needed that is not ours to make.
 */
export function applyLinkStep(
  client: NetlinkClient,
  step: LinkStep,
  portOwner: (port: number) => string = () => "another program",
): void {
  switch (step.kind) {
    case "create link": {
      const { link } = step;
      createLink(client, link);
      const { linkIndex } = presentLink(client, link.name);
      return changeLink(client, link.name, portOwner, () =>
        client.request(
          `set link ${link.name} up`,
          (writer, sequence) => encodeLinkChange(writer, sequence, linkIndex, { isUp: true }),
        ));
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
      return changeLink(client, step.name, portOwner, () =>
        client.request(
          `change link ${step.name}`,
          (writer, sequence) => encodeLinkChange(writer, sequence, step.linkIndex, step.change),
        ));
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

function createLink(client: NetlinkClient, link: VxlanLink): void {
  try {
    client.request(
      `create link ${link.name}`,
      (writer, sequence) => encodeVxlanLink(writer, sequence, link),
    );
  } catch (error) {
    const reason = isErrno(error, EEXIST) ? sayWhoHasVni(client, link) : undefined;
    throw reason === undefined ? error : new Error(reason);
  }
}

/** A VXLAN link takes its UDP port when it is set up. */
function changeLink(
  client: NetlinkClient,
  name: string,
  portOwner: (port: number) => string,
  change: () => void,
): void {
  try {
    change();
  } catch (error) {
    const reason = isErrno(error, EADDRINUSE) ? sayWhoHasPort(client, name, portOwner) : undefined;
    throw reason === undefined ? error : new Error(reason);
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
  const encode = ROW_CODECS[step.table].encode[operation];
  const { words } = rows;
  const rowWords = rows.layout.words;
  const misled: number[] = [];
  const refused = (index: number, errno: number, extack: string | undefined) => {
    if (operation === "delete" && ALREADY_GONE.has(errno)) return;
    const at = indices[index]! * rowWords;
    if (step.table === "routes" && errno === EINVAL && isUnseenIpv6(words, at)) {
      misled.push(at);
      return;
    }
    const action = `${operation} ${describeRow(step.table, words, at, links)}`;
    failures.add(new NetlinkError(action, errno, extack).message);
  };
  const fill = indices.length < MANY_ROWS
    ? undefined
    : openRowEncoder(step.table, operation, { table: rows, indices, linkIndexes });
  if (fill !== undefined) client.batches(indices.length, fill, refused);
  else {
    client.batch(
      indices.length,
      (index, writer, sequence) => encode(writer, sequence, words, indices[index]! * rowWords, linkIndexes),
      refused,
    );
  }
  for (const at of misled) {
    const action = `${operation} ${describeRow("routes", words, at, links)}`;
    try {
      setInTwoSteps(client, action, words.subarray(at, at + rowWords), linkIndexes, encode);
    } catch (error) {
      failures.add(errorText(error));
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
  const withoutGateway = route.slice().fill(0, ROUTE.gateway, ROUTE.gateway + 4);
  withoutGateway[ROUTE.traits]! &= ~ROUTE_ONLINK;
  client.request(action, (writer, sequence) => encodeFirst(writer, sequence, withoutGateway, 0, linkIndexes));
  client.request(
    action,
    (writer, sequence) => ROW_CODECS.routes.encode.replace(writer, sequence, route, 0, linkIndexes),
  );
}

/** Says what a row is, as iproute2 prints it. */
export function describeRow(
  table: TableName,
  words: Uint32Array,
  at: number,
  links: readonly DesiredLink[],
): string {
  switch (table) {
    case "neighbours": {
      const lladdr = ` lladdr ${formatMac(readMac(words, at + NEIGHBOUR.mac))}`;
      return `neighbour ${neighbourAddress(words, at)}${lladdr}${device(words[at + NEIGHBOUR.slot]!, links)}`;
    }
    case "fdb": {
      const mac = formatMac(readMac(words, at + FDB.mac));
      const family = words[at + FDB.family] as Family | 0;
      const to = family === 0 ? "none" : formatAddress(readAddress(words, at + FDB.underlayAddress, family));
      return `FDB entry ${mac} dst ${to}${device(words[at + FDB.slot]!, links)}`;
    }
    case "routes": {
      const isBlackhole = routeType(words, at) === RTN_BLACKHOLE;
      const to = formatPrefix(routeDestination(words, at));
      return `route ${isBlackhole ? "blackhole " : ""}${to}${device(words[at + ROUTE.slot]!, links)}`;
    }
  }
}

/** Names a row by what stays while its value changes. */
export function nameRow(
  table: TableName,
  words: Uint32Array,
  at: number,
  links: readonly DesiredLink[],
): string {
  switch (table) {
    case "neighbours":
      return `neighbour ${neighbourAddress(words, at)}${device(words[at + NEIGHBOUR.slot]!, links)}`;
    case "fdb":
      return `FDB entry ${formatMac(readMac(words, at + FDB.mac))}${device(words[at + FDB.slot]!, links)}`;
    case "routes":
      return `route ${formatPrefix(routeDestination(words, at))}`;
  }
}

function neighbourAddress(words: Uint32Array, at: number): string {
  const family = words[at + NEIGHBOUR.family] as Family;
  return formatAddress(readAddress(words, at + NEIGHBOUR.address, family));
}

function device(slot: number, links: readonly DesiredLink[]): string {
  const link = links[slot];
  return link === undefined ? "" : ` dev ${link.name}`;
}
