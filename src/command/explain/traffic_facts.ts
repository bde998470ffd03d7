import { NetlinkError } from "../../linux/errno.ts";
import { type Address, prefixContains } from "../../model/address.ts";
import type { ObservedAddress, ObservedLink } from "../../model/state.ts";
import type { NetlinkClient } from "../../netlink/client.ts";
import { dumpFilterKinds, dumpQdiscs, type Qdisc, TC_PARENT } from "../../rtnetlink/traffic_control.ts";
import type { SubnetEnv } from "../../pods/subnet_env.ts";
import type { ChainFacts, ChainLink, Tunnel } from "./facts.ts";
import type { TrafficFact } from "./link_facts.ts";

/** Queueing disciplines that lose packets, or let none through, because they are told to. */
const LOSSY: ReadonlySet<string> = new Set(["netem", "blackhole"]);

/** The links of this host that a packet passes, in its order. */
export function linksOnWay(
  { sourcePort, targetPort, bridge, isFromPod, way, tunnel }: Pick<
    ChainFacts,
    "sourcePort" | "targetPort" | "bridge" | "isFromPod" | "way" | "tunnel"
  >,
): readonly ObservedLink[] {
  const links = [
    sourcePort?.link,
    isFromPod ? bridge?.link : undefined,
    way.link,
    tunnel?.outer?.link,
    targetPort?.link,
  ].flatMap((link) => link ?? []);
  return links.filter(({ linkIndex }, at) => links.findIndex((one) => one.linkIndex === linkIndex) === at);
}

/** The links that are no pod's: those with addresses that are not of this host's pods, and the underlay. */
export function hostLinks(
  addresses: readonly ObservedAddress[],
  env: SubnetEnv | undefined,
  tunnel: Tunnel | undefined,
): ReadonlySet<number> {
  // A pod's own link may have its gateway's address on it, or one that means nothing beside it.
  const isOfHost = ({ address }: ObservedAddress) =>
    !isLinkLocal(address) && env?.subnets.some((subnet) => prefixContains(subnet, address)) !== true;
  const links = addresses.filter(isOfHost).map(({ linkIndex }) => linkIndex);
  return new Set([...links, ...tunnel?.outer?.link === undefined ? [] : [tunnel.outer.link.linkIndex]]);
}

/** Of 169.254.0.0/16 and fe80::/10. */
function isLinkLocal(address: Address): boolean {
  return typeof address === "number" ? address >>> 16 === 0xa9fe : address >> 118n === 0x3fan;
}

/** Looks for what of tc(8) is on links; for nothing where the kernel has none of it. */
export function readTraffic(client: NetlinkClient, links: readonly ObservedLink[]): readonly TrafficFact[] {
  let qdiscs: readonly Qdisc[];
  try {
    qdiscs = dumpQdiscs(client);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return [];
  }
  return links.flatMap(({ linkIndex, name: link }): TrafficFact[] => {
    const own = qdiscs.filter((one) => one.linkIndex === linkIndex);
    const lossy = own.filter(({ kind }) => LOSSY.has(kind)).map(({ kind }) => kind);
    const found: TrafficFact[] = lossy.length === 0 ? [] : [{ link, where: "root", kinds: lossy }];
    for (const where of ["ingress", "egress"] as const) {
      const isThere = own.some(({ kind }) => kind === "clsact" || kind === "ingress" && where === "ingress");
      if (!isThere) continue;
      const kinds = dumpFilterKinds(client, linkIndex, TC_PARENT[where]);
      if (kinds.length > 0) found.push({ link, where, kinds });
    }
    return found;
  });
}

/** What is on the way and is not read: it may drop packets. A discipline that lets none through is the verdict. */
export function judgeTraffic(facts: readonly TrafficFact[]): ChainLink[] {
  return facts.map(({ link, where, kinds }): ChainLink => {
    const isBlackhole = where === "root" && kinds.includes("blackhole");
    return {
      name: "tc",
      state: isBlackhole ? "wrong" : "note",
      code: isBlackhole ? "queue-blackhole" : where === "root" ? "queue-lossy" : "tc-unread",
      text: isBlackhole
        ? `the queueing discipline blackhole of ${link} drops all that leaves by it`
        : where === "root"
        ? `the queueing discipline ${kinds.join(", ")} of ${link} may delay and lose what leaves by it`
        : `filters of tc(8), ${
          kinds.join(", ")
        }, are on ${link} (${where}), which are not read here: --live shows`,
      remedy: where === "root" ? `tc qdisc show dev ${link}` : `tc filter show dev ${link} ${where}`,
    };
  });
}
