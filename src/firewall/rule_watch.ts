import { NFT_MSG_NEWGEN } from "../nftables/objects.ts";
import { hearNotifications, type NotificationSource } from "../netlink/notifications.ts";

/** What the watch needs: a socket of `NETLINK_NETFILTER` that hears `NFNLGRP_NFTABLES`. */
export interface RuleWatchDeps extends NotificationSource {
  /** Called when another program has changed a rule. */
  readonly nudge: () => void;
}

/** Says when another program changes the rules of nf_tables, until `signal` aborts. */
export function watchRules(deps: RuleWatchDeps, options: { signal: AbortSignal }): Promise<void> {
  const { nudge } = deps;
  return hearNotifications(deps, {
    heard: ({ type }) => {
      if (type === NFT_MSG_NEWGEN) nudge();
    },
    lost: nudge,
  }, options);
}
