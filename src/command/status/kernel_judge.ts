import {
  type Address,
  formatAddress,
  formatPrefix,
  maskAddress,
  type Prefix,
  prefixContains,
} from "../../model/address.ts";
import type { SubnetEnv } from "../../pods/subnet_env.ts";
import type { KernelRoute, KernelState, KernelVtep } from "./kernel_state.ts";

/** Of things that are wrong in one way so many are named; the others are counted. */
const NAMED = 5;

/** The MAC of an entry for what has no other, which leads to no host's pods. */
const ANY_MAC = "00:00:00:00:00:00";

/** What `subnet.env` says of this host; `undefined` where there is none that can be read. */
type Env = Pick<SubnetEnv, "networks" | "subnets" | "mtuBytes" | "backendType"> | undefined;

/** The backends that send packets through a VTEP, whatever else they do. */
const WITH_VTEP: ReadonlySet<string> = new Set(["vxlan"]);

/**
 * What is visibly wrong with the data path: one sentence each, the cause of others first. It knows no registry, so that a
 * peer of which nothing is there is not missed.
 */
export function judgeKernel(kernel: KernelState, env: Env): readonly string[] {
  const { vteps } = kernel;
  return [
    ...vteps.length === 0 && env?.backendType !== undefined && WITH_VTEP.has(env.backendType)
      ? [`there is no VTEP, though the subnet file says ${env.backendType}: no packet gets to another host`]
      : [],
    ...vteps.flatMap((vtep) => judgeVtep(vtep, kernel)),
    ...judgeDirect(kernel),
    ...judgeBridge(kernel, env),
  ];
}

function judgeVtep(vtep: KernelVtep, { links, addresses }: KernelState): string[] {
  const { link, routes, neighbours, fdb } = vtep;
  const { name, vxlan } = link;
  if (!link.isUp) return [`${name} is down, so that its routes are gone: ip link set ${name} up`];
  const under = links.find(({ linkIndex }) => linkIndex === vxlan?.underlayLinkIndex);
  const local = vxlan?.local;
  const isOwn = local === undefined || addresses.some(({ address }) => address === local);
  const noNeighbour = routes.filter(({ gateway }) => gateway !== undefined && !neighbours.has(gateway));
  const noEntry = [...neighbours].filter(([, mac]) => fdb.get(mac) === undefined);
  // What leads to a host is there as a whole: what is left of it shows that there was one.
  const nextHops = new Set(routes.map(({ gateway }) => gateway));
  const noRoute = [...neighbours.keys()].filter((address) => !nextHops.has(address));
  const known = new Set(neighbours.values());
  // Where neighbours are missed by their routes, that has been said.
  const alone = noNeighbour.length > 0
    ? []
    : [...fdb].filter(([mac, address]) => address !== undefined && mac !== ANY_MAC && !known.has(mac));
  return [
    ...under !== undefined && !under.isUp ? [`${under.name}, which ${name} sends by, is down`] : [],
    ...isOwn ? [] : [`${name} sends from ${formatAddress(local)}, which is no address of this host any more`],
    ...addresses.some(({ linkIndex, family }) => linkIndex === link.linkIndex && family === vtep.family)
      ? []
      : [`${name} has no address of its own, so that what this host itself sends to pods has a wrong source`],
    ...several(
      noNeighbour.map(({ destination }) => destination),
      (named) => `no neighbour on ${name} for the next hop of ${named}: packets there are dropped`,
    ),
    ...several(
      noEntry.map(([address]) => formatAddress(address)),
      (named) => `no FDB entry on ${name} for the neighbour ${named}: its packets are dropped`,
    ),
    ...several(
      noRoute.map((address) => formatAddress(address)),
      (named) => `no route over ${name} by the neighbour ${named}: packets for its host's pods go elsewhere`,
    ),
    ...several(
      alone.map(([mac, address]) => `${formatAddress(address!)} (${mac})`),
      (named) => `no neighbour on ${name} has the MAC of the FDB entry to ${named}: nothing leads there`,
    ),
  ];
}

/** Direct routes whose next hop is on no segment of the link that they leave by. */
function judgeDirect({ direct, links, addresses }: KernelState): string[] {
  const isDown = (index: number) => links.find(({ linkIndex }) => linkIndex === index)?.isUp === false;
  const isNear = (linkIndex: number, gateway: Address) =>
    addresses.some((one) =>
      one.linkIndex === linkIndex && typeof one.address === typeof gateway &&
      maskAddress(one.address, one.length) === maskAddress(gateway, one.length)
    );
  const lost = (route: KernelRoute) => {
    const { linkIndex, gateway } = route;
    return linkIndex !== undefined && gateway !== undefined &&
      (isDown(linkIndex) || !isNear(linkIndex, gateway));
  };
  return several(
    direct.filter(lost).map(({ destination }) => destination),
    (named) => `the link of the route to ${named} is down, or no longer on the segment of its next hop`,
  );
}

/** The bridge must have the first address of this host's subnet: pods have it for their gateway. */
function judgeBridge({ bridge, addresses }: KernelState, env: Env): string[] {
  if (bridge === undefined || env === undefined) return [];
  if (!bridge.isUp) return [`${bridge.name} is down: no pod gets a packet out`];
  const has = (subnet: Prefix) =>
    addresses.some(({ linkIndex, address }) =>
      linkIndex === bridge.linkIndex && typeof address === typeof subnet.address &&
      prefixContains(subnet, address)
    );
  return env.subnets.filter((subnet) => !has(subnet))
    .map((subnet) =>
      `${bridge.name} has no address of ${formatPrefix(subnet)}, so that pods have no gateway`
    );
}

/** One sentence about some, of which few are named. */
function several(names: readonly string[], say: (named: string) => string): string[] {
  if (names.length === 0) return [];
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : "";
  return [say(names.slice(0, NAMED).join(", ") + more)];
}
