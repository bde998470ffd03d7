import { type MessageWriter, NLM_F_CREATE, NLM_F_EXCL } from "../netlink/message.ts";
import { encodeKind, encodeLinkHeader, IFF_UP, IFLA_IFNAME, RTM_NEWLINK } from "./link_header.ts";

// What hosts on one machine are wired with: rtnetlink(7), veth(4).

const IFLA_NET_NS_FD = 28;
const VETH_INFO_PEER = 1;

/** Writes the request that creates a bridge, up. */
export function encodeBridge(writer: MessageWriter, sequence: number, name: string): void {
  writer.begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sequence);
  encodeLinkHeader(writer, 0, IFF_UP, IFF_UP);
  writer.attributeText(IFLA_IFNAME, name);
  encodeKind(writer, "bridge");
  writer.end();
}

/** Writes the request that creates a veth pair, its peer in the network namespace behind `peerNetnsFd`. */
export function encodeVeth(
  writer: MessageWriter,
  sequence: number,
  name: string,
  peer: { readonly name: string; readonly netnsFd: number },
): void {
  writer.begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sequence);
  encodeLinkHeader(writer, 0);
  writer.attributeText(IFLA_IFNAME, name);
  encodeKind(writer, "veth", () =>
    writer.nested(VETH_INFO_PEER, () => {
      encodeLinkHeader(writer, 0);
      writer.attributeText(IFLA_IFNAME, peer.name);
      writer.attributeU32(IFLA_NET_NS_FD, peer.netnsFd);
    }));
  writer.end();
}
