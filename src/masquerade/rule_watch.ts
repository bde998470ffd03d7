import { MessageReader } from "../netlink/message.ts";
import { NFT_MSG_NEWGEN } from "../netlink/nft.ts";
import type { NotificationSocket } from "../netlink/socket.ts";

const RECEIVE_BYTES = 64 * 1024;

/** What the watch needs. */
export interface RuleWatchDeps {
  /** A socket of `NETLINK_NETFILTER` that hears `NFNLGRP_NFTABLES`. */
  readonly notifications: NotificationSocket;
  /** The port ID of the socket that our own changes go through: they are no news. */
  readonly ownPortId: number;
  /** Called when somebody else has changed a rule. */
  readonly nudge: () => void;
}

/** Says when somebody else changes the rules of nf_tables, until `signal` aborts. */
export async function watchRules(deps: RuleWatchDeps, options: { signal: AbortSignal }): Promise<void> {
  const { notifications, ownPortId, nudge } = deps;
  const { signal } = options;
  const buffer = new Uint8Array(RECEIVE_BYTES);
  const reader = new MessageReader(buffer);
  while (!signal.aborted) {
    try {
      await notifications.wait({ signal });
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    for (let length = notifications.receive(buffer); length !== 0; length = notifications.receive(buffer)) {
      if (length < 0) {
        // Some were lost: whatever they said, a look finds it.
        nudge();
        continue;
      }
      reader.reset(length);
      while (reader.next()) if (reader.type === NFT_MSG_NEWGEN && reader.portId !== ownPortId) nudge();
    }
  }
}
