import { type Address, AF_INET, AF_INET6 } from "../model/address.ts";
import { readAddress } from "../model/rows.ts";
import type { ObservedLink } from "../model/state.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { decodeLink, encodeLinkDump } from "../netlink/link.ts";
import { LITTLE_ENDIAN, type MessageReader } from "../netlink/message.ts";
import { encodeNeighbourDump, RTM_NEWNEIGH } from "../netlink/neighbour.ts";

/** A link, and the bridge that it is a port of. */
export interface HostLink extends ObservedLink {
  /** Index of the bridge; 0 for none. */
  readonly masterIndex: number;
}

/** `sizeof(struct ifinfomsg)` and `sizeof(struct ndmsg)`. */
const LINK_HEADER_BYTES = 16;
const NEIGHBOUR_HEADER_BYTES = 12;
const IFLA_MASTER = 10;
const NDA_DST = 1;
/** Asked for, and nobody answered. */
const NUD_FAILED = 0x20;

/** The VTEPs of the backend vxlan, for one and the other family, behind which their VNI stands. */
const VTEP = /^flannel(?:-v6)?\.(\d{1,8})$/;

/**
 * All links of this network namespace.
 *
 * Source: rtnetlink(7); Documentation/netlink/specs/rt-link.yaml.
 *
 * @throws {NetlinkError} If the kernel refused.
 */
export function dumpHostLinks(client: NetlinkClient): HostLink[] {
  const links: HostLink[] = [];
  client.dump("read links", encodeLinkDump, () => links.length = 0, (message) => {
    const link = decodeLink(message);
    if (link !== undefined) links.push({ ...link, masterIndex: masterOf(message) });
  });
  return links;
}

/** Reports whether a link is a VTEP of Loden's or flannel's. */
export function isOurVtep({ name, vxlan }: HostLink): boolean {
  const vni = VTEP.exec(name)?.[1];
  return vni !== undefined && vxlan?.vni === Number(vni);
}

function masterOf({ view, start, end }: MessageReader): number {
  const attributes = new AttributeReader(view, start + LINK_HEADER_BYTES, end);
  while (attributes.next()) if (attributes.type === IFLA_MASTER) return attributes.u32();
  return 0;
}

/**
 * The addresses of all neighbours on all links, those that did not answer left out.
 *
 * Source: `struct ndmsg`, rtnetlink(7); Documentation/netlink/specs/rt-neigh.yaml.
 *
 * @throws {NetlinkError} If the kernel refused.
 */
export function dumpNeighbourAddresses(client: NetlinkClient): Set<Address> {
  const addresses = new Set<Address>();
  for (const family of [AF_INET, AF_INET6] as const) {
    const found: Address[] = [];
    const words = new Uint32Array(4);
    client.dump(
      "read neighbours",
      (writer, sequence) => encodeNeighbourDump(writer, sequence, family, 0),
      () => found.length = 0,
      (message) => {
        if (message.type !== RTM_NEWNEIGH) return;
        message.requireHeader(NEIGHBOUR_HEADER_BYTES);
        const { view, start, end } = message;
        if (view.getUint16(start + 8, LITTLE_ENDIAN) & NUD_FAILED) return;
        const attributes = new AttributeReader(view, start + NEIGHBOUR_HEADER_BYTES, end);
        while (attributes.next()) {
          if (attributes.type !== NDA_DST) continue;
          attributes.addressWords(words, 0);
          found.push(readAddress(words, 0, family));
        }
      },
    );
    for (const address of found) addresses.add(address);
  }
  return addresses;
}
