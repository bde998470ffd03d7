import { type Ipv4, type Ipv6, type Mac, parseIpv6 } from "../model/address.ts";
import { NetlinkClient } from "../netlink/client.ts";
import { EOPNOTSUPP, errnoName, isErrno, NetlinkError } from "../linux/errno.ts";
import type { Libc } from "../linux/libc.ts";
import { queryLink } from "../rtnetlink/link.ts";
import { decodeRouteLookup, encodeRouteLookup, type RouteLookup } from "../rtnetlink/route_lookup.ts";
import { encodeVxlanLink } from "../rtnetlink/vxlan.ts";
import { NFT_MSG_GETGEN } from "../nftables/objects.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../netlink/socket.ts";

/** One more than the greatest VNI: no kernel makes a link with it. */
const IMPOSSIBLE_VNI = 2 ** 24;

/** What one question needs. */
const QUESTION_BYTES = 4096;

/** Who makes a route: the kernel or a program, from a router advertisement. */
const RTPROT_RA = 9;
/** In no prefix that is in use but the default route's. */
const FAR_AWAY: Ipv6 = parseIpv6("2000::");

/**
 * Reports whether the kernel can make VXLAN links, and has it load the module if there is one. Nothing is made: the
 * request is wrong, which only a kernel that knows VXLAN finds out.
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
  try {
    client.request(
      "look up the IPv6 default route",
      (writer, sequence) => encodeRouteLookup(writer, sequence, FAR_AWAY),
      (message) => route = decodeRouteLookup(message) ?? route,
    );
    if (route?.protocol !== RTPROT_RA) return undefined;
    return queryLink(client, route.linkIndex)?.name;
  } catch (error) {
    // There is no such route.
    if (!(error instanceof NetlinkError)) throw error;
    return undefined;
  }
}
