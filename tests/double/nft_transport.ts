import { MESSAGE_HEADER_BYTES, NLM_F_CAPPED, NLMSG_ERROR } from "../../src/netlink/message.ts";
import { LITTLE_ENDIAN } from "../../src/linux/byte_order.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";

// What the real kernel cannot be asked to do at a given send, be it a question, a dump or a whole transaction.

/** A transport whose `n`-th send, counted from 0, is refused with `errno`; the kernel never sees it. */
export function refusingSend(transport: NetlinkTransport, n: number, errno: number): NetlinkTransport {
  let sent = 0;
  let answer: Uint8Array<ArrayBuffer> | undefined;
  return {
    portId: transport.portId,
    send(batch) {
      answer = undefined;
      if (sent++ !== n) return transport.send(batch);
      answer = new Uint8Array(2 * MESSAGE_HEADER_BYTES + 4);
      const view = new DataView(answer.buffer);
      view.setUint32(0, answer.length, LITTLE_ENDIAN);
      view.setUint16(4, NLMSG_ERROR, LITTLE_ENDIAN);
      view.setUint16(6, NLM_F_CAPPED, LITTLE_ENDIAN);
      answer.set(batch.subarray(8, 12), 8);
      view.setInt32(MESSAGE_HEADER_BYTES, -errno, LITTLE_ENDIAN);
      answer.set(batch.subarray(0, MESSAGE_HEADER_BYTES), MESSAGE_HEADER_BYTES + 4);
    },
    receive(buffer) {
      if (answer === undefined) return transport.receive(buffer);
      const { length } = answer;
      buffer.set(answer);
      answer = undefined;
      return length;
    },
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}

/** A transport that calls `meddle` before each send, with its number counted from 0. */
export function meddling(transport: NetlinkTransport, meddle: (n: number) => void): NetlinkTransport {
  let sent = 0;
  return {
    portId: transport.portId,
    send(batch) {
      meddle(sent++);
      transport.send(batch);
    },
    receive: (buffer) => transport.receive(buffer),
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}
