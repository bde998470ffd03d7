import { AF_INET, AF_INET6, formatAddress } from "../../model/address.ts";
import { isOriginOf } from "../own_lease.ts";
import type { HeldLease, LeavingHost } from "../registry.ts";
import { RegistryError } from "../registry_error.ts";
import { isKubeStatus } from "./kube_client.ts";
import { type AnnotationKeys, annotationOf, contentOf, type KubeNode, originOf } from "./kube_node.ts";
import type { OwnNode } from "./kube_own_node.ts";

/**
 * What a host that leaves has in its node.
 *
 * @throws {RegistryError} If the node can't be read, or what it says is another host's.
 */
export async function heldInNode(
  own: OwnNode,
  host: LeavingHost,
  keys: AnnotationKeys,
  options: { signal: AbortSignal },
): Promise<readonly HeldLease[]> {
  const node = await own.read(options);
  const published = publishedKeys(node, keys);
  if (published.length === 0) return [];
  const { name } = node.metadata;
  if (!isPublishedBy(node, host, keys)) {
    throw new RegistryError(
      `remove the lease of node ${name}`,
      "it says that it is another host's, or reached at another address than this host's; make NODE_NAME this host's node, or name its " +
        "address with -public-ip",
    );
  }
  const drop = async (keys: readonly string[], options: { signal: AbortSignal }) => {
    // The kubelet writes to the node all the time: only what a lease depends on counts.
    const now = await own.read(options);
    if (contentOf(now) !== contentOf(node)) return false;
    const annotations = Object.fromEntries(keys.map((key) => [key, null]));
    try {
      await own.annotate(now, { annotations, isGuarded: true }, options);
      return true;
    } catch (error) {
      if (isKubeStatus(error, 409)) return false;
      throw error;
    }
  };
  const ours = published.filter((key) => key === keys.origin || key === keys.since);
  return [{
    object: `lease of node ${name}: annotations ${published.join(", ")}`,
    release: (options) => drop(published, options),
    ...ours.length > 0 && { strip: (options: { signal: AbortSignal }) => drop(ours, options) },
  }];
}

/** The annotations that a host has written: those of an operator are not its. */
function publishedKeys(node: KubeNode, keys: AnnotationKeys): string[] {
  const { managed, backendType, origin, since, data, address } = keys;
  return [managed, backendType, origin, since, ...Object.values(data), ...Object.values(address)]
    .filter((key) => annotationOf(node, key) !== undefined);
}

/** Whether what a node says is a host's: it is where no address is said. */
function isPublishedBy(node: KubeNode, host: LeavingHost, keys: AnnotationKeys): boolean {
  const published = ([AF_INET, AF_INET6] as const)
    .map((family) => [keys.address[family], keys.overwrite[family]].map((key) => annotationOf(node, key)))
    .filter(([address]) => address !== undefined);
  if (published.length === 0) return true;
  const own = new Set<unknown>([...host.addresses].map(formatAddress));
  // Where an operator has overwritten the address, it says nothing about the host.
  return isOriginOf(originOf(node, keys), host) ??
    published.some(([address, overwrite]) => own.has(address) || address === overwrite);
}
