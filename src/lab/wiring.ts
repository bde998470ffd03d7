import { type Address, AF_INET, AF_INET6, type Family, familyOf } from "../model/address.ts";
import { ROUTE, writeAddress } from "../model/rows.ts";
import { encodeAddress } from "../rtnetlink/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import type { Libc } from "../linux/libc.ts";
import { encodeLinkChange, type LinkChange, queryLink } from "../rtnetlink/link.ts";
import { encodeBridge, encodeVeth } from "../rtnetlink/veth.ts";
import { routeCodec } from "../rtnetlink/route.ts";
import { RTN_UNICAST, RTPROT_BOOT } from "../rtnetlink/route_header.ts";

/** `O_RDONLY | O_CLOEXEC` of open(2). */
const O_RDONLY = 0o2000000;

/** An address on a link, and the prefix that it makes the link a part of. */
export interface Placement {
  readonly address: Address;
  /** Prefix length in bits. */
  readonly length: number;
}

/** One end of a veth pair: the namespace that it is in, and what it is called there. */
export interface VethEnd {
  readonly netns: { readonly path: string; readonly client: NetlinkClient };
  readonly name: string;
}

/**
 * The index of the link called `name`.
 *
 * @throws {Error} If there is none.
 */
export function linkIndexOf(client: NetlinkClient, name: string): number {
  const link = queryLink(client, name);
  if (link === undefined) throw new Error(`Cannot find link ${name}: there is none of that name`);
  return link.linkIndex;
}

/** Makes a bridge, up, and returns its link index. */
export function makeBridge(client: NetlinkClient, name: string): number {
  client.request(`add bridge ${name}`, (writer, sequence) => encodeBridge(writer, sequence, name));
  return linkIndexOf(client, name);
}

/** Makes a veth pair between two namespaces, both ends up, and returns the link index of each end. */
export function makeVeth(
  libc: Libc,
  here: VethEnd,
  there: VethEnd,
  change: LinkChange = {},
): readonly [here: number, there: number] {
  const path = new TextEncoder().encode(`${there.netns.path}\0`);
  const netnsFd = libc.checked(`open ${there.netns.path}`, libc.call.open(path, O_RDONLY));
  try {
    here.netns.client.request(
      `add veth ${here.name}`,
      (writer, sequence) => encodeVeth(writer, sequence, here.name, { name: there.name, netnsFd }),
    );
  } finally {
    libc.call.close(netnsFd);
  }
  const indexes = [
    linkIndexOf(here.netns.client, here.name),
    linkIndexOf(there.netns.client, there.name),
  ] as const;
  changeLink(there.netns.client, indexes[1], { ...change, isUp: true });
  changeLink(here.netns.client, indexes[0], { ...change, isUp: true });
  return indexes;
}

/** Changes a link: up or down, MTU, MAC, the bridge that it is a port of. */
export function changeLink(client: NetlinkClient, linkIndex: number, change: LinkChange): void {
  client.request(
    `change link ${linkIndex}`,
    (writer, sequence) => encodeLinkChange(writer, sequence, linkIndex, change),
  );
}

/** Puts an address on a link, usable at once. */
export function addAddress(client: NetlinkClient, linkIndex: number, { address, length }: Placement): void {
  client.request(
    `add an address to link ${linkIndex}`,
    (writer, sequence) => encodeAddress(writer, sequence, { linkIndex, address, length }),
  );
}

/** Adds the default route of the gateway's family. */
export function addDefaultRoute(client: NetlinkClient, linkIndex: number, gateway: Address): void {
  const words = new Uint32Array(ROUTE.words);
  words[ROUTE.family] = familyOf(gateway);
  writeAddress(words, ROUTE.gateway, gateway);
  words[ROUTE.traits] = RTPROT_BOOT | RTN_UNICAST << 16;
  client.request(
    "add a default route",
    (writer, sequence) => routeCodec.encode.replace(writer, sequence, words, 0, [linkIndex]),
  );
}

/** The sysctl that makes a namespace pass packets of `family` on. */
export function forwardingSysctl(family: Family): string {
  return family === AF_INET ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding";
}

/** Both families, IPv4 first. */
export const FAMILIES: readonly Family[] = [AF_INET, AF_INET6];
