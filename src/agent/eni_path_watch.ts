import { ENI_TABLE } from "../host/eni_path.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import type { Mac } from "../model/address.ts";
import { readMac } from "../model/rows.ts";
import type { AttributeReader } from "../netlink/attribute.ts";
import type { MessageReader } from "../netlink/message.ts";
import {
  hearNotifications,
  NOTIFICATION_GROUPS,
  NotificationSocket,
  othersOnly,
} from "../netlink/notifications.ts";
import { RTM_DELADDR, RTM_NEWADDR } from "../rtnetlink/address.ts";
import { IFLA_ADDRESS, LINK_HEADER_BYTES, RTM_DELLINK, RTM_NEWLINK } from "../rtnetlink/link_header.ts";
import { ROUTE_HEADER_BYTES, RTM_DELROUTE, RTM_NEWROUTE } from "../rtnetlink/route_header.ts";
import { RTM_DELRULE, RTM_NEWRULE } from "../rtnetlink/rule.ts";
import { routeTableOf } from "../rtnetlink/table_route.ts";
import type { EniPathKeeper } from "./eni_path_keeper.ts";

/** What the watch needs. */
export interface EniPathWatchDeps {
  readonly keeper: Pick<EniPathKeeper, "used" | "concerns">;
  /** Opens the socket that hears some groups, once there is something to hear of. */
  readonly open: (groups: readonly number[]) => NotificationSocket;
  /** The port ID of the socket that our own changes go through. */
  readonly ownPortId: number;
  /** Asks for a pass. */
  readonly nudge: () => void;
}

/**
 * Says when another program changes a routing policy rule, the table of pods' answers or the link that they leave by,
 * until `signal` aborts. It has a socket of its own, and only on a host that has such a table.
 */
export async function watchEniPath(
  { keeper, open, ownPortId, nudge }: EniPathWatchDeps,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const aborted = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => aborted.resolve(), { once: true });
  if (!signal.aborted) await Promise.race([keeper.used, aborted.promise]);
  if (signal.aborted) return;
  const { link, ipv4Address, ipv4Route, ipv4Rule, ipv6Address, ipv6Route, ipv6Rule } = NOTIFICATION_GROUPS;
  await using notifications = open([
    link,
    ipv4Address,
    ipv4Route,
    ipv6Address,
    ipv6Route,
    ipv4Rule,
    ipv6Rule,
  ]);
  // What has changed since the look that found something to keep.
  nudge();
  const reader = othersOnly({ notifications, ownPortId }, {
    heard: (message, attributes) => {
      if (isNews(message, attributes, keeper)) nudge();
    },
    lost: nudge,
  });
  await hearNotifications(reader, { signal });
}

function isNews(
  message: MessageReader,
  attributes: AttributeReader,
  keeper: Pick<EniPathKeeper, "concerns">,
): boolean {
  switch (message.type) {
    case RTM_NEWRULE:
    case RTM_DELRULE:
      return true;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      message.requireHeader(ROUTE_HEADER_BYTES);
      return routeTableOf(message, attributes) === ENI_TABLE;
    case RTM_NEWADDR:
    case RTM_DELADDR:
      message.requireHeader(8);
      return keeper.concerns(linkIndexOf(message));
    case RTM_NEWLINK:
    case RTM_DELLINK:
      message.requireHeader(LINK_HEADER_BYTES);
      return keeper.concerns(linkIndexOf(message), macOf(message, attributes));
    default:
      return false;
  }
}

/** Where both `struct ifinfomsg` and `struct ifaddrmsg` have it. */
function linkIndexOf({ view, start }: MessageReader): number {
  return view.getInt32(start + 4, LITTLE_ENDIAN);
}

function macOf({ start, end }: MessageReader, attributes: AttributeReader): Mac | undefined {
  attributes.reset(start + LINK_HEADER_BYTES, end);
  while (attributes.next()) {
    if (attributes.type !== IFLA_ADDRESS || attributes.length !== 6) continue;
    const words = new Uint32Array(2);
    attributes.macWords(words, 0);
    return readMac(words, 0);
  }
}
