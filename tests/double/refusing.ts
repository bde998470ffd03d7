import {
  MESSAGE_HEADER_BYTES,
  MessageReader,
  NLM_F_CAPPED,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLMSG_ERROR,
} from "../../src/netlink/message.ts";
import { LITTLE_ENDIAN } from "../../src/linux/byte_order.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";

// What the real kernel cannot be asked to do: wrappers around a transport, to be stacked as needed.

/** A request as it stands in a batch. */
export interface Request {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
}

/** Cuts a batch into its requests, padding included. */
export function requestsOf(batch: Uint8Array<ArrayBuffer>): Request[] {
  const requests: Request[] = [];
  const reader = new MessageReader(batch);
  reader.reset(batch.length);
  while (reader.next()) {
    const { type, flags, sequence, start, end } = reader;
    const bytes = batch.subarray(start - MESSAGE_HEADER_BYTES, Math.min(end + 3 & ~3, batch.length));
    requests.push({ bytes, type, flags, sequence });
  }
  return requests;
}

/** Reports whether a request changes something: rtnetlink's types come in fours, NEW, DEL, GET and SET. */
function isChange(request: Request): boolean {
  return (request.type & 3) !== 2;
}

function isDump(request: Request): boolean {
  return !isChange(request) && (request.flags & NLM_F_DUMP) === NLM_F_DUMP;
}

/** What the kernel would answer to `request` if it refused it with `errno`. */
function refusal(request: Request, errno: number, portId: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(2 * MESSAGE_HEADER_BYTES + 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, LITTLE_ENDIAN);
  view.setUint16(4, NLMSG_ERROR, LITTLE_ENDIAN);
  view.setUint16(6, NLM_F_CAPPED, LITTLE_ENDIAN);
  view.setUint32(8, request.sequence, LITTLE_ENDIAN);
  view.setUint32(12, portId, LITTLE_ENDIAN);
  view.setInt32(16, -errno, LITTLE_ENDIAN);
  bytes.set(request.bytes.subarray(0, MESSAGE_HEADER_BYTES), MESSAGE_HEADER_BYTES + 4);
  return bytes;
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * A transport whose `n`-th request that is meant, counted from 0, is refused with `errno`; the kernel never sees it.
 * Changes are meant where nothing else is said.
 */
export function refusing(
  transport: NetlinkTransport,
  n: number,
  errno: number,
  isMeant: (request: Request) => boolean = isChange,
): NetlinkTransport {
  let seen = 0;
  return refusingAll(transport, errno, (request) => isMeant(request) && seen++ === n);
}

/** A transport that refuses with `errno` every request that is meant; the kernel never sees these. */
export function refusingAll(
  transport: NetlinkTransport,
  errno: number,
  isMeant: (request: Request) => boolean,
): NetlinkTransport {
  let before: Uint8Array<ArrayBuffer> | undefined;
  let after: Uint8Array<ArrayBuffer> | undefined;
  return {
    portId: transport.portId,
    send(batch) {
      before = after = undefined;
      const requests = requestsOf(batch);
      const refused = requests.filter(isMeant);
      if (refused.length === 0) return transport.send(batch);
      const answers = refused.map((request) => refusal(request, errno, transport.portId));
      // The client reads until the last request is answered: an answer to that one must be the last to come.
      if (refused.at(-1) === requests.at(-1)) after = answers.pop();
      if (answers.length > 0) before = concat(answers);
      const others = requests.filter((request) => !refused.includes(request));
      if (others.length > 0) transport.send(concat(others.map(({ bytes }) => bytes)));
    },
    receive(buffer) {
      if (before !== undefined) {
        const length = deliver(before, buffer);
        before = undefined;
        return length;
      }
      const length = transport.receive(buffer);
      if (length !== 0 || after === undefined) return length;
      const synthetic = deliver(after, buffer);
      after = undefined;
      return synthetic;
    },
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}

function deliver(datagram: Uint8Array, buffer: Uint8Array): number {
  buffer.set(datagram);
  return datagram.length;
}

/** A transport that counts what goes through it. */
export interface CountingTransport extends NetlinkTransport {
  /** Requests that change something. */
  readonly writes: number;
  /** Requests for a whole table. */
  readonly dumps: number;
  /** Requests for one object. */
  readonly queries: number;
  /** System calls that sent them. */
  readonly sends: number;
  /** Starts over from 0. */
  reset(): void;
}

/** A transport that counts requests by kind. */
export function counting(transport: NetlinkTransport): CountingTransport {
  const zero = { writes: 0, dumps: 0, queries: 0, sends: 0 };
  const counts = { ...zero };
  return {
    portId: transport.portId,
    get writes() {
      return counts.writes;
    },
    get dumps() {
      return counts.dumps;
    },
    get queries() {
      return counts.queries;
    },
    get sends() {
      return counts.sends;
    },
    reset: () => void Object.assign(counts, zero),
    send(batch) {
      counts.sends++;
      for (const request of requestsOf(batch)) {
        counts[isChange(request) ? "writes" : isDump(request) ? "dumps" : "queries"]++;
      }
      transport.send(batch);
    },
    receive: (buffer) => transport.receive(buffer),
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}

/** A transport whose first `times` dumps look as if the table had changed under them. */
export function interrupting(transport: NetlinkTransport, times: number): NetlinkTransport {
  let seen = 0;
  const interrupted = new Set<number>();
  return {
    portId: transport.portId,
    send(batch) {
      for (const request of requestsOf(batch)) {
        if (isDump(request) && seen++ < times) interrupted.add(request.sequence);
      }
      transport.send(batch);
    },
    receive(buffer) {
      const length = transport.receive(buffer);
      const reader = new MessageReader(buffer);
      reader.reset(length);
      while (reader.next()) {
        if (!interrupted.has(reader.sequence)) continue;
        const at = reader.start - MESSAGE_HEADER_BYTES + 6;
        reader.view.setUint16(at, reader.flags | NLM_F_DUMP_INTR, LITTLE_ENDIAN);
      }
      return length;
    },
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}

/** A transport that loses every answer to its `n`-th send, counted from 0; the kernel has carried it out. */
export function losing(transport: NetlinkTransport, n: number): NetlinkTransport {
  let sent = 0;
  return {
    portId: transport.portId,
    send(batch) {
      transport.send(batch);
      if (sent++ !== n) return;
      const lost = new Uint8Array(64 * 1024);
      while (transport.receive(lost) > 0);
    },
    receive: (buffer) => transport.receive(buffer),
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}
