import { type Prefix, prefixContains } from "../model/address.ts";
import type { AttributeReader } from "../netlink/attribute.ts";
import type { MessageReader } from "../netlink/message.ts";
import {
  hearNotifications,
  type NotificationReader,
  type NotificationSource,
  othersOnly,
} from "../netlink/notifications.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import { RTM_DELADDR, RTM_NEWADDR } from "../rtnetlink/address.ts";
import { NEIGHBOUR_HEADER_BYTES, RTM_DELNEIGH, RTM_NEWNEIGH } from "../rtnetlink/neighbour.ts";
import { RT_TABLE_MAIN, RTM_DELROUTE, RTM_NEWROUTE } from "../rtnetlink/route_header.ts";
import { RTM_DELRULE, RTM_NEWRULE } from "../rtnetlink/rule.ts";
import { routeTableOf } from "../rtnetlink/table_route.ts";
import {
  IFF_UP,
  IFLA_MASTER,
  LINK_HEADER_BYTES,
  RTM_DELLINK,
  RTM_NEWLINK,
} from "../rtnetlink/link_header.ts";
import type { Trigger } from "../loop/trigger.ts";
import { type Culprits, destinationOf } from "./culprits.ts";
import type { Heard, NamedRow } from "./heard_rows.ts";

const RT_SCOPE_UNIVERSE = 0;
/** `RTM_NEWNETCONF`: a setting such as forwarding has changed, of one link or of all. */
const RTM_NEWNETCONF = 80;
const NETCONFA_IFINDEX = 1;
const NETCONFA_IFINDEX_ALL = -1;

/** What the watch must know to tell our changes from those of other programs. */
export interface KernelWatchDeps extends NotificationSource {
  readonly trigger: Trigger;
  /** Says what a notification about one of our rows, or about one in their place, asks for; everything if absent. */
  readonly judge?: (message: MessageReader, attributes: AttributeReader) => Heard;
  /** Asks for a look at one row. */
  readonly rowChanged?: (row: NamedRow) => void;
  /** Kernel link indexes of our links and of the underlay's. */
  readonly linkIndexes: () => readonly number[];
  /** Those of them that are VTEPs: neighbours of other links are nobody's doing of ours, and come and go all the time. */
  readonly vtepIndexes: () => readonly number[];
  /** The cluster networks: a route to one of these is news over whichever link. */
  readonly networks: readonly Prefix[];
  /** Kernel link index of the underlay; 0 while it is lost, and then every link is news. */
  readonly underlayLinkIndex: () => number;
  /** Told of what asks for a pass, and who has done it. */
  readonly culprits?: Culprits;
  /** Called with each change that asks for a pass. */
  readonly changeHeard?: () => void;
  /** Called when notifications were lost: a pass is asked for in their place. */
  readonly overrun?: () => void;
  /** Called when the underlay's link or addresses may have changed, or by which ways others are reached. */
  readonly underlayNudged: () => void;
  /** Called when another link may be the better one now. What changes with its addresses is told of route by route. */
  readonly choiceNudged: () => void;
  /** Called when the way to a prefix outside of the cluster networks has changed; reports whether that is news. */
  readonly wayChanged?: (prefix: Prefix) => boolean;
  /** Called when a routing policy rule has changed. */
  readonly ruleChanged?: () => void;
  /** Called when a route of another table than main has changed. */
  readonly routeChanged?: (table: number, destination: Prefix) => void;
  /** Called when a link has changed that others may be reached over, and is not the underlay's; reports whether that is news. */
  readonly linkChanged?: () => boolean;
  /** Whether a link has carried an address that could be the underlay's: changes of others say nothing. */
  readonly isCarrier: (linkIndex: number) => boolean;
  /** Whether the settings and global addresses of a link that is not ours concern us; none do if absent. */
  readonly concerns?: (linkIndex: number) => boolean;
}

/** Turns notifications about our links into nudges, until `signal` aborts. */
export function watchKernel(deps: KernelWatchDeps, options: { signal: AbortSignal }): Promise<void> {
  return hearNotifications(kernelReader(deps), options);
}

