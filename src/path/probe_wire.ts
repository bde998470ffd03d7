import { crc32 } from "./crc32.ts";

// A probe is one UDP datagram in network order: a head of 36 bytes, and filling up to the size that is asked about.
//
// | offset | bytes | holds                                                                                  |
// | -----: | ----: | -------------------------------------------------------------------------------------- |
// |      0 |     4 | `LODP`                                                                                 |
// |      4 |     1 | version, 1                                                                             |
// |      5 |     1 | kind: 1 asks, 2 answers                                                                |
// |      6 |     2 | flags, below                                                                           |
// |      8 |     8 | the nonce: of who asks, repeated by who answers                                        |
// |     16 |     8 | when it was asked, in microseconds of the clock of who asks; repeated, and not looked at |
// |     24 |     2 | bytes of this datagram, as it was sent                                                 |
// |     26 |     2 | of a question: the bytes that the answer is to have; of an answer: those that arrived  |
// |     28 |     4 | CRC-32 of the filling                                                                  |
// |     32 |     4 | CRC-32 of the 32 bytes before                                                          |
//
// No answer is longer than its question. The filling is made of the nonce, so that it differs from probe to probe.

const MAGIC = 0x4c4f_4450;
const VERSION = 1;
const KIND_ASK = 1;
const KIND_ANSWER = 2;

/** Bytes of the head, and so of the smallest probe. */
export const HEAD_BYTES = 36;
/** Where the head's own checksum is. */
const CRC_AT = 32;
/** The largest probe: an IP packet of 9,216 bytes, as jumbo frames carry it, without IPv4's header and UDP's. */
export const MAX_PROBE_BYTES = 9216 - 28;

/** In flags of a question: the answer is to leave its UDP checksum out. */
const PLAIN_ANSWER = 1 << 0;
/** In flags of both: it has left its own out. */
const PLAIN = 1 << 1;
/** In flags of an answer: the question's filling was damaged. */
const DAMAGED = 1 << 2;
/** In flags of both: what the sender has heard within the last seconds, of the other, and of others in the overlay. */
const HEARS_UNDERLAY = 1 << 3;
const HEARS_OVERLAY = 1 << 4;
const HEARS_OTHERS = 1 << 5;
/** In flags of both: the sender's own packet filter refuses the probes that it sends through the overlay. */
const IS_MUTE = 1 << 6;

/** What the sender of a probe has heard within the last seconds. */
export interface Hearing {
  /** Probes of who gets this, through the underlay and through the overlay. */
  readonly underlay: boolean;
  readonly overlay: boolean;
  /** Probes of anyone else through the overlay. */
  readonly others: boolean;
  /** Whether its own packet filter refuses what it sends through the overlay: that it is not heard says nothing. */
  readonly isMute?: true;
}

/** What both kinds have. */
interface ProbeHead {
  readonly nonce: bigint;
  readonly askedUs: bigint;
  /** Whether its own UDP checksum is left out. */
  readonly isPlain: boolean;
  readonly hears: Hearing;
}

/** A question: did this arrive? */
export interface ProbeAsk extends ProbeHead {
  readonly kind: "ask";
  /** Bytes of the datagram. */
  readonly bytes: number;
  /** Bytes that the answer is to have, at most `bytes`. */
  readonly answerBytes: number;
  /** Whether the answer is to leave its UDP checksum out. */
  readonly wantsPlain: boolean;
}

/** What came of a question. */
export interface ProbeAnswer extends ProbeHead {
  readonly kind: "answer";
  /** Bytes of the datagram. */
  readonly bytes: number;
  /** Bytes of the question that arrived. */
  readonly arrivedBytes: number;
  /** Whether the question's filling was damaged. */
  readonly wasDamaged: boolean;
}

/** A probe as it came: its own filling may be damaged. */
export type ReadProbe = (ProbeAsk | ProbeAnswer) & { readonly isDamaged: boolean };

/**
 * Writes a probe.
 *
 * @param into Where it is written; a buffer of its own if absent. `MAX_PROBE_BYTES` are always enough.
 * @throws {RangeError} If it is too small or too large, or the answer is to be larger than the question.
 */
