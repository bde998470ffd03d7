import { LITTLE_ENDIAN } from "../linux/byte_order.ts";

/** `sizeof(struct nlmsghdr)`. */
export const MESSAGE_HEADER_BYTES = 16;
/** `sizeof(struct nlattr)`. */
export const ATTRIBUTE_HEADER_BYTES = 4;
/** In an attribute's type: attributes are inside it. */
const NLA_F_NESTED = 0x8000;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
/** In an `NLMSG_ERROR`: the refused request is not repeated behind its header. */
export const NLM_F_CAPPED = 0x100;
/** In an `NLMSG_ERROR` or `NLMSG_DONE`: attributes follow (`NETLINK_EXT_ACK`). */
export const NLM_F_ACK_TLVS = 0x200;

/** Rounds up to the next multiple of four, as messages and attributes are. */
export function align4(bytes: number): number {
  return bytes + 3 & ~3;
}

/**
 * Walks the messages of one datagram without an object a message.
 *
 * | offset | bytes | C field       | here       |
 * | -----: | ----: | ------------- | ---------- |
 * |      0 |     4 | `nlmsg_len`   | `end`      |
 * |      4 |     2 | `nlmsg_type`  | `type`     |
 * |      6 |     2 | `nlmsg_flags` | `flags`    |
 * |      8 |     4 | `nlmsg_seq`   | `sequence` |
 * |     12 |     4 | `nlmsg_pid`   | `portId`   |
 *
 * Source: `struct nlmsghdr`, netlink(7).
 */
export class MessageReader {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  type = 0;
  flags = 0;
  sequence = 0;
  portId = 0;
  /** Offset of the payload, and of the byte behind it. */
  start = 0;
  end = 0;
  #next = 0;
  #limit = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Starts over with the first `length` bytes of the buffer. */
  reset(length: number): void {
    this.#next = 0;
    this.#limit = length;
  }

  /** Where the next message begins. */
  get position(): number {
    return this.#next;
  }

  /** Sets where the next message begins: somebody else has read those before it. */
  seek(position: number): void {
    this.#next = position;
  }

  /**
   * Moves to the next message; `false` behind the last one.
   *
   * @throws {SyntaxError} If a message claims more bytes than there are, or fewer than its own header.
   */
  next(): boolean {
    const at = this.#next;
    const left = this.#limit - at;
    if (left <= 0) return false;
    const length = left < MESSAGE_HEADER_BYTES ? 0 : this.view.getUint32(at, LITTLE_ENDIAN);
    if (length < MESSAGE_HEADER_BYTES || length > left) {
      throw new SyntaxError(`Cannot decode netlink message: ${left} bytes are left and it claims ${length}`);
    }
    this.type = this.view.getUint16(at + 4, LITTLE_ENDIAN);
    this.flags = this.view.getUint16(at + 6, LITTLE_ENDIAN);
    this.sequence = this.view.getUint32(at + 8, LITTLE_ENDIAN);
    this.portId = this.view.getUint32(at + 12, LITTLE_ENDIAN);
    this.start = at + MESSAGE_HEADER_BYTES;
    this.end = at + length;
    this.#next = at + align4(length);
    return true;
  }

  /**
   * Checks that the payload holds a fixed header of `bytes`.
   *
   * @throws {SyntaxError} If it is shorter.
   */
  requireHeader(bytes: number): void {
    if (this.end - this.start < bytes) {
      throw new SyntaxError(
        `Cannot decode netlink message of type ${this.type}: its payload has ${
          this.end - this.start
        } bytes, ` +
          `fewer than ${bytes}`,
      );
    }
  }
}

