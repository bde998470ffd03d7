// How many messages are read or written at once, where one at a time takes too long.

/** Takes from the datagrams of a dump the messages that it understands, many at once. */
export interface DatagramTaker {
  /** Where datagrams are received, at least 64 KiB. */
  readonly buffer: Uint8Array<ArrayBuffer>;
  /**
   * Takes messages that answer request `sequence`, from byte `from` on, and passes by those for others.
   *
   * @param limit Bytes of the datagram.
   * @returns Where the first message begins that it leaves; `limit` or more for none.
   */
  take(from: number, limit: number, sequence: number): number;
  /** The flags of all messages that the last `take()` passed by, one or the other. */
  readonly flags: number;
}

/** Requests that are sent at once. */
export interface FilledBatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly count: number;
}