/** Reads notifications about our links, and nudges who is to look at what they tell. */
export function kernelReader(deps: KernelWatchDeps): NotificationReader {
  return othersOnly(deps, {
    heard: (message, attributes) => {
      const news = isNews(message, attributes, deps.linkIndexes(), deps);
      if (news === false) return;
      const heard = news === "a row" ? deps.judge?.(message, attributes) ?? "all" : "all";
      if (heard === "nothing") return;
      deps.changeHeard?.();
      if (heard === "all") deps.trigger.nudge();
      else deps.rowChanged?.(heard);
      deps.culprits?.heard(message, attributes);
    },
    lost: () => {
      deps.overrun?.();
      deps.underlayNudged();
      deps.ruleChanged?.();
      deps.trigger.nudge();
    },
  });
}

/** Reports whether a message asks for a pass, or is about a row of ours or in its place; tells the underlay what it is to look at. */
function isNews(
  message: MessageReader,
  attributes: AttributeReader,
  linkIndexes: readonly number[],
  deps: KernelWatchDeps,
): boolean | "a row" {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      message.requireHeader(8);
      const linkIndex = message.view.getInt32(message.start + 4, LITTLE_ENDIAN);
      const underlayLinkIndex = deps.underlayLinkIndex();
      const isUnderlay = underlayLinkIndex === 0 || linkIndex === underlayLinkIndex;
      if (isUnderlay) deps.underlayNudged();
      if (isUnderlay || linkIndexes.includes(linkIndex)) return true;
      if (isOfInterest(message, attributes, linkIndex, deps)) {
        deps.choiceNudged();
        // With a link its routes change, without a word.
        const isOfLink = message.type === RTM_NEWLINK || message.type === RTM_DELLINK;
        const isWay = isOfLink && (deps.linkChanged?.() ?? false);
        return isWay || (deps.concerns?.(linkIndex) ?? false);
      }
      return isSetDown(message) && (deps.concerns?.(linkIndex) ?? false);
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      message.requireHeader(NEIGHBOUR_HEADER_BYTES);
      return deps.vtepIndexes().includes(message.view.getInt32(message.start + 4, LITTLE_ENDIAN)) && "a row";
    case RTM_NEWRULE:
    case RTM_DELRULE:
      deps.ruleChanged?.();
      return false;
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const destination = destinationOf(message, attributes);
      const isOfMain = message.view.getUint8(message.start + 4) === RT_TABLE_MAIN;
      if (!isOfMain) deps.routeChanged?.(routeTableOf(message, attributes), destination);
      if (destination.length === 0) {
        // A default route: the underlay may be another one now.
        deps.underlayNudged();
        return true;
      }
      // Whose destination is none of ours may leave by whichever links: a router has 200,000 of them.
      const isOurs = deps.networks.some((network) => prefixContains(network, destination.address));
      return isOurs ? isOfMain && "a row" : deps.wayChanged?.(destination) ?? false;
    }
    case RTM_NEWNETCONF: {
      message.requireHeader(4);
      attributes.reset(message.start + 4, message.end);
      let isOurs = false;
      while (attributes.next()) {
        if (attributes.type !== NETCONFA_IFINDEX) continue;
        const linkIndex = attributes.u32() | 0;
        isOurs ||= linkIndex === NETCONFA_IFINDEX_ALL || linkIndexes.includes(linkIndex) ||
          linkIndex > 0 && (deps.concerns?.(linkIndex) ?? false);
      }
      return isOurs;
    }
    default:
      return false;
  }
}

/** Reports whether a message says that a link was set down at this moment, as that is the change that it tells of. */
function isSetDown(message: MessageReader): boolean {
  const { type, view, start } = message;
  if (type !== RTM_NEWLINK) return false;
  message.requireHeader(LINK_HEADER_BYTES);
  const [flags, change] = [8, 12].map((at) => view.getUint32(start + at, LITTLE_ENDIAN)) as [number, number];
  return (change & IFF_UP) !== 0 && (flags & IFF_UP) === 0;
}

/**
 * Reports whether a link that is not the underlay's may have become it, or could be it no more. Each pod brings a port
 * of a bridge with a link-local address: that must cost nothing.
 */
function isOfInterest(
  message: MessageReader,
  attributes: AttributeReader,
  linkIndex: number,
  { isCarrier }: KernelWatchDeps,
): boolean {
  if (message.type === RTM_NEWADDR || message.type === RTM_DELADDR) {
    return message.view.getUint8(message.start + 3) === RT_SCOPE_UNIVERSE;
  }
  if (!isCarrier(linkIndex)) return false;
  message.requireHeader(LINK_HEADER_BYTES);
  attributes.reset(message.start + LINK_HEADER_BYTES, message.end);
  while (attributes.next()) if (attributes.type === IFLA_MASTER) return false;
  return true;
}
