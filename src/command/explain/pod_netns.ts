import type { Libc } from "../../linux/libc.ts";
import { type Address, familyOf, type Prefix, prefixContains } from "../../model/address.ts";
import { NetlinkClient } from "../../netlink/client.ts";
import { NetlinkSocket } from "../../netlink/socket.ts";
import { dumpAddresses } from "../../rtnetlink/address.ts";
import { dumpLinks } from "../../rtnetlink/link.ts";
import { netnsIdOf, netnsIdsBehind } from "../../rtnetlink/netns_id.ts";
import type { ChainFacts } from "./facts.ts";

/** Where runtimes keep the network namespaces of pods, as ip-netns(8) does. */
const FOLDERS = ["/run/netns", "/var/run/netns", "/run/docker/netns"];
/** More are not looked at. */
const MOST = 1000;

/** A pod of this host that packets can be sent from. */
export interface PodNetns {
  /** What setns(2) takes, once opened. */
  readonly path: string;
  readonly address: Address;
  /** The link that has the address, in there. */
  readonly linkName: string;
}

/** The pod that packets are to be sent from; `undefined` where they come from this host, or none is found. */
export function podOf(
  libc: Libc,
  { isFromPod, bridge, ownSubnet }: Pick<ChainFacts, "isFromPod" | "bridge" | "ownSubnet">,
  wanted: Address | undefined,
): PodNetns | undefined {
  if (!isFromPod || bridge === undefined || ownSubnet === undefined) return undefined;
  return findPod(libc, bridge.link.linkIndex, ownSubnet, wanted);
}

/**
 * Finds a pod on a bridge, by the number that the host's end of its veth pair has for its network namespace: other pods of
 * other hosts on one machine may have the same addresses.
 *
 * @param wanted The pod's address; any of `subnet` if absent.
 */
function findPod(
  libc: Libc,
  bridgeIndex: number,
  subnet: Prefix,
  wanted: Address | undefined,
): PodNetns | undefined {
  using transport = NetlinkSocket.open(libc);
  const client = new NetlinkClient(transport);
  const behind = netnsIdsBehind(client, bridgeIndex);
  if (behind.size === 0) return undefined;
  for (const path of namespaces()) {
    try {
      const fd = libc.open(path);
      try {
        const id = netnsIdOf(client, fd);
        if (id === undefined || !behind.has(id)) continue;
      } finally {
        libc.call.close(fd);
      }
      const pod = libc.inNetns(path, () => podIn(libc, path, subnet, wanted));
      if (pod !== undefined) return pod;
    } catch {
      // A pod that ends while it is looked at.
    }
  }
  return undefined;
}

function podIn(libc: Libc, path: string, subnet: Prefix, wanted: Address | undefined): PodNetns | undefined {
  using transport = NetlinkSocket.open(libc);
  const client = new NetlinkClient(transport);
  const found = dumpAddresses(client, 0).find(({ address }) =>
    wanted === undefined
      ? familyOf(address) === familyOf(subnet.address) && prefixContains(subnet, address)
      : address === wanted
  );
  if (found === undefined) return undefined;
  const link = dumpLinks(client).find(({ linkIndex }) => linkIndex === found.linkIndex);
  return link && { path, address: found.address, linkName: link.name };
}

function namespaces(): string[] {
  const seen = new Set<string>();
  return FOLDERS.flatMap((folder) => {
    try {
      const real = Deno.realPathSync(folder);
      if (seen.has(real)) return [];
      seen.add(real);
      return [...Deno.readDirSync(real)].slice(0, MOST).map(({ name }) => `${real}/${name}`);
    } catch {
      return [];
    }
  });
}
