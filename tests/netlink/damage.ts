import { AttributeReader } from "../../src/netlink/attribute.ts";
import { align4, MESSAGE_HEADER_BYTES, MessageReader } from "../../src/netlink/message.ts";
import { LITTLE_ENDIAN } from "../../src/linux/byte_order.ts";
import { CAPTURES } from "./captures.ts";
import { fromHex, setSequence } from "./golden.ts";

/** A whole number from 0 up to `limit`. */
export type Random = (limit: number) => number;

/** A whole message of a capture, and where its attributes begin, nested ones too. */
export interface Sample {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly attributes: readonly number[];
}

/** Fixed headers by message type divided by four; `NLMSG_ERROR` as of a whole refused route request. */
const HEADER_BYTES: Readonly<Record<number, number>> = { 0: 4 + 52, 4: 16, 5: 8, 6: 12, 7: 12, 26: 8 };

/** Every message of captures, as an answer to request 1; those of rtnetlink where none are given. */
export function samples(
  captures: readonly string[] = Object.values(CAPTURES),
  headerBytes = (type: number) => HEADER_BYTES[type >> 2]!,
): Sample[] {
  return captures.flatMap((wire) => {
    const capture = fromHex(wire);
    setSequence(capture, 1);
    const reader = new MessageReader(capture);
    reader.reset(capture.length);
    const found: Sample[] = [];
    while (reader.next()) {
      const bytes = capture.slice(reader.start - MESSAGE_HEADER_BYTES, reader.end);
      const start = MESSAGE_HEADER_BYTES + headerBytes(reader.type);
      found.push({ bytes, attributes: attributesOf(bytes, start, bytes.length) });
    }
    return found;
  });
}

/** Where attributes begin, as far as the bytes between two offsets can be read as such, at any depth. */
function attributesOf(bytes: Uint8Array, start: number, end: number): number[] {
  const found: number[] = [];
  const reader = new AttributeReader(new DataView(bytes.buffer, bytes.byteOffset), start, end);
  try {
    while (reader.next()) {
      found.push(reader.start - 4);
      if (reader.length >= 4) found.push(...attributesOf(bytes, reader.start, reader.end));
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return [];
  }
  return found;
}

const LENGTHS = [0, 1, 3, 4, 5, 8, 15, 16, 17, 20, 36, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const TYPES = [0, 2, 3, 16, 20, 24, 28, 104, 0xffff];
const FLAGS = [0, 0x2, 0x10, 0x22, 0x100, 0x200, 0x300, 0xffff];

/** One to four messages in a row, damaged in one to three ways. */
export function damaged(random: Random, all: readonly Sample[]): Uint8Array<ArrayBuffer> {
  const picked = Array.from({ length: 1 + random(4) }, () => all[random(all.length)]!);
  const offsets: number[] = [];
  let length = 0;
  for (const { bytes } of picked) {
    offsets.push(length);
    length = align4(length + bytes.length);
  }
  let datagram = new Uint8Array(length);
  picked.forEach(({ bytes }, index) => datagram.set(bytes, offsets[index]!));
  for (let times = 1 + random(3); times > 0; times--) {
    const which = random(picked.length);
    const view = new DataView(datagram.buffer);
    const fits = (at: number, bytes: number) => at + bytes <= datagram.length;
    const at = offsets[which]!;
    const { attributes } = picked[which]!;
    switch (random(8)) {
      case 0:
        for (let bits = 1 + random(8); bits > 0 && datagram.length > 0; bits--) {
          const position = random(datagram.length);
          datagram[position] = datagram[position]! ^ 1 << random(8);
        }
        break;
      case 1:
        datagram = datagram.slice(0, random(datagram.length + 1));
        break;
      case 2:
        if (fits(at, 4)) view.setUint32(at, LENGTHS[random(LENGTHS.length)]!, LITTLE_ENDIAN);
        break;
      case 3: {
        const attribute = at + (attributes[random(Math.max(1, attributes.length))] ?? 0);
        if (!fits(attribute, 2)) break;
        const near = view.getUint16(attribute, LITTLE_ENDIAN) + random(9) - 4;
        view.setUint16(attribute, random(2) === 0 ? near : LENGTHS[random(LENGTHS.length)]!, LITTLE_ENDIAN);
        break;
      }
      case 4: {
        const attribute = at + (attributes[random(Math.max(1, attributes.length))] ?? 0);
        if (fits(attribute, 4)) view.setUint16(attribute + 2, random(32), LITTLE_ENDIAN);
        break;
      }
      case 5: {
        const other = all[random(all.length)]!.bytes;
        const from = random(other.length);
        const piece = other.subarray(from, from + random(64));
        const into = random(datagram.length + 1);
        const spliced = new Uint8Array(datagram.length + piece.length);
        spliced.set(datagram.subarray(0, into));
        spliced.set(piece, into);
        spliced.set(datagram.subarray(into), into + piece.length);
        datagram = spliced;
        break;
      }
      case 6:
        if (!fits(at, 8)) break;
        if (random(2) === 0) view.setUint16(at + 4, TYPES[random(TYPES.length)]!, LITTLE_ENDIAN);
        view.setUint16(at + 6, FLAGS[random(FLAGS.length)]!, LITTLE_ENDIAN);
        break;
      case 7:
        if (!fits(at, 24)) break;
        // An error number, and the length of the refused request behind it.
        view.setUint32(at + MESSAGE_HEADER_BYTES, LENGTHS[random(LENGTHS.length)]!, LITTLE_ENDIAN);
        view.setUint32(at + MESSAGE_HEADER_BYTES + 4, LENGTHS[random(LENGTHS.length)]!, LITTLE_ENDIAN);
        break;
    }
  }
  return datagram;
}
