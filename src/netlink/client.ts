import { ENOBUFS, isErrno, NetlinkError } from "../linux/errno.ts";
import type { Tally } from "../model/tally.ts";
import type { DatagramTaker, FilledBatch } from "./in_bulk.ts";
import { Inbox } from "./inbox.ts";
import {
  type MessageReader,
  MessageWriter,
  NLM_F_ACK,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
} from "./message.ts";
import type { NetlinkTransport } from "./socket.ts";

/** Times that a dump is read again because the table changed under it. */
const DUMP_ATTEMPTS = 10;
/** What the kernel fills at most with one datagram of a dump. */
const RECEIVE_BYTES = 64 * 1024;
/** Bytes of requests sent at once: large enough that the system call does not count. */
const BATCH_BYTES = 64 * 1024;
/** A table changed under every attempt to read it. */
export class DumpInterruptedError extends Error {
  override readonly name = "DumpInterruptedError";
}

/** Writes the body of one request: fixed header and attributes, between `begin()` and `end()`. */
export type WriteRequest = (writer: MessageWriter, sequence: number) => void;

/** Requests and replies over one transport. Every call is over when it returns: the kernel answers at once. */
export class NetlinkClient {
  readonly #transport: NetlinkTransport;
  readonly #refusals: Tally<number> | undefined;
  readonly #writer = new MessageWriter(BATCH_BYTES + 4096);
  readonly #ownInbox = new Inbox(new Uint8Array(RECEIVE_BYTES));
  /** Where the answer to the request at hand is received. */
  #inbox = this.#ownInbox;
  #sequence = 0;
  /** Whether answers to an earlier request may still be unread. */
  #isUnread = false;

  /** @param options.refusals Counts what the kernel refuses, by error number. */
  constructor(transport: NetlinkTransport, options: { readonly refusals?: Tally<number> } = {}) {
    this.#transport = transport;
    this.#refusals = options.refusals;
  }

