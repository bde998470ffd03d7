import { META_BROUTE, META_PKTTYPE, type Packet } from "./packet.ts";
import type { Loaded, RuleAction, Written } from "./rule_words.ts";

// What rules write into packets, and into what the kernel keeps beside them.

/** What is written into the network header. */
export function writtenOf(word: (type: number) => number, from: Loaded | undefined): Written[] {
  const [base, offset, length] = [word(2), word(3), word(4)];
  if (base !== 1 || from?.bytes === undefined || from.bytes.length < length) return [];
  return [{ offset, bytes: from.bytes.subarray(0, length), known: from.known?.subarray(0, length) }];
}

/** `PACKET_HOST`, and the last that a rule can set. */
const PACKET_HOST = 0;
const PACKET_OTHERHOST = 3;

/** What becomes of a packet that is said to be for somebody else (`ip_rcv()`), or to be no frame of its bridge. */
export function frameActions(key: number, from: Loaded | undefined, { frame }: Packet): RuleAction[] {
  if (key === META_BROUTE) return [{ kind: "unknown", name: "broute" }];
  if (key !== META_PKTTYPE) return [];
  const type = from?.bytes?.[0];
  if (type === PACKET_HOST || type !== undefined && type > PACKET_OTHERHOST) return [];
  // A bridge says again whose it is, as it takes it from a port.
  return type !== undefined && frame?.isForHost
    ? [{ kind: "drop", name: "", does: "makes it another host's, so that the kernel drops it," }]
    : [{ kind: "unknown", name: "" }];
}

/** Whether bytes that are written decide how far a packet gets: all but the class of its traffic, and checksums. */
export function isOfWay(base: number, offset: number, length: number): boolean {
  return base !== 1 || offset + length > 2;
}
