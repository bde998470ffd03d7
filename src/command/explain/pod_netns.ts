import type { Libc } from "../../linux/libc.ts";
import { type Address, familyOf, type Prefix, prefixContains } from "../../model/address.ts";
import { NetlinkClient } from "../../netlink/client.ts";
import { NetlinkSocket } from "../../netlink/socket.ts";
import { dumpAddresses } from "../../rtnetlink/address.ts";
import { dumpLinks } from "../../rtnetlink/link.ts";
import { type LinkBehind, linksBehind, netnsIdOf } from "../../rtnetlink/netns_id.ts";
import type { ChainFacts } from "./facts.ts";
import { dumpNeighbourEntries } from "../../rtnetlink/neighbour_entry.ts";
import { queryRoute } from "../../rtnetlink/route_query.ts";
import type { PodNetns, PodWay } from "./link_facts.ts";

/** Where runtimes keep the network namespaces of pods, as ip-netns(8) does. */
const FOLDERS = ["/run/netns", "/var/run/netns", "/run/docker/netns"];
/** More are not looked at. */
const MOST = 1000;

/**
 * Finds a pod of this host. It is known by its link, whose other end is on this host: pods of other hosts on one machine may
 * have the same addresses.
 *
 * @param wanted The pod's address: it is found on the bridge and beside it. Any on the bridge if absent.
 */
export function findPod(
  libc: Libc,
  client: NetlinkClient,
  { bridge, ownSubnet }: Pick<ChainFacts, "bridge" | "ownSubnet">,
  wanted: Address | undefined,
): PodNetns | undefined {
  if (bridge === undefined || ownSubnet === undefined) return undefined;
  const bridgeIndex = bridge.link.linkIndex;
  const behind = linksBehind(client)
    .filter(({ masterIndex }) => wanted !== undefined || masterIndex === bridgeIndex)
    // One on the bridge is preferred to one of the same address beside it.
    .sort((a, b) => Number(b.masterIndex === bridgeIndex) - Number(a.masterIndex === bridgeIndex));
  if (behind.length === 0) return undefined;
  const byId = new Map<number, string>();
  for (const path of namespaces()) {
    try {
      const fd = libc.open(path);
      try {
        const id = netnsIdOf(client, fd);
        if (id !== undefined) byId.set(id, path);
      } finally {
        libc.call.close(fd);
      }
    } catch {
      // A pod that ends while it is looked at.
    }
  }
  for (const link of behind) {
    const path = byId.get(link.netnsId);
    if (path === undefined) continue;
    try {
      const pod = libc.inNetns(path, () => podIn(libc, { path, behind: link, subnet: ownSubnet, wanted }));
      if (pod !== undefined) return pod;
    } catch {
      // Likewise.
    }
  }
  return undefined;
}

/** Asks a pod's own network namespace where it sends packets to an address; `undefined` where it has no way. */
export function podWay(libc: Libc, pod: PodNetns, target: Address): PodWay | undefined {
  try {
    return libc.inNetns(pod.path, () => {
      using transport = NetlinkSocket.open(libc);
      const client = new NetlinkClient(transport);
      const [hop] = queryRoute(client, { destination: target, source: pod.address }).route?.hops ?? [];
      if (hop === undefined) return undefined;
      const nextHop = hop.gateway ?? target;
      return {
        link: dumpLinks(client).find(({ linkIndex }) => linkIndex === hop.linkIndex)?.name,
        nextHop,
        neighbour: dumpNeighbourEntries(client, familyOf(nextHop), hop.linkIndex)
          .find(({ address }) => address === nextHop),
      };
    });
  } catch {
    // A pod that has ended, or addresses that the kernel tells no way of.
    return undefined;
  }
}

function podIn(
  libc: Libc,
  { path, behind, subnet, wanted }: {
    readonly path: string;
    readonly behind: LinkBehind;
    readonly subnet: Prefix;
    readonly wanted: Address | undefined;
  },
): PodNetns | undefined {
  using transport = NetlinkSocket.open(libc);
  const client = new NetlinkClient(transport);
  const found = dumpAddresses(client, 0).find(({ address, linkIndex }) =>
    linkIndex === behind.peerIndex &&
    (wanted === undefined
      ? familyOf(address) === familyOf(subnet.address) && prefixContains(subnet, address)
      : address === wanted)
  );
  if (found === undefined) return undefined;
  const link = dumpLinks(client).find(({ linkIndex }) => linkIndex === found.linkIndex);
  return link && { path, address: found.address, link, portIndex: behind.linkIndex };
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
