import { AF_INET, AF_INET6, type Family, familyOf, isOverlapping, type Prefix } from "../model/address.ts";
import { readAddress } from "../model/rows.ts";
import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { type MessageReader, NLM_F_DUMP } from "../netlink/message.ts";

// IPsec's policies, as far as they drop packets. Source: linux/xfrm.h, ip-xfrm(8).

export const NETLINK_XFRM = 6;
const XFRM_MSG_NEWPOLICY = 0x13;
const XFRM_MSG_GETPOLICY = 0x15;
const XFRMA_MARK = 21;
const XFRMA_IF_ID = 31;
/** `XFRM_POLICY_*`. */
export const XFRM_DIRECTION = { in: 0, out: 1, fwd: 2 } as const;
const XFRM_POLICY_BLOCK = 1;

//   0  daddr 16, saddr 16             32  dport, its mask, sport, its mask: 2 each
//  40  family 2, lengths of daddr and saddr 1 each, protocol 1, padding 3
//  48  ifindex 4, user 4              56  lifetimes 64 and 32
// 152  priority 4, index 4            160  direction, action, flags, share: 1 each
const SOURCE_AT = 16;
const PORTS_AT = 32;
const FAMILY_AT = 40;
const IFINDEX_AT = 48;
const PRIORITY_AT = 152;
const DIRECTION_AT = 160;
/** `sizeof(struct xfrm_userpolicy_info)`. */
const POLICY_BYTES = 168;

/** A policy of one direction. */
export interface XfrmPolicy {
  readonly direction: number;
  readonly isBlocking: boolean;
  readonly source: Prefix;
  readonly destination: Prefix;
  /** The least counts. */
  readonly priority: number;
  /** Whether it asks for a protocol, ports, a link or a mark too. */
  readonly isNarrower: boolean;
}

/**
 * Reads all policies of both families.
 *
 * @param client Over a socket of `NETLINK_XFRM`.
 */
export function dumpXfrmPolicies(client: NetlinkClient): XfrmPolicy[] {
  const policies: XfrmPolicy[] = [];
  client.dump(
    "read IPsec policies",
    (writer, sequence) => {
      writer.begin(XFRM_MSG_GETPOLICY, NLM_F_DUMP, sequence);
      writer.end();
    },
    () => void (policies.length = 0),
    (reply) => {
      const policy = decodeXfrmPolicy(reply);
      if (policy !== undefined) policies.push(policy);
    },
  );
  return policies;
}

/** Decodes a policy; `undefined` for any other message, and for one of both families. */
export function decodeXfrmPolicy(reply: MessageReader): XfrmPolicy | undefined {
  if (reply.type !== XFRM_MSG_NEWPOLICY) return undefined;
  reply.requireHeader(POLICY_BYTES);
  const { view, start, end } = reply;
  const family = view.getUint16(start + FAMILY_AT, LITTLE_ENDIAN) as Family;
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const prefix = (at: number, lengthAt: number): Prefix => {
    const words = Uint32Array.from({ length: 4 }, (_, word) => view.getUint32(start + at + 4 * word));
    return { address: readAddress(words, 0, family), length: view.getUint8(start + FAMILY_AT + lengthAt) };
  };
  const attributes = new AttributeReader(view, start + POLICY_BYTES, end);
  let isMarked = false;
  while (attributes.next()) isMarked ||= attributes.type === XFRMA_MARK || attributes.type === XFRMA_IF_ID;
  const masks = view.getUint16(start + PORTS_AT + 2) | view.getUint16(start + PORTS_AT + 6);
  return {
    direction: view.getUint8(start + DIRECTION_AT),
    isBlocking: view.getUint8(start + DIRECTION_AT + 1) === XFRM_POLICY_BLOCK,
    source: prefix(SOURCE_AT, 3),
    destination: prefix(0, 2),
    priority: view.getUint32(start + PRIORITY_AT, LITTLE_ENDIAN),
    isNarrower: isMarked || masks !== 0 || view.getUint8(start + FAMILY_AT + 4) !== 0 ||
      view.getUint32(start + IFINDEX_AT, LITTLE_ENDIAN) !== 0,
  };
}

/**
 * Finds the policy that drops all packets of a direction from one prefix to another, for certain.
 *
 * @returns `maybe` where one drops some of them, or may.
 */
export function blockingPolicy(
  policies: readonly XfrmPolicy[],
  direction: number,
  from: Prefix,
  to: Prefix,
): XfrmPolicy | "maybe" | undefined {
  const met = policies.filter((policy) =>
    policy.direction === direction && familyOf(policy.source.address) === familyOf(from.address) &&
    isOverlapping(policy.source, from) && isOverlapping(policy.destination, to)
  ).sort((a, b) => a.priority - b.priority);
  const first = met.findIndex(({ isBlocking }) => isBlocking);
  const blocking = met[first];
  if (blocking === undefined) return undefined;
  const others = met.filter((one) => !one.isBlocking && one.priority <= blocking.priority);
  // Which of two with the same priority is asked first is not known.
  if (others.some((one) => one.priority < blocking.priority && isWhole(one, from, to))) return undefined;
  return others.length === 0 && isWhole(blocking, from, to) ? blocking : "maybe";
}

function isWhole({ source, destination, isNarrower }: XfrmPolicy, from: Prefix, to: Prefix): boolean {
  // Of two prefixes that overlap, the shorter one has the other in it.
  return !isNarrower && source.length <= from.length && destination.length <= to.length;
}
