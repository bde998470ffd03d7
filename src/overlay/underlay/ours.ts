import {
  type Address,
  formatAddress,
  formatPrefix,
  type Prefix,
  prefixContains,
} from "../../model/address.ts";
import type { ObservedLink } from "../../model/state.ts";
import { isVtepName } from "../../model/vtep.ts";
import type { HostNetwork } from "./host_network.ts";

/** Where the subnets of hosts are: from the first address of the first to the last of the last. */
export interface PodRange {
  readonly first: Address;
  readonly last: Address;
}

/** What tells the overlay's own links and addresses from those that can carry it. */
export interface OwnMarks {
  /** The cluster networks. */
  readonly networks?: readonly Prefix[];
  /** Where in these pods can be; anywhere if absent. */
  readonly ranges?: readonly PodRange[];
  /** Whether an address inside the cluster networks is taken all the same, as there is no other. */
  readonly admitsInside?: boolean;
  /** The names of this host's VTEPs. */
  readonly vtepNames?: readonly string[];
  /** The bridge that pods are on, as the conflist names it. */
  readonly bridgeName?: string | undefined;
}

/** What of a host can carry the overlay, and why the rest can't. */
export interface CarryingHost {
  /** The host as it is. */
  readonly all: HostNetwork;
  /** The host without links and addresses of the overlay's own. */
  readonly network: HostNetwork;
  /** Why a link is no underlay, as a sentence; `undefined` if it can be one. */
  readonly whyNotLink: (link: ObservedLink) => string | undefined;
  /** Why an address is none of the underlay's, as a sentence; `undefined` if it can be one. */
  readonly whyNotAddress: (address: Address) => string | undefined;
}

/**
 * Leaves out what is never an underlay, however it is asked for: VTEPs, the pods' bridge, addresses inside the cluster
 * networks, and every bridge that carries one. An overlay that is carried by itself carries nothing.
 */
export function withoutOwn(host: HostNetwork, marks: OwnMarks): CarryingHost {
  const { networks = [], ranges, vtepNames = [], bridgeName, admitsInside = false } = marks;
  const networkOf = (address: Address) => {
    const isOfPods =
      ranges?.some(({ first, last }) =>
        typeof first === typeof address && first <= address && address <= last
      ) ?? true;
    return isOfPods ? networks.find((network) => prefixContains(network, address)) : undefined;
  };
  const whyNotAddress = (address: Address) => {
    const network = admitsInside ? undefined : networkOf(address);
    return network && `${formatAddress(address)} is in the cluster network ${formatPrefix(network)}`;
  };
  const whyNotLink = ({ linkIndex, name, kind }: ObservedLink) => {
    if (vtepNames.includes(name) || (kind === "vxlan" && isVtepName(name))) return `${name} is a VTEP`;
    if (name === bridgeName) return `${name} is the pods' bridge`;
    if (kind !== "bridge") return undefined;
    const inside = host.addresses.find((entry) =>
      entry.linkIndex === linkIndex && networkOf(entry.address) !== undefined
    );
    return inside && `${name} is a bridge of pods: it carries ${formatAddress(inside.address)}`;
  };
  const links = host.links.filter((link) => whyNotLink(link) === undefined);
  const indexes = new Set(links.map(({ linkIndex }) => linkIndex));
  const addresses = host.addresses.filter(({ linkIndex, address }) =>
    indexes.has(linkIndex) && whyNotAddress(address) === undefined
  );
  return { all: host, network: { ...host, links, addresses }, whyNotLink, whyNotAddress };
}
