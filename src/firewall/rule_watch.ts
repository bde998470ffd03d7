import { hearNotifications, NotificationReader, type NotificationSource } from "../netlink/notifications.ts";
import type { RuleNews } from "./rule_news.ts";

/** What the watch needs: a socket of `NETLINK_NETFILTER` that hears `NFNLGRP_NFTABLES`. */
export interface RuleWatchDeps extends NotificationSource {
  readonly news: RuleNews;
  /** Called when another program has changed what a look has read, or may have. */
  readonly nudge: () => void;
}

/** Hears of what other programs change in the rules of nf_tables. */
export function openRuleWatch(
  { notifications, ownPortId, news, nudge }: RuleWatchDeps,
): (options: { signal: AbortSignal }) => Promise<void> {
  const reader = new NotificationReader(notifications, {
    heard: (message) => {
      if (news.heard(message, message.portId === ownPortId)) nudge();
    },
    lost: () => {
      news.lost();
      nudge();
    },
  });
  news.hearBy(() => reader.turn());
  return (options) => hearNotifications(reader, options);
}