/** Writes messages one after another into a growing buffer, to be sent as one batch. */
export class MessageWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;
  #messageStart = 0;

  constructor(capacity = 4096) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** The messages written since the last `clear()`. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#length = 0;
  }

  /** Starts a message; its fixed header and attributes follow, then `end()`. */
  begin(type: number, flags: number, sequence: number): void {
    this.#reserve(MESSAGE_HEADER_BYTES);
    this.#messageStart = this.#length;
    this.#view.setUint16(this.#length + 4, type, LITTLE_ENDIAN);
    this.#view.setUint16(this.#length + 6, flags | NLM_F_REQUEST, LITTLE_ENDIAN);
    this.#view.setUint32(this.#length + 8, sequence, LITTLE_ENDIAN);
    this.#view.setUint32(this.#length + 12, 0, LITTLE_ENDIAN);
    this.#length += MESSAGE_HEADER_BYTES;
  }

  /** Ends the message that `begin()` started. */
  end(): void {
    this.#view.setUint32(this.#messageStart, this.#length - this.#messageStart, LITTLE_ENDIAN);
    this.#pad();
  }

  /** Adds flags to the message that was written last. */
  addFlags(flags: number): void {
    const at = this.#messageStart + 6;
    this.#view.setUint16(at, this.#view.getUint16(at, LITTLE_ENDIAN) | flags, LITTLE_ENDIAN);
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#view.setUint8(this.#length, value);
    this.#length += 1;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value, LITTLE_ENDIAN);
    this.#length += 2;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, LITTLE_ENDIAN);
    this.#length += 4;
  }

  attributeU8(type: number, value: number): void {
    this.#attribute(type, 1);
    this.u8(value);
    this.#pad();
  }

  attributeU16be(type: number, value: number): void {
    this.#attribute(type, 2);
    this.#reserve(2);
    this.#view.setUint16(this.#length, value);
    this.#length += 2;
    this.#pad();
  }

  /** A 32-bit number in network order, as netfilter has them. */
  attributeU32be(type: number, value: number): void {
    this.#attribute(type, 4);
    this.#reserve(4);
    this.#view.setUint32(this.#length, value);
    this.#length += 4;
  }

  attributeU64be(type: number, value: bigint): void {
    this.#attribute(type, 8);
    this.#reserve(8);
    this.#view.setBigUint64(this.#length, value);
    this.#length += 8;
  }

  attributeU32(type: number, value: number): void {
    this.#attribute(type, 4);
    this.u32(value);
  }

  /** An attribute whose presence is its value. */
  attributeFlag(type: number): void {
    this.#attribute(type, 0);
  }

  /** A C string with its zero. */
  attributeText(type: number, text: string): void {
    this.attributeBytes(type, new TextEncoder().encode(`${text}\0`));
  }

  attributeBytes(type: number, bytes: Uint8Array): void {
    this.#attribute(type, bytes.length);
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    this.#pad();
  }

  /** The first `bytes` (4 or 16) of an address in four words at `at`. */
  attributeAddress(type: number, words: Uint32Array, at: number, bytes: number): void {
    this.#attribute(type, bytes);
    this.#reserve(bytes);
    for (let offset = 0; offset < bytes; offset += 4) {
      this.#view.setUint32(this.#length + offset, words[at + offset / 4]!);
    }
    this.#length += bytes;
  }

  /** A MAC in two words at `at`. */
  attributeMac(type: number, words: Uint32Array, at: number): void {
    this.#attribute(type, 6);
    this.#reserve(6);
    this.#view.setUint16(this.#length, words[at]!);
    this.#view.setUint32(this.#length + 2, words[at + 1]!);
    this.#length += 6;
    this.#pad();
  }

  /** An attribute that holds what `content` writes. */
  nested(type: number, content: () => void): void {
    const at = this.#length;
    this.#attribute(type | NLA_F_NESTED, 0);
    content();
    this.#view.setUint16(at, this.#length - at, LITTLE_ENDIAN);
  }

  #attribute(type: number, bytes: number): void {
    this.#reserve(ATTRIBUTE_HEADER_BYTES);
    this.#view.setUint16(this.#length, bytes + ATTRIBUTE_HEADER_BYTES, LITTLE_ENDIAN);
    this.#view.setUint16(this.#length + 2, type, LITTLE_ENDIAN);
    this.#length += ATTRIBUTE_HEADER_BYTES;
  }

  #pad(): void {
    const padded = align4(this.#length);
    this.#reserve(padded - this.#length);
    while (this.#length < padded) this.#bytes[this.#length++] = 0;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + bytes));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}
