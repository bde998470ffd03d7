import { ENOBUFS, isErrno } from "../linux/errno.ts";
import type { Libc } from "../linux/libc.ts";
import { ReadableWait } from "../linux/poll.ts";
import { AttributeReader } from "./attribute.ts";
import { MessageReader } from "./message.ts";
import { NetlinkSocket, type SocketOptions, SOL_NETLINK } from "./socket.ts";

const NETLINK_ADD_MEMBERSHIP = 1;

const RECEIVE_BYTES = 64 * 1024;
/** Read in one go; then others have their turn, as notifications may come faster than they are read. */
const TURN_DATAGRAMS = 500;

/** Multicast groups of rtnetlink(7), as `RTNLGRP_*` numbers them. */
export const NOTIFICATION_GROUPS = {
  link: 1,
  neighbour: 3,
  ipv4Address: 5,
  ipv4Route: 7,
  ipv6Address: 9,
  ipv6Route: 11,
  ipv4Rule: 8,
  ipv6Rule: 19,
  ipv4Netconf: 24,
  ipv6Netconf: 25,
} as const;

/** Where the kernel says that something changed. */
export class NotificationSocket implements AsyncDisposable {
  readonly #socket: NetlinkSocket;
  readonly #readable: ReadableWait;
  readonly #resources: AsyncDisposableStack;

  private constructor(socket: NetlinkSocket, readable: ReadableWait, resources: AsyncDisposableStack) {
    this.#socket = socket;
    this.#readable = readable;
    this.#resources = resources;
  }

  /**
   * Opens a socket that hears the given multicast groups: where none are given links, addresses, routes and rules,
   * neighbours and FDB entries, and the settings of links. A group that the kernel does not have is left out: the periodic
   * pass sees its changes.
   *
   * @throws {NetlinkError} If no socket or wake-up descriptor can be had.
   */
  static open(
    libc: Libc,
    options: SocketOptions & { readonly groups?: readonly number[] } = {},
  ): NotificationSocket {
    const socket = NetlinkSocket.open(libc, options);
    try {
      for (const group of options.groups ?? Object.values(NOTIFICATION_GROUPS)) {
        socket.option(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
      }
      const readable = new ReadableWait(libc, socket.fd);
      const resources = new AsyncDisposableStack();
      resources.use(socket);
      resources.use(readable);
      return new NotificationSocket(socket, readable, resources);
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Waits, off the main thread, until a notification is there.
   *
   * @throws The signal's reason, once `signal` aborts.
   */
  wait(options: { signal: AbortSignal }): Promise<void> {
    return this.#readable.wait(options);
  }

  /**
   * Reads one datagram of notifications.
   *
   * @returns Bytes read; 0 when nothing waits; -1 when notifications were lost for want of buffer.
   */
  receive(buffer: Uint8Array<ArrayBuffer>): number {
    try {
      return this.#socket.receive(buffer);
    } catch (error) {
      if (isErrno(error, ENOBUFS)) return -1;
      throw error;
    }
  }

  /** Ends a wait that is still under way, then closes both descriptors. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** Where notifications come from. */
export interface NotificationSource {
  readonly notifications: Pick<NotificationSocket, "wait" | "receive">;
  /** The port ID of the socket that our own changes go through: they are no news. */
  readonly ownPortId: number;
}

/** What becomes of notifications. */
export interface Hearing {
  /**
   * Called with each message.
   *
   * @param attributes A reader over the message's buffer, to be reused between messages.
   */
  readonly heard: (message: MessageReader, attributes: AttributeReader) => void;
  /** Called when some were lost: a whole look finds what they said. */
  readonly lost: () => void;
}

/** Reads notifications, some at a time. */
export class NotificationReader {
  readonly #hearing: Hearing;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  readonly #reader = new MessageReader(this.#buffer);
  readonly #attributes = new AttributeReader(this.#reader.view);

  constructor(readonly notifications: NotificationSource["notifications"], hearing: Hearing) {
    this.#hearing = hearing;
  }

  /**
   * Hears what waits now, as far as it is not too much for one turn.
   *
   * @throws {SyntaxError} If one is malformed; the next turn goes on behind it.
   */
  turn(): void {
    const { heard, lost } = this.#hearing;
    let hasLost = false;
    for (let count = 0; count < TURN_DATAGRAMS; count++) {
      const length = this.notifications.receive(this.#buffer);
      if (length === 0) return;
      if (length < 0) {
        // The look that answers the first comes behind this turn, and answers them all.
        if (!hasLost) lost();
        hasLost = true;
        continue;
      }
      this.#reader.reset(length);
      while (this.#reader.next()) heard(this.#reader, this.#attributes);
    }
  }
}

/**
 * Reads notifications until `signal` aborts.
 *
 * @throws {SyntaxError} If one is malformed; the next call goes on behind it.
 */
export async function hearNotifications(
  reader: NotificationReader,
  options: { signal: AbortSignal },
): Promise<void> {
  const { signal } = options;
  while (!signal.aborted) {
    try {
      await reader.notifications.wait({ signal });
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    reader.turn();
  }
}

/** Hears of changes that are not our own. */
export function othersOnly(
  { notifications, ownPortId }: NotificationSource,
  { heard, lost }: Hearing,
): NotificationReader {
  return new NotificationReader(notifications, {
    heard: (message, attributes) => {
      if (message.portId !== ownPortId) heard(message, attributes);
    },
    lost,
  });
}
