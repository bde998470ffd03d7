import { isFile } from "../cni/file.ts";
import { dumpHostLinks, isOurVtep } from "../cni/host_links.ts";
import type { Options } from "../config/options.ts";
import type { RegistryOptions } from "../config/registry_flags.ts";
import { explained } from "../lease/etcd_reason.ts";
import { parseLeaseCache } from "../lease/lease_cache.ts";
import { RegistryError } from "../lease/registry_error.ts";
import type { Log } from "../log/log.ts";
import type { Lease, Origin } from "../model/lease.ts";
import { type Address, AF_INET, AF_INET6, formatAddress } from "../model/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { observeHostNetwork } from "../underlay/host_network.ts";
import { chooseUnderlay, UnderlayError } from "../underlay/underlay.ts";
import type { CleanupStep } from "./cleanup_step.ts";

/** What looking for the own lease needs. */
export interface OwnLeaseDeps {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where other hosts reach this one: what tells its lease from theirs. */
  readonly ownAddresses: ReadonlySet<Address>;
  /** What stands for this machine's id in leases; absent where it has none. */
  readonly machine?: string | undefined;
  /** The MACs of this host's links; absent where they are not known. */
  readonly cards?: ReadonlySet<string>;
  /** What is opened here is closed by it, after the steps are done. */
  readonly stack: DisposableStack;
  readonly signal: AbortSignal;
}

const now = () => Date.now();
const elapsedMs = () => performance.now();
const readTextFile = (path: string) => Deno.readTextFile(path);
/** What is wrong is an error here, and a line of its own. */
const NO_LOG: Log = { write: () => {}, with: () => NO_LOG };

/**
 * The addresses that this host is reached at: those that an agent with these options would publish, of its VTEPs, and
 * of the lease that it remembers.
 */
export function findOwnAddresses(
  client: NetlinkClient,
  options: Pick<
    Options,
    "iface" | "ifaceRegex" | "ifaceCanReach" | "publicIp" | "publicIpv6" | "leaseCachePath"
  >,
): Set<Address> {
  const own = new Set<Address>();
  const host = observeHostNetwork(client);
  for (const family of [AF_INET, AF_INET6] as const) {
    try {
      const { addresses } = chooseUnderlay(host, { ...options, families: [family] });
      for (const { advertised } of addresses) own.add(advertised);
    } catch (error) {
      // Not every host has both families.
      if (!(error instanceof UnderlayError)) throw error;
    }
  }
  for (const link of dumpHostLinks(client).filter(isOurVtep)) {
    if (link.vxlan?.local !== undefined) own.add(link.vxlan.local);
  }
  for (const address of rememberedAddresses(options.leaseCachePath)) own.add(address);
  return own;
}

function rememberedAddresses(path: string | undefined): Address[] {
  if (path === undefined) return [];
  try {
    return parseLeaseCache(Deno.readTextFileSync(path)).own.parts.map(({ underlayAddress }) =>
      underlayAddress
    );
  } catch {
    // Nothing is remembered, or it can't be read.
    return [];
  }
}

/**
 * What the registry holds of this host, to be given up; nothing if it holds nothing.
 *
 * @throws {RegistryError} If it can't be asked, or what it says is not this host's.
 */
export async function planRegistry(options: RegistryOptions, deps: OwnLeaseDeps): Promise<CleanupStep[]> {
  switch (options.kind) {
    case "local":
      return await planLocal(options.path, deps);
    case "kube":
      return await planKube(options, deps);
    case "etcd":
      return await planEtcd(options, deps);
  }
}

/**
 * Whether what says who it is of is this host's; `undefined` where it does not say so. A machine id may be a clone's too,
 * a network card is not.
 */
function isOfThisHost(
  origin: Origin | undefined,
  { machine, cards }: Pick<OwnLeaseDeps, "machine" | "cards">,
): boolean | undefined {
  if (machine !== undefined && origin?.machine !== undefined && origin.machine !== machine) return false;
  return origin?.card === undefined ? undefined : cards?.has(origin.card);
}

/** Whether a lease is this host's. By its address only where nothing else tells: that may be another host's by now. */
function isOwn({ parts, origin }: Lease, deps: OwnLeaseDeps): boolean {
  return isOfThisHost(origin, deps) ??
    parts.some(({ underlayAddress }) => deps.ownAddresses.has(underlayAddress));
}

