import type { NotificationSource } from "../../src/netlink/notifications.ts";

/** What notifications read as when some were lost. */
export const LOST = "lost";

/** One datagram of notifications. */
export type Datagram = Uint8Array | typeof LOST;

/** Says what it is told to, then ends what listens by aborting `controller`. */
export function scripted(
  datagrams: Datagram[],
  controller: AbortController,
): NotificationSource["notifications"] {
  return {
    wait() {
      if (datagrams.length > 0) return Promise.resolve();
      controller.abort();
      return Promise.reject(controller.signal.reason);
    },
    receive(buffer) {
      const datagram = datagrams.shift();
      if (datagram === LOST) return -1;
      if (datagram === undefined) return 0;
      buffer.set(datagram);
      return datagram.length;
    },
  };
}