  /**
   * Reads a whole kernel table as of one moment.
   *
   * @param restart Called before each attempt, to forget what an earlier one read.
   * @param taker Takes what it understands; `each` sees the messages that it leaves, in their order.
   * @throws {NetlinkError} If the kernel refused.
   * @throws {DumpInterruptedError} If the table changed under every attempt.
   */
  dump(
    action: string,
    write: WriteRequest,
    restart: () => void,
    each: (message: MessageReader) => void,
    taker?: DatagramTaker,
  ): void {
    try {
      if (taker !== undefined) this.#inbox = new Inbox(taker.buffer);
      for (let attempt = 1; attempt <= DUMP_ATTEMPTS; attempt++) {
        restart();
        if (this.#dumpOnce(action, write, each, taker)) return;
      }
    } finally {
      this.#inbox = this.#ownInbox;
    }
    throw new DumpInterruptedError(
      `Cannot ${action}: the table changed during each of ${DUMP_ATTEMPTS} dumps`,
    );
  }

  /** Reports whether the dump was consistent. */
  #dumpOnce(
    action: string,
    write: WriteRequest,
    each: (message: MessageReader) => void,
    taker: DatagramTaker | undefined,
  ): boolean {
    const sequence = this.#nextSequence();
    this.#writer.clear();
    write(this.#writer, sequence);
    this.#send(action);
    const { reader } = this.#inbox;
    let isConsistent = true;
    for (;;) {
      const length = this.#receive(action);
      for (;;) {
        if (taker !== undefined) {
          reader.seek(taker.take(reader.position, length, sequence));
          if (taker.flags & NLM_F_DUMP_INTR) isConsistent = false;
        }
        if (!reader.next()) break;
        if (reader.sequence !== sequence) continue;
        if (reader.flags & NLM_F_DUMP_INTR) isConsistent = false;
        if (reader.type === NLMSG_DONE || reader.type === NLMSG_ERROR) {
          this.#finish(action);
          return isConsistent;
        }
        each(reader);
      }
    }
  }

  /**
   * Sends one request and waits for its ack; `each` sees the replies before it.
   *
   * @throws {NetlinkError} If the kernel refused.
   */
  request(action: string, write: WriteRequest, each?: (message: MessageReader) => void): void {
    const sequence = this.#nextSequence();
    this.#writer.clear();
    write(this.#writer, sequence);
    this.#writer.addFlags(NLM_F_ACK);
    this.#send(action);
    for (;;) {
      this.#receive(action);
      while (this.#inbox.reader.next()) {
        if (this.#inbox.reader.sequence !== sequence) continue;
        if (this.#inbox.reader.type === NLMSG_ERROR) return this.#finish(action);
        each?.(this.#inbox.reader);
      }
    }
  }

  /**
   * Puts one question that the kernel answers with one message, or refuses: no ack is asked for, which is quicker.
   *
   * @param absent The error number with which the kernel says that there is nothing of the kind, which is no refusal.
   * @returns Whether there is an answer.
   * @throws {NetlinkError} If the kernel refused.
   */
  ask(
    action: string,
    write: WriteRequest,
    answered: (reply: MessageReader) => void,
    absent?: number,
  ): boolean {
    const sequence = this.#nextSequence();
    this.#writer.clear();
    write(this.#writer, sequence);
    this.#send(action);
    for (;;) {
      this.#receive(action);
      while (this.#inbox.reader.next()) {
        if (this.#inbox.reader.sequence !== sequence) continue;
        this.#isUnread = false;
        const isAnswer = this.#inbox.reader.type !== NLMSG_ERROR;
        if (isAnswer) answered(this.#inbox.reader);
        else if (this.#inbox.errno() !== absent) this.#finish(action);
        return isAnswer;
      }
    }
  }

  /**
   * Sends many requests in few system calls. Only the last of each batch asks for an ack; the kernel answers
   * every refused one anyway, and the sequence number tells which.
   *
   * @param write Writes request `index` as exactly one message.
   * @param refused Called for each request that the kernel refused.
   */
  batch(
    count: number,
    write: (index: number, writer: MessageWriter, sequence: number) => void,
    refused: (index: number, errno: number, extack: string | undefined) => void,
  ): void {
    const writer = this.#writer;
    this.batches(count, (first, sequence) => {
      writer.clear();
      let next = first;
      while (next < count && writer.length < BATCH_BYTES) {
        write(next, writer, sequence + (next++ - first) >>> 0);
      }
      writer.addFlags(NLM_F_ACK);
      return { bytes: writer.bytes, count: next - first };
    }, refused);
  }

  /**
   * The same for requests that are written many at once.
   *
   * @param fill Writes the requests of one batch, at least one: from number `first` on, each one message with the next sequence
   * number, the last of them with `NLM_F_ACK`.
   */
  batches(
    count: number,
    fill: (first: number, sequence: number) => FilledBatch,
    refused: (index: number, errno: number, extack: string | undefined) => void,
  ): void {
    let first = 0;
    while (first < count) {
      const sequence = this.#nextSequence();
      const batch = fill(first, sequence);
      this.#sequence = sequence + batch.count - 1 >>> 0;
      this.#sendBatch(batch.bytes, first, first + batch.count, sequence, refused);
      first += batch.count;
    }
  }

  /**
   * Sends several messages of which the kernel carries out all or none, as nf_tables does with a batch, and asks for
   * no ack: it answers what it refuses.
   *
   * @param write Writes the messages, each with the next sequence number.
   * @throws {NetlinkError} If the kernel refused: with its first answer.
   */
  transaction(action: string, write: (writer: MessageWriter, next: () => number) => void): void {
    this.#writer.clear();
    write(this.#writer, () => this.#nextSequence());
    this.#send(action);
    let refusal: NetlinkError | undefined;
    for (;;) {
      const length = this.#transport.receive(this.#inbox.buffer);
      if (length === 0) break;
      this.#inbox.reader.reset(length);
      while (this.#inbox.reader.next()) {
        if (this.#inbox.reader.type !== NLMSG_ERROR) continue;
        const errno = this.#errno();
        if (errno !== 0) refusal ??= new NetlinkError(action, errno, this.#inbox.extack());
      }
    }
    this.#isUnread = false;
    if (refusal !== undefined) throw refusal;
  }

  #sendBatch(
    bytes: Uint8Array<ArrayBuffer>,
    first: number,
    next: number,
    firstSequence: number,
    refused: (index: number, errno: number, extack: string | undefined) => void,
  ): void {
    const answered = new Set<number>();
    const refuse = (index: number, errno: number, extack?: string) => {
      if (answered.has(index)) return;
      answered.add(index);
      refused(index, errno, extack);
    };
    try {
      this.#send("send a batch", bytes);
      for (;;) {
        this.#receive("send a batch");
        while (this.#inbox.reader.next()) {
          const index = first + (this.#inbox.reader.sequence - firstSequence >>> 0);
          if (this.#inbox.reader.type !== NLMSG_ERROR || index >= next) continue;
          const errno = this.#errno();
          if (errno !== 0) refuse(index, errno, this.#inbox.extack());
          if (index !== next - 1) continue;
          this.#isUnread = false;
          return;
        }
      }
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      // Not known which were carried out: all count as refused, and the next look at the kernel tells.
      for (let index = first; index < next; index++) refuse(index, error.errno, error.extack);
    }
  }

  #nextSequence(): number {
    this.#sequence = this.#sequence + 1 >>> 0;
    return this.#sequence;
  }

  /** Sends what the writer holds, or other bytes, after throwing away answers to an earlier request that nobody read. */
  #send(action: string, bytes = this.#writer.bytes): void {
    try {
      // A dump that was left in the middle keeps the kernel from starting another one.
      if (this.#isUnread) this.#discard();
      this.#isUnread = true;
      this.#transport.send(bytes);
    } catch (error) {
      if (error instanceof NetlinkError) throw new NetlinkError(action, error.errno, error.extack);
      throw error;
    }
  }

  #discard(): void {
    for (;;) {
      try {
        if (this.#transport.receive(this.#inbox.buffer) === 0) return;
      } catch (error) {
        if (!isErrno(error, ENOBUFS)) throw error;
      }
    }
  }

  /** Receives a datagram; returns its length in bytes. */
  #receive(action: string): number {
    const length = this.#transport.receive(this.#inbox.buffer);
    // The kernel answers before send() returns, so silence means that the answer was dropped.
    if (length === 0) throw new NetlinkError(action, ENOBUFS, "the kernel's answer was lost");
    this.#inbox.reader.reset(length);
    return length;
  }

  /**
   * Takes the last answer to a request.
   *
   * @throws {NetlinkError} If the kernel refused.
   */
  #finish(action: string): void {
    const errno = this.#errno();
    const extack = errno === 0 ? undefined : this.#inbox.extack();
    this.#isUnread = false;
    if (errno !== 0) throw new NetlinkError(action, errno, extack);
  }

  /** The positive error number in an `NLMSG_ERROR` or `NLMSG_DONE`, counted; 0 is an ack. */
  #errno(): number {
    const errno = this.#inbox.errno();
    if (errno > 0) this.#refusals?.add(errno);
    return errno;
  }
}
