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

/** The numbers of the network namespaces that the ports of a bridge lead to. */
export function netnsIdsBehind(client: NetlinkClient, bridgeIndex: number): ReadonlySet<number> {
  const ids = new Set<number>();
  client.dump("read links", encodeLinkDump, () => ids.clear(), (message) => {
    if (message.type !== RTM_NEWLINK) return;
    let [master, id] = [0, -1];
    const attributes = new AttributeReader(message.view, message.start + LINK_HEADER_BYTES, message.end);
    while (attributes.next()) {
      if (attributes.type === IFLA_MASTER) master = attributes.u32();
      else if (attributes.type === IFLA_LINK_NETNSID) {
        id = message.view.getInt32(attributes.start, LITTLE_ENDIAN);
      }
    }
    if (master === bridgeIndex && id >= 0) ids.add(id);
  });
  return ids;
}
