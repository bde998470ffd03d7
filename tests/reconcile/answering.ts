import {
  MESSAGE_HEADER_BYTES,
  MessageReader,
  NLM_F_ACK,
  NLM_F_CAPPED,
  NLM_F_DUMP,
  NLMSG_DONE,
  NLMSG_ERROR,
} from "../../src/netlink/message.ts";
import { LITTLE_ENDIAN } from "../../src/linux/byte_order.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";

/** A transport that remembers what was asked of it. */
export interface AnsweringTransport extends NetlinkTransport {
  /** `RTM_*` of each request so far. */
  readonly asked: number[];
}

/**
 * A kernel that holds nothing, and answers each request with the error number that `errnoOf` names; 0 is success.
 * As the kernel does, it answers a request without `NLM_F_ACK` only to refuse it.
 */
export function answering(errnoOf: (type: number) => number): AnsweringTransport {
  const asked: number[] = [];
  const answers: Uint8Array[] = [];
  return {
    portId: 1,
    asked,
    send(batch) {
      const reader = new MessageReader(batch);
      reader.reset(batch.length);
      while (reader.next()) {
        asked.push(reader.type);
        const errno = errnoOf(reader.type);
        const isDump = (reader.flags & NLM_F_DUMP) === NLM_F_DUMP && (reader.type & 3) === 2;
        if (errno === 0 && isDump) answers.push(answer(reader, NLMSG_DONE, 0));
        else if (errno !== 0 || reader.flags & NLM_F_ACK) answers.push(answer(reader, NLMSG_ERROR, errno));
      }
    },
    receive(buffer) {
      const next = answers.shift();
      if (next === undefined) return 0;
      buffer.set(next);
      return next.length;
    },
    [Symbol.dispose]: () => {},
  };
}

function answer(request: MessageReader, type: number, errno: number): Uint8Array {
  const bytes = new Uint8Array(2 * MESSAGE_HEADER_BYTES + 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, LITTLE_ENDIAN);
  view.setUint16(4, type, LITTLE_ENDIAN);
  view.setUint16(6, NLM_F_CAPPED, LITTLE_ENDIAN);
  view.setUint32(8, request.sequence, LITTLE_ENDIAN);
  view.setInt32(16, -errno, LITTLE_ENDIAN);
  const at = request.start - MESSAGE_HEADER_BYTES;
  bytes.set(request.bytes.subarray(at, request.start), MESSAGE_HEADER_BYTES + 4);
  return bytes;
}
