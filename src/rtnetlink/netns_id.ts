import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { encodeLinkDump } from "./link.ts";
import { IFLA_MASTER, LINK_HEADER_BYTES, RTM_NEWLINK } from "./link_header.ts";

const RTM_NEWNSID = 88;
const RTM_GETNSID = 90;
/** `sizeof(struct rtgenmsg)`, as netlink aligns it. */
const HEADER_BYTES = 4;
const NETNSA_NSID = 1;
const NETNSA_FD = 3;
const IFLA_LINK = 5;
const IFLA_LINK_NETNSID = 37;

/**
 * The number that this network namespace has for another one; `undefined` where it has none, as no link leads there.
 *
 * Source: ip-netns(8), `list-id`; linux/net_namespace.h.
 *
 * @param fd Of the other one, as open(2) gave it.
 */
export function netnsIdOf(client: NetlinkClient, fd: number): number | undefined {
  let id = -1;
  client.request("ask for the number of a network namespace", (writer, sequence) => {
    writer.begin(RTM_GETNSID, 0, sequence);
    writer.u32(0);
    writer.attributeU32(NETNSA_FD, fd);
    writer.end();
  }, (message) => {
    if (message.type !== RTM_NEWNSID) return;
    const attributes = new AttributeReader(message.view, message.start + HEADER_BYTES, message.end);
    while (attributes.next()) if (attributes.type === NETNSA_NSID) id = attributes.u32() | 0;
  });
  return id < 0 ? undefined : id;
}

/** A link whose other end is in another network namespace. */
export interface LinkBehind {
  readonly linkIndex: number;
  /** The number of that namespace. */
  readonly netnsId: number;
  /** The other end, as it is numbered there. */
  readonly peerIndex: number;
  /** What it is enslaved to; 0 if it is free. */
  readonly masterIndex: number;
}

/** The links that lead into other network namespaces. */
export function linksBehind(client: NetlinkClient): LinkBehind[] {
  const links: LinkBehind[] = [];
  client.dump("read links", encodeLinkDump, () => links.length = 0, (message) => {
    if (message.type !== RTM_NEWLINK) return;
    const { view, start, end } = message;
    let [masterIndex, netnsId, peerIndex] = [0, -1, 0];
    const attributes = new AttributeReader(view, start + LINK_HEADER_BYTES, end);
    while (attributes.next()) {
      if (attributes.type === IFLA_MASTER) masterIndex = attributes.u32();
      else if (attributes.type === IFLA_LINK) peerIndex = attributes.u32();
      else if (attributes.type === IFLA_LINK_NETNSID) {
        netnsId = view.getInt32(attributes.start, LITTLE_ENDIAN);
      }
    }
    if (netnsId < 0) return;
    links.push({ linkIndex: view.getInt32(start + 4, LITTLE_ENDIAN), netnsId, peerIndex, masterIndex });
  });
  return links;
}
