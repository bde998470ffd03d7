import { type Ipv4, type Ipv6, type Mac, parseIpv6 } from "../model/address.ts";
import type { ObservedLink } from "../model/state.ts";
import { NetlinkClient } from "../netlink/client.ts";
import { EOPNOTSUPP, errnoName, isErrno, NetlinkError } from "../netlink/errno.ts";
import type { Libc } from "../netlink/ffi.ts";
import { decodeLink, encodeLinkDump, encodeLinkQuery, encodeVxlanLink } from "../netlink/link.ts";
import { decodeRouteLookup, encodeRouteLookup, type RouteLookup } from "../netlink/route_lookup.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../netlink/socket.ts";

/** One more than the greatest VNI: no kernel makes a link with it. */
const IMPOSSIBLE_VNI = 2 ** 24;

/** `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN`. */
const NFT_MSG_GETGEN = 10 << 8 | 16;
/** What one question needs. */
const QUESTION_BYTES = 4096;

/** Who makes a route: the kernel or a program, from a router advertisement. */
const RTPROT_RA = 9;
/** In no prefix that is in use but the default route's. */
const FAR_AWAY: Ipv6 = parseIpv6("2000::");

/**
 * Reports whether the kernel can make VXLAN links, and has it load the module if there is one. Nothing is made: the
 * request is wrong, which is found out only where somebody understands it.
 */
export function hasVxlan(client: NetlinkClient): boolean {
  const link = {
    kind: "vxlan",
    name: "",
    vni: IMPOSSIBLE_VNI,
    port: 8472,
    mtuBytes: 1450,
    mac: 0x0200_0000_0001 as Mac,
    local: 0x7f00_0001 as Ipv4,
    underlayLinkIndex: 1,
    learning: false,
    gbp: false,
  } as const;
  try {
    client.request("ask for VXLAN", (writer, sequence) => encodeVxlanLink(writer, sequence, link));
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return !isErrno(error, EOPNOTSUPP);
  }
  return true;
}

/** Why the kernel makes no rules of nftables, as its errno; `undefined` if it does. */
export function nftablesFault(libc: Libc): string | undefined {
  try {
    using socket = NetlinkSocket.open(libc, { protocol: NETLINK_NETFILTER, bufferBytes: QUESTION_BYTES });
    new NetlinkClient(socket).request("ask for nf_tables", (writer, sequence) => {
      writer.begin(NFT_MSG_GETGEN, 0, sequence);
      // `struct nfgenmsg` of linux/netfilter/nfnetlink.h: any family, version 0.
      writer.u32(0);
      writer.end();
    });
    return undefined;
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return errnoName(error.errno);
  }
}

/** The link of the IPv6 default route, by name, if that route comes from router advertisements. */
export function routerLedLink(client: NetlinkClient): string | undefined {
  let route: RouteLookup | undefined;
  let link: ObservedLink | undefined;
  try {
    client.request(
      "look up the IPv6 default route",
      (writer, sequence) => encodeRouteLookup(writer, sequence, FAR_AWAY),
      (message) => route = decodeRouteLookup(message) ?? route,
    );
    if (route?.protocol !== RTPROT_RA) return undefined;
    const { linkIndex } = route;
    client.request(
      "read the link of the IPv6 default route",
      (writer, sequence) => encodeLinkQuery(writer, sequence, linkIndex),
      (message) => link = decodeLink(message) ?? link,
    );
  } catch (error) {
    // There is no such route, or the link has gone in between.
    if (!(error instanceof NetlinkError)) throw error;
  }
  return link?.name;
}

/**
 * All links of this host.
 *
 * @throws {NetlinkError} If the kernel refused.
 */
export function observedLinks(client: NetlinkClient): ObservedLink[] {
  const links: ObservedLink[] = [];
  client.dump("read links", encodeLinkDump, () => links.length = 0, (message) => {
    const link = decodeLink(message);
    if (link !== undefined) links.push(link);
  });
  return links;
}
