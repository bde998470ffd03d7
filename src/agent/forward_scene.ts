import type { ForwardGroup } from "../firewall/forward_sweep.ts";
import type { OuterPackets } from "../firewall/outer_marks.ts";
import { type Family, familyOf, formatPrefix, type Prefix, prefixContains } from "../model/address.ts";
import type { VxlanLink } from "../model/state.ts";
import { ROUTE, routeDestination } from "../model/rows.ts";
import type { PacketLink } from "../nftables/packet.ts";
import { isPeerRow } from "../reconcile/route_truth.ts";
import type { Wanted } from "../reconcile/wanted.ts";

/** What packets this host forwards for the overlay. */
export interface ForwardScene {
  /** What it was made of: the same object while that is the same. */
  readonly wanted: Wanted;
  /** The links, as text. */
  readonly digest: string;
  readonly groups: () => readonly ForwardGroup[];
  readonly hostOf: (subnet: Prefix) => string | undefined;
}

/** What is asked of the kernel. */
export interface SceneKernel {
  readonly link: (name: string) => PacketLink | undefined;
  /** The name of a link by its index. */
  readonly nameOf: (linkIndex: number) => string | undefined;
  /** Whether a link has the gateway of a subnet's pods. */
  readonly isGatewayOn: (own: Prefix, linkIndex: number) => boolean;
}

/** Puts together who sends to whom; `undefined` where pods are on no bridge, or on none yet. */
export function forwardScene(
  wanted: Wanted | undefined,
  bridgeName: string | undefined,
  { link: linkOf, nameOf, isGatewayOn }: SceneKernel,
): ForwardScene | undefined {
  const bridge = wanted && bridgeName !== undefined ? linkOf(bridgeName) : undefined;
  if (wanted === undefined || bridge === undefined) return undefined;
  const own = wanted.ownSubnets.filter((subnet) => isGatewayOn(subnet, bridge.linkIndex));
  if (own.length === 0) return undefined;
  const links = wanted.state.links.map((wish) => {
    const link = linkOf(wish.name);
    return link && { link, ...wish.kind === "vxlan" && { carriedBy: carriedBy(wish, nameOf) } };
  });
  return {
    wanted,
    digest: [
      ...[bridge, ...links.map((one) => one?.link)].map((link) => `${link?.name} ${link?.linkIndex}`),
      ...links.map((one) => one?.carriedBy?.link?.name),
      ...own.map(formatPrefix),
    ].join(),
    groups: () => groupsOf({ ...wanted, ownSubnets: own }, bridge, links),
    hostOf: wanted.hostOf,
  };
}

/** A link that peers are behind, and what carries packets that come in by it. */
type PeerLink = Pick<ForwardGroup, "link" | "carriedBy">;

function carriedBy(
  { port, local, underlayLinkIndex: linkIndex }: VxlanLink,
  nameOf: SceneKernel["nameOf"],
): OuterPackets {
  const name = nameOf(linkIndex);
  return { port, local, ...name !== undefined && { link: { name, linkIndex } } };
}

function groupsOf(
  { state: { routes, networks }, ownSubnets }: Pick<Wanted, "state" | "ownSubnets">,
  bridge: PacketLink,
  links: readonly (PeerLink | undefined)[],
): readonly ForwardGroup[] {
  const subnets = new Map<string, PeerLink & { own: Prefix; network: Prefix; subnets: Prefix[] }>();
  for (let row = 0; row < routes.count; row++) {
    if (!isPeerRow(routes, row)) continue;
    const at = row * ROUTE.words;
    const subnet = routeDestination(routes.words, at);
    const family = routes.words[at + ROUTE.family] as Family;
    const peerLink = links[routes.words[at + ROUTE.slot]!];
    const own = ownSubnets.find(({ address }) => familyOf(address) === family);
    const network = networks.find((one) =>
      familyOf(one.address) === family && prefixContains(one, subnet.address)
    );
    if (peerLink === undefined || own === undefined || network === undefined) continue;
    const key = `${peerLink.link.linkIndex} ${family} ${network.address}`;
    const group = subnets.get(key);
    if (group === undefined) subnets.set(key, { ...peerLink, own, network, subnets: [subnet] });
    else group.subnets.push(subnet);
  }
  return [...subnets.values()].map(({ own, ...group }) => ({
    ...group,
    own: { prefix: own, link: bridge, isBridge: true },
  }));
}
