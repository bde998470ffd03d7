import { errorText } from "../../log/error_text.ts";
import {
  AF_INET,
  type Family,
  FAMILY_NAMES,
  familyOf,
  formatAddress,
  formatPrefix,
  type Prefix,
  prefixContains,
} from "../../model/address.ts";
import type { Lease, LeasePart } from "../../model/lease.ts";
import {
  addressIn,
  type AnnotationKeys,
  annotationOf,
  type KubeNode,
  originAnnotation,
  podSubnets,
  readNode,
} from "./kube_node.ts";
import { agesOf, sinceText } from "./kube_since.ts";
import { saidBy } from "../origin_text.ts";
import type { LeaseRequest } from "../registry.ts";
import { RegistryError } from "../registry_error.ts";

/** The lease that a node can have, and the annotations that are to be written for it; none if all are there. */
export interface NodeClaim {
  readonly lease: Lease;
  readonly annotations: Readonly<Record<string, string>>;
  /** Why the lease has no part in a family in use, one sentence each. */
  readonly shortfalls: readonly string[];
}

/**
 * What this host's node must say so that others reach it. Pure.
 *
 * The subnet is what the cluster gave the node. Where an operator overwrote the address, that one is published. A
 * family that can't be had does not keep the other from its part; flannel takes both or none.
 *
 * @param networks The cluster network of each family in use.
 * @throws {RegistryError} If the node can't have a part in any family, and what must be done so that it can.
 */
export function claimLease(
  node: KubeNode,
  request: LeaseRequest,
  { keys, networks, now, said }: {
    readonly keys: AnnotationKeys;
    readonly networks: readonly Prefix[];
    /** Milliseconds since 1970. */
    readonly now: number;
    /** The lease that this process has written last: whoever spoils that makes it no younger. */
    readonly said?: Lease | undefined;
  },
): NodeClaim {
  const { name } = node.metadata;
  const action = `take the lease of node ${name}`;
  const parts: LeasePart[] = [];
  const faults: Error[] = [];
  const wanted: Record<string, string> = {
    [keys.managed]: "true",
    [keys.backendType]: request.backendType,
    ...originAnnotation(request.origin, keys),
  };
  for (const network of networks) {
    const family = familyOf(network.address);
    try {
      const part = claimPart(node, request, { network, overwriteKey: keys.overwrite[family], action });
      parts.push(part);
      wanted[keys.address[family]] = formatAddress(part.underlayAddress);
      wanted[keys.data[family]] = JSON.stringify(part.backendData ?? null);
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      faults.push(error);
    }
  }
  if (parts.length === 0) throw faults[0];
  const before = readNode(node, keys);
  const since = sinceText(said ?? (before.kind === "lease" ? before.lease : undefined), parts, now);
  wanted[keys.since] = since;
  const annotations = Object.fromEntries(
    Object.entries(wanted).filter(([key, value]) => annotationOf(node, key) !== value),
  );
  const { backendType, origin } = request;
  const ages = agesOf(node.metadata.creationTimestamp, since);
  const lease = { host: name, backendType, parts, ...saidBy(origin), ...ages };
  return { lease, annotations, shortfalls: faults.map(({ message }) => message) };
}

function claimPart(
  node: KubeNode,
  request: LeaseRequest,
  place: { readonly network: Prefix; readonly overwriteKey: string; readonly action: string },
): LeasePart {
  const { network, overwriteKey, action } = place;
  const family = familyOf(network.address);
  const asked = request.parts.find(({ underlayAddress }) => familyOf(underlayAddress) === family);
  if (asked === undefined) {
    throw new RegistryError(action, `no underlay address for a subnet of ${formatPrefix(network)} was given`);
  }
  const subnet = ownSubnet(node, network, action);
  const overwrite = overwritten(node, overwriteKey, family, action);
  return {
    subnet,
    underlayAddress: overwrite ?? asked.underlayAddress,
    backendData: asked.backendData,
  };
}

/** The subnet that the cluster gave the node in the family of `network`. */
function ownSubnet(node: KubeNode, network: Prefix, action: string): Prefix {
  const family = familyOf(network.address);
  const { name } = node.metadata;
  let subnets: ReturnType<typeof podSubnets>;
  try {
    subnets = podSubnets(node);
  } catch (error) {
    throw new RegistryError(action, errorText(error));
  }
  const subnet = subnets[family];
  if (subnet === undefined) {
    const other = subnets[family === AF_INET ? 10 : 2];
    const what = other === undefined
      ? "no podCIDR"
      : `no podCIDR of ${FAMILY_NAMES[family]}, only ${formatPrefix(other)}`;
    throw new RegistryError(
      action,
      `node ${name} has ${what}: the controller manager gives it one if it runs with --allocate-node-cidrs=true ` +
        `and a --cluster-cidr that has ${formatPrefix(network)} (kubeadm: --pod-network-cidr)`,
    );
  }
  if (subnet.length >= network.length && prefixContains(network, subnet.address)) return subnet;
  const key = family === AF_INET ? "Network" : "IPv6Network";
  throw new RegistryError(
    action,
    `podCIDR ${formatPrefix(subnet)} of node ${name} is not in ${key} ${
      formatPrefix(network)
    }; make ${key} in ` +
      "net-conf.json the --cluster-cidr of the controller manager",
  );
}

function overwritten(node: KubeNode, key: string, family: Family, action: string) {
  try {
    return addressIn(node, key, family);
  } catch (error) {
    const reason = errorText(error);
    throw new RegistryError(
      action,
      `${reason}; mend or remove it: kubectl annotate node ${node.metadata.name} ${key}-`,
    );
  }
}
