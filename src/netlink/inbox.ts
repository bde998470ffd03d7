import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import { AttributeReader } from "./attribute.ts";
import {
  align4,
  MESSAGE_HEADER_BYTES,
  MessageReader,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_ERROR,
} from "./message.ts";

/** `NLMSGERR_ATTR_MSG`: the kernel's sentence about a refusal. */
const NLMSGERR_ATTR_MSG = 1;

/** A place for one datagram, and what reads it. */
export class Inbox {
  readonly reader: MessageReader;
  readonly #attributes: AttributeReader;

  constructor(readonly buffer: Uint8Array<ArrayBuffer>) {
    this.reader = new MessageReader(buffer);
    this.#attributes = new AttributeReader(this.reader.view);
  }

  /**
   * The positive error number in an `NLMSG_ERROR` or `NLMSG_DONE`; 0 is an ack.
   *
   * @throws {SyntaxError} If there is none.
   */
  errno(): number {
    this.reader.requireHeader(4);
    const errno = -this.reader.view.getInt32(this.reader.start, LITTLE_ENDIAN);
    if (errno < 0) throw new SyntaxError(`Cannot decode netlink reply: its error number is ${errno}`);
    return errno;
  }

  /** The kernel's sentence in an `NLMSG_ERROR` or `NLMSG_DONE`, where it sent one. */
  extack(): string | undefined {
    const { view, start, end, flags, type } = this.reader;
    if (!(flags & NLM_F_ACK_TLVS)) return undefined;
    let at = start + 4;
    if (type === NLMSG_ERROR) {
      if (end - at < MESSAGE_HEADER_BYTES) return undefined;
      const refusedBytes = flags & NLM_F_CAPPED ? MESSAGE_HEADER_BYTES : view.getUint32(at, LITTLE_ENDIAN);
      if (refusedBytes > end - at) return undefined;
      at += align4(refusedBytes);
    }
    if (at >= end) return undefined;
    const attributes = this.#attributes;
    attributes.reset(at, end);
    while (attributes.next()) {
      if (attributes.type === NLMSGERR_ATTR_MSG) return attributes.text();
    }
    return undefined;
  }
}
