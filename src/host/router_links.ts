import type { ObservedLink } from "../model/state.ts";

/** What is not led by a router of the host's network, even if it has heard one. */
export interface LedScope {
  /** The link that carries the overlay, by name: of any kind, as a host may itself be a container. */
  readonly underlayLink: string;
  /** Links of the overlay and of pods, by name. */
  readonly never: readonly string[];
}

/**
 * Kinds of links behind which are containers, virtual machines or tunnels, who must not lead the host. The others are
 * hardware, which has no kind, and what stands on it: `bond`, `team`, `vlan`, `macvlan`, `wwan`.
 */
const INWARD: ReadonlySet<string> = new Set([
  ...["veth", "netkit", "tun", "macvtap", "ipvtap", "dummy", "ifb", "nlmon", "vrf"],
  ...["vxlan", "geneve", "gretap", "ip6gretap", "wireguard", "openvswitch"],
]);

/**
 * The links over which routers of the host's network may lead this host, by name: they were listened to before the host
 * forwards, and must be afterwards. What a router has said already does not count: it may say it any time.
 *
 * @param links All links of the host.
 */
export function linksToBeLed(links: readonly ObservedLink[], { underlayLink, never }: LedScope): string[] {
  const byIndex = new Map(links.map((link) => [link.linkIndex, link]));
  // What comes in over a port is its master's; a VRF only has its own routes.
  const isPort = ({ masterIndex }: ObservedLink) =>
    masterIndex !== undefined && byIndex.get(masterIndex)?.kind !== "vrf";
  const isOutward = (link: ObservedLink): boolean => {
    if (link.name === "lo") return false;
    if (link.kind === undefined || !INWARD.has(link.kind) && link.kind !== "bridge") return true;
    // A bridge leads outside if one of its ports does; else there are only containers on it.
    return link.kind === "bridge" &&
      links.some((port) => port.masterIndex === link.linkIndex && port.kind !== "bridge" && isOutward(port));
  };
  return links
    .filter((link) => !never.includes(link.name) && !isPort(link))
    .filter((link) => link.name === underlayLink || isOutward(link))
    .map(({ name }) => name);
}
