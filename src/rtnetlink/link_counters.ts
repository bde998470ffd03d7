import { ENODEV, isErrno } from "../linux/errno.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import type { MessageReader, MessageWriter } from "../netlink/message.ts";
import { encodeLinkHeader, IFLA_IFNAME, LINK_HEADER_BYTES, RTM_GETLINK, RTM_NEWLINK } from "./link_header.ts";

const IFLA_STATS64 = 23;
const IFLA_CARRIER_DOWN_COUNT = 48;

/**
 * `struct rtnl_link_stats64`, one u64 each; a kernel that has fewer leaves the last ones out.
 *
 * | offset | C field               | here               |
 * | -----: | --------------------- | ------------------ |
 * |      0 | `rx_packets`          | `rxPackets`        |
 * |      8 | `tx_packets`          | `txPackets`        |
 * |     16 | `rx_bytes`            | `rxBytes`          |
 * |     24 | `tx_bytes`            | `txBytes`          |
 * |     32 | `rx_errors`           | `rxErrors`         |
 * |     40 | `tx_errors`           | `txErrors`         |
 * |     48 | `rx_dropped`          | `rxDropped`        |
 * |     56 | `tx_dropped`          | `txDropped`        |
 * |     72 | `collisions`          | `collisions`       |
 * |     88 | `rx_over_errors`      | –                  |
 * |     96 | `rx_crc_errors`       | –                  |
 * |    104 | `rx_frame_errors`     | `rxFrameErrors`    |
 * |    120 | `rx_missed_errors`    | `rxMissed`         |
 * |    136 | `tx_carrier_errors`   | `txCarrierErrors`  |
 * |    184 | `rx_nohandler`        | `rxNoHandler`      |
 *
 * Source: include/uapi/linux/if_link.h; Documentation/netlink/specs/rt-link.yaml.
 */
const OFFSETS = {
  rxPackets: 0,
  txPackets: 8,
  rxBytes: 16,
  txBytes: 24,
  rxErrors: 32,
  txErrors: 40,
  rxDropped: 48,
  txDropped: 56,
  collisions: 72,
  rxFrameErrors: 104,
  rxMissed: 120,
  txCarrierErrors: 136,
  rxNoHandler: 184,
} as const;

/** A number that the kernel counts on each link. */
export type CounterName = keyof typeof OFFSETS | "carrierLosses";

/** The counters of one link, since it was made. */
export interface LinkCounters extends Readonly<Record<CounterName, number>> {
  /** Another one is another link, and counts from zero. */
  readonly linkIndex: number;
  readonly name: string;
}

/** Writes the request for one link with its counters, by name or by index. */
export function encodeCountersQuery(writer: MessageWriter, sequence: number, link: string | number): void {
  writer.begin(RTM_GETLINK, 0, sequence);
  encodeLinkHeader(writer, typeof link === "number" ? link : 0);
  if (typeof link === "string") writer.attributeText(IFLA_IFNAME, link);
  writer.end();
}

/**
 * Decodes the counters of a message about a link; `undefined` for anything else.
 *
 * @throws {SyntaxError} If the message is malformed.
 */
export function decodeCounters(message: MessageReader): LinkCounters | undefined {
  if (message.type !== RTM_NEWLINK) return undefined;
  message.requireHeader(LINK_HEADER_BYTES);
  const { view, start, end } = message;
  const counters = {
    linkIndex: view.getInt32(start + 4, LITTLE_ENDIAN),
    name: "",
    carrierLosses: 0,
    ...Object.fromEntries(Object.keys(OFFSETS).map((name) => [name, 0])) as Record<
      keyof typeof OFFSETS,
      number
    >,
  };
  const attributes = new AttributeReader(view, start + LINK_HEADER_BYTES, end);
  while (attributes.next()) {
    if (attributes.type === IFLA_IFNAME) counters.name = attributes.text();
    if (attributes.type === IFLA_CARRIER_DOWN_COUNT) counters.carrierLosses = attributes.u32();
    if (attributes.type !== IFLA_STATS64) continue;
    for (const [name, offset] of Object.entries(OFFSETS) as [keyof typeof OFFSETS, number][]) {
      if (offset + 8 > attributes.length) continue;
      counters[name] = Number(view.getBigUint64(attributes.start + offset, LITTLE_ENDIAN));
    }
  }
  return counters;
}

/**
 * What the kernel has counted on a link, by name or by index; `undefined` if there is none.
 *
 * @throws {NetlinkError} If the kernel refused for another reason.
 */
export function readCounters(client: NetlinkClient, link: string | number): LinkCounters | undefined {
  let counters: LinkCounters | undefined;
  try {
    client.request(
      `read the counters of link ${link}`,
      (writer, sequence) => encodeCountersQuery(writer, sequence, link),
      (message) => counters = decodeCounters(message) ?? counters,
    );
  } catch (error) {
    if (!isErrno(error, ENODEV)) throw error;
  }
  return counters;
}