export function encodeProbe(
  probe: ProbeAsk | ProbeAnswer,
  into = new ArrayBuffer(MAX_PROBE_BYTES),
): Uint8Array<ArrayBuffer> {
  const { bytes, nonce } = probe;
  const second = probe.kind === "ask" ? probe.answerBytes : probe.arrivedBytes;
  if (!isSize(bytes) || !isSize(second) || probe.kind === "ask" && second > bytes) {
    throw new RangeError(`Cannot write a probe of ${bytes} bytes: ${HEAD_BYTES} to ${MAX_PROBE_BYTES} are`);
  }
  const datagram = new Uint8Array(into, 0, bytes);
  const view = new DataView(into);
  const filling = datagram.subarray(HEAD_BYTES);
  fill(new Uint32Array(into, HEAD_BYTES, Math.ceil(filling.length / 4)), nonce);
  view.setUint32(0, MAGIC);
  view.setUint8(4, VERSION);
  view.setUint8(5, probe.kind === "ask" ? KIND_ASK : KIND_ANSWER);
  view.setUint16(6, flagsOf(probe));
  view.setBigUint64(8, nonce);
  view.setBigUint64(16, probe.askedUs);
  view.setUint16(24, bytes);
  view.setUint16(26, second);
  view.setUint32(28, crc32(filling));
  view.setUint32(CRC_AT, crc32(datagram.subarray(0, CRC_AT)));
  return datagram;
}

/** Reads a datagram; `undefined` if it is no probe, of another version, cut, or its head is damaged. */
export function decodeProbe(datagram: Uint8Array): ReadProbe | undefined {
  if (!isSize(datagram.length)) return undefined;
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length);
  if (view.getUint32(0) !== MAGIC || view.getUint8(4) !== VERSION) return undefined;
  if (crc32(datagram.subarray(0, CRC_AT)) !== view.getUint32(CRC_AT)) return undefined;
  const bytes = view.getUint16(24);
  const second = view.getUint16(26);
  if (bytes !== datagram.length || !isSize(second)) return undefined;
  const flags = view.getUint16(6);
  const has = (flag: number) => (flags & flag) !== 0;
  const common = {
    nonce: view.getBigUint64(8),
    askedUs: view.getBigUint64(16),
    bytes,
    isPlain: has(PLAIN),
    hears: {
      underlay: has(HEARS_UNDERLAY),
      overlay: has(HEARS_OVERLAY),
      others: has(HEARS_OTHERS),
      ...has(IS_MUTE) && { isMute: true as const },
    },
    isDamaged: crc32(datagram.subarray(HEAD_BYTES)) !== view.getUint32(28),
  };
  const kind = view.getUint8(5);
  if (kind === KIND_ASK && second <= bytes) {
    return { kind: "ask", ...common, answerBytes: second, wantsPlain: has(PLAIN_ANSWER) };
  }
  if (kind !== KIND_ANSWER) return undefined;
  return { kind: "answer", ...common, arrivedBytes: second, wasDamaged: has(DAMAGED) };
}

function isSize(bytes: number): boolean {
  return bytes >= HEAD_BYTES && bytes <= MAX_PROBE_BYTES;
}

function flagsOf(probe: ProbeAsk | ProbeAnswer): number {
  const { hears } = probe;
  const own = probe.kind === "ask" ? flag(probe.wantsPlain, PLAIN_ANSWER) : flag(probe.wasDamaged, DAMAGED);
  return own | flag(probe.isPlain, PLAIN) | flag(hears.underlay, HEARS_UNDERLAY) |
    flag(hears.overlay, HEARS_OVERLAY) | flag(hears.others, HEARS_OTHERS) |
    flag(hears.isMute === true, IS_MUTE);
}

function flag(isSet: boolean, bit: number): number {
  return isSet ? bit : 0;
}

/** Fills with what looks like chance, so that no pattern of a fault passes for it (xorshift32). */
function fill(words: Uint32Array, nonce: bigint): void {
  let state = Number(nonce & 0xffff_ffffn) ^ Number(nonce >> 32n) | 1;
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
}