async function planLocal(path: string, deps: OwnLeaseDeps): Promise<CleanupStep[]> {
  if (!isFile(path)) return [];
  const { LocalFile } = await import("../lease/local_file.ts");
  const { readAll } = await import("../lease/local_acquire.ts");
  const { releaseLeases } = await import("../lease/local_changes.ts");
  const file = deps.stack.use(new LocalFile(path));
  return readAll(file).filter((lease) => isOwn(lease, deps))
    .map(({ host }) => ({
      verb: "remove",
      object: `lease of ${host} in ${path}`,
      run: () => void releaseLeases(file, "host = ?", host),
    }));
}

async function planEtcd(
  options: RegistryOptions & { kind: "etcd" },
  deps: OwnLeaseDeps,
): Promise<CleanupStep[]> {
  const { stack, signal } = deps;
  const { EtcdClient } = await import("../lease/etcd_client.ts");
  const { readEntry } = await import("../lease/etcd_format.ts");
  const { toBase64 } = await import("../lease/etcd_wire.ts");
  const { unchanged } = await import("../lease/etcd_write.ts");
  const folder = `${options.prefix}/subnets/`;
  const client = stack.use(new EtcdClient(options, { readTextFile }));
  const read = () => client.range(folder, { signal });
  const { entries } = await explained(`read the leases under ${folder}`, client, signal, read);
  return entries.filter(({ key, value }) => {
    const reading = readEntry(key.slice(folder.length), value);
    return "lease" in reading && isOwn(reading.lease, deps);
  }).map((entry) => ({
    verb: "remove",
    object: `lease ${entry.key}`,
    run: async () => {
      // Only as it was seen: by now it may be another host's.
      const transaction = {
        compare: [unchanged(entry)],
        success: [{ request_delete_range: { key: toBase64(entry.key) } }],
      };
      if (await client.transact(transaction, { signal }) === undefined) {
        throw new Error("it has changed meanwhile");
      }
    },
  }));
}

async function planKube(
  options: RegistryOptions & { kind: "kube" },
  deps: OwnLeaseDeps,
): Promise<CleanupStep[]> {
  const { environment, ownAddresses, stack, signal } = deps;
  const { KubeRegistry } = await import("../lease/kube.ts");
  const { STRATEGIC_MERGE_PATCH } = await import("../lease/kube_client.ts");
  const { findApiServer, identityOf } = await import("../lease/kube_config.ts");
  const { annotationKeys, annotationOf, originOf } = await import("../lease/kube_node.ts");
  const { apiUrl: url, kubeconfigFile, annotationPrefix } = options;
  const identity = identityOf(environment);
  const access = await findApiServer({ url, kubeconfigFile }, { readTextFile, environment });
  const door = { readTextFile, now, elapsedMs, random: Math.random, log: NO_LOG, ownNodeChanged: () => {} };
  const registry = stack.use(
    new KubeRegistry(door, { access, identity, annotationPrefix, networks: [] }),
  );
  await registry.look({ signal });
  const node = registry.ownNode!;
  const keys = annotationKeys(annotationPrefix);
  const ours = [
    keys.managed,
    keys.backendType,
    keys.origin,
    ...Object.values(keys.data),
    ...Object.values(keys.address),
  ]
    .filter((key) => annotationOf(node, key) !== undefined);
  if (ours.length === 0) return [];
  const { name } = node.metadata;
  const published = ([AF_INET, AF_INET6] as const)
    .map((family) =>
      [annotationOf(node, keys.address[family]), annotationOf(node, keys.overwrite[family])] as const
    )
    .filter(([address]) => address !== undefined);
  const own = new Set<unknown>([...ownAddresses].map(formatAddress));
  // Where an operator has overwritten the address, it says nothing about the host.
  const isOurs = isOfThisHost(originOf(node, keys), deps) ??
    published.some(([address, overwrite]) => own.has(address) || address === overwrite);
  if (published.length > 0 && !isOurs) {
    throw new RegistryError(
      `remove the lease of node ${name}`,
      "it says that it is another host's, or reached at another address than this host's; make NODE_NAME this host's node, or name its " +
        "address with -public-ip",
    );
  }
  return [{
    verb: "remove",
    object: `lease of node ${name}: annotations ${ours.join(", ")}`,
    run: async () => {
      await registry.client.request(`/api/v1/nodes/${encodeURIComponent(name)}/status`, {}, {
        method: "PATCH",
        contentType: STRATEGIC_MERGE_PATCH,
        body: { metadata: { annotations: Object.fromEntries(ours.map((key) => [key, null])) } },
        signal,
      });
    },
  }];
}
