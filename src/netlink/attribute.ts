import { align4, ATTRIBUTE_HEADER_BYTES } from "./message.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";

/** Without the two flag bits in an attribute's type: `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`. */
const ATTRIBUTE_TYPE_MASK = 0x3fff;

/**
 * Walks attributes between two offsets of a message. Unknown ones are simply passed by.
 *
 * | offset | bytes | C field    | here    |
 * | -----: | ----: | ---------- | ------- |
 * |      0 |     2 | `nla_len`  | `end`   |
 * |      2 |     2 | `nla_type` | `type`  |
 *
 * Source: `struct nlattr`, netlink(7).
 */
export class AttributeReader {
  type = 0;
  /** Offset of the payload, and of the byte behind it. */
  start = 0;
  end = 0;
  /** Offset of the first attribute, and of the byte behind the last one. */
  rangeStart = 0;
  rangeEnd = 0;
  #next = 0;

  constructor(readonly view: DataView, start = 0, end = 0) {
    this.reset(start, end);
  }

  /** Starts over between two offsets. */
  reset(start: number, end: number): void {
    this.rangeStart = start;
    this.rangeEnd = end;
    this.#next = start;
  }

  /**
   * Moves to the next attribute; `false` behind the last one.
   *
   * @throws {SyntaxError} If an attribute claims more bytes than there are, or fewer than its own header.
   */
  next(): boolean {
    const at = this.#next;
    const left = this.rangeEnd - at;
    if (left <= 0) return false;
    const length = left < ATTRIBUTE_HEADER_BYTES ? 0 : this.view.getUint16(at, LITTLE_ENDIAN);
    if (length < ATTRIBUTE_HEADER_BYTES || length > left) {
      throw new SyntaxError(`Cannot decode attribute: ${left} bytes are left and it claims ${length}`);
    }
    this.type = this.view.getUint16(at + 2, LITTLE_ENDIAN) & ATTRIBUTE_TYPE_MASK;
    this.start = at + ATTRIBUTE_HEADER_BYTES;
    this.end = at + length;
    this.#next = at + align4(length);
    return true;
  }

  /** Bytes in the payload. */
  get length(): number {
    return this.end - this.start;
  }

  u8(): number {
    this.#require(1);
    return this.view.getUint8(this.start);
  }

  u16(): number {
    this.#require(2);
    return this.view.getUint16(this.start, LITTLE_ENDIAN);
  }

  /** A 16-bit number in network order, such as a port. */
  u16be(): number {
    this.#require(2);
    return this.view.getUint16(this.start);
  }

  /** A 32-bit number in network order, as netfilter has them. */
  u32be(): number {
    this.#require(4);
    return this.view.getUint32(this.start);
  }

  u64be(): bigint {
    this.#require(8);
    return this.view.getBigUint64(this.start);
  }

  /** A copy of the payload. */
  bytes(): Uint8Array {
    return new Uint8Array(this.view.buffer, this.view.byteOffset + this.start, this.length).slice();
  }

  /** A reader of the attributes inside of this one. */
  nested(): AttributeReader {
    return new AttributeReader(this.view, this.start, this.end);
  }

  u32(): number {
    this.#require(4);
    return this.view.getUint32(this.start, LITTLE_ENDIAN);
  }

  /** A C string; the zero at its end may be missing. */
  text(): string {
    const bytes = new Uint8Array(this.view.buffer, this.view.byteOffset + this.start, this.length);
    const zero = bytes.indexOf(0);
    return new TextDecoder().decode(zero < 0 ? bytes : bytes.subarray(0, zero));
  }

  /** Reads an address of either family into four words at `at`; the payload's length tells the family. */
  addressWords(words: Uint32Array, at: number): void {
    if (this.length !== 4) this.#require(16);
    const count = this.length === 4 ? 1 : 4;
    for (let word = 0; word < count; word++) words[at + word] = this.view.getUint32(this.start + 4 * word);
  }

  /** Reads a link-layer address of six bytes into two words at `at`. */
  macWords(words: Uint32Array, at: number): void {
    this.#require(6);
    words[at] = this.view.getUint16(this.start);
    words[at + 1] = this.view.getUint32(this.start + 2);
  }

  #require(bytes: number): void {
    if (this.length < bytes) {
      throw new SyntaxError(
        `Cannot decode attribute ${this.type}: it has ${this.length} bytes, fewer than ${bytes}`,
      );
    }
  }
}
