import type { Announced } from "../registry/kube/kube_announcer.ts";
import type { FamilyNetwork } from "../config/subnets.ts";
import type { RegistryOptions } from "../config/registry_flags.ts";
import type { FamilySubnets } from "../registry/choose_subnet.ts";
import { LinkedAbort } from "../loop/linked_abort.ts";
import { inTurns } from "../loop/worker.ts";
import type { TlsClient } from "../registry/http/tls_client.ts";
import type { LeaseRegistry } from "../registry/registry.ts";
import type { Log } from "../log/log.ts";
import type { Condition } from "../model/condition.ts";
import {
  type Address,
  AF_INET,
  AF_INET6,
  formatAddress,
  type Ipv4,
  type Ipv6,
  type Prefix,
} from "../model/address.ts";
import { errorText } from "../log/error_text.ts";
import { readCredential } from "./read_credential.ts";

/** What registries need of the process. */
export interface RegistryPlaceDeps {
  readonly log: Log;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Calls `changed` when a file whose path begins with `path` changes. */
  readonly watchFiles: (path: string, changed: () => void) => Disposable | undefined;
  /** Reads a key, token, certificate or kubeconfig; with this thread if absent. */
  readonly readCredential?: typeof readCredential;
  /** How often it is tried to open a file that another process holds, which blocks the thread; some seconds long if absent. */
  readonly openAttempts?: number | undefined;
}

/** Whose leases they are, and of which networks. */
export interface RegistryContext {
  readonly families: readonly (FamilyNetwork & Pick<FamilySubnets, "ground">)[];
  /** Where other hosts reach this one, as far as it knows. */
  readonly ownAddresses: () => readonly Address[];
  /** What the subnet file says that this host held. */
  readonly previousSubnets: readonly Prefix[];
  /** What the registry gave to the agent before this one on this very host. */
  readonly token: string | undefined;
  /** Called when the registry says something new about this host that its lease depends on. */
  readonly ownChanged: () => void;
  /** Called when the registry is heard again after it could not be followed. */
  readonly back: () => void;
}

/** A registry in use. */
export interface OpenRegistry extends Disposable {
  readonly registry: LeaseRegistry;
  /** Addresses that the registry says this host is reached at; stronger than flags. */
  readonly publicAddresses?: () => { readonly publicIp?: Ipv4; readonly publicIpv6?: Ipv6 };
  /** The subnets that the cluster gives this host, as they were last read; absent where hosts choose them. */
  readonly givenSubnets?: () => readonly Prefix[];
  /** Addresses that the cluster knows this host by. */
  readonly nodeAddresses?: () => readonly Address[];
  /** What was found about this host's object there, and what could not be said of it. */
  readonly conditions?: () => readonly Condition[];
  /** Looks again and again at the certificates that it is asked with, until `signal` aborts. */
  readonly watchCertificates?: (options: { signal: AbortSignal }) => Promise<void>;
  /** Keeps telling others there how this host is, until `signal` aborts. */
  readonly announce?: (health: () => Announced, options: { signal: AbortSignal }) => Promise<void>;
}

/** A place where leases are agreed on, before it is known of which networks. */
export interface RegistryPlace extends Disposable {
  /** What it is called in messages and in the lease cache. */
  readonly name: string;
  /** Whether it is on this machine, and so never away. */
  readonly isOnDisk: boolean;
  /** Names or addresses of the hosts that it is reached at. */
  readonly hosts: readonly string[];
  /** Reads the network configuration, where the registry keeps it. */
  readonly readNetworkConfig?: (options: { signal: AbortSignal }) => Promise<string>;
  /** Reads the addresses that the cluster knows this host by, where it does; none where that can't be had soon. */
  readonly readNodeAddresses?: (options: { signal: AbortSignal }) => Promise<readonly Address[]>;
  open(context: RegistryContext): OpenRegistry;
}

/**
 * Finds the registry that the options name. Its code is loaded only then.
 *
 * @throws {Error} If what it is reached by can't be read, and what to do.
 */
export async function registryPlace(
  options: RegistryOptions,
  deps: RegistryPlaceDeps,
): Promise<RegistryPlace> {
  switch (options.kind) {
    case "local":
      return await localPlace(options, deps);
    case "kube":
      return await kubePlace(options, deps);
    case "etcd":
      return await etcdPlace(options, deps);
  }
}

/** The host in a URL, without the brackets of an IPv6 address. */
function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
}

/** How often it is looked whether certificates are to be read again. */
const LOOK_MS = 1000;
/** The agent does not wait longer for what only breaks ties. */
const NODE_ADDRESSES_MS = 2000;

const now = () => Date.now();
const elapsedMs = () => performance.now();
const random64 = () => crypto.getRandomValues(new BigUint64Array(1))[0]!;

async function localPlace(
  { path }: RegistryOptions & { kind: "local" },
  deps: RegistryPlaceDeps,
): Promise<RegistryPlace> {
  const { openLocalRegistry } = await import("../registry/local/local.ts");
  const { log, watchFiles, openAttempts } = deps;
  return {
    name: `local ${path}`,
    isOnDisk: true,
    hosts: [],
    open: ({ families, ownAddresses, previousSubnets, token }) => {
      const registry = openLocalRegistry(path, {
        now,
        elapsedMs,
        random: random64,
        log,
        watchFiles,
        openAttempts,
      }, {
        host: formatAddress(ownAddresses()[0]!),
        families,
        previousSubnets,
        token,
      });
      return { registry, [Symbol.dispose]: () => registry[Symbol.dispose]() };
    },
    [Symbol.dispose]: () => {},
  };
}

async function kubePlace(
  options: RegistryOptions & { kind: "kube" },
  deps: RegistryPlaceDeps,
): Promise<RegistryPlace> {
  const { log, environment } = deps;
  const { KubeRegistry } = await import("../registry/kube/kube.ts");
  const { givenSubnets } = await import("../registry/kube/kube_node.ts");
  const { KubeAnnouncer } = await import("../registry/kube/kube_announcer.ts");
  const { findApiServer, identityOf } = await import("../registry/kube/kube_config.ts");
  const identity = identityOf(environment);
  const { apiUrl: url, kubeconfigFile, annotationPrefix, clearsCondition } = options;
  const readTextFile = deps.readCredential ?? readCredential;
  const access = await findApiServer({ url, kubeconfigFile }, { readTextFile, environment });
  const door = { readTextFile, now, elapsedMs, random: Math.random, log };
  return {
    name: `kube ${annotationPrefix}`,
    isOnDisk: false,
    hosts: [...new Set([hostOf(access.url), environment["KUBERNETES_SERVICE_HOST"] ?? ""])].filter(Boolean),
    readNodeAddresses: async ({ signal }) => {
      using registry = new KubeRegistry({ ...door, ownNodeChanged: () => {} }, {
        access,
        identity,
        annotationPrefix,
        networks: [],
      });
      using abort = new LinkedAbort(signal);
      abort.limit(NODE_ADDRESSES_MS);
      try {
        await registry.look({ signal: abort.signal });
      } catch (error) {
        signal.throwIfAborted();
        log.write("info", "node addresses not read", { reason: errorText(error) });
      }
      return registry.nodeAddresses;
    },
    open: ({ families, ownChanged, back }) => {
      const registry = new KubeRegistry(
        { ...door, ownNodeChanged: ownChanged, back },
        { access, identity, annotationPrefix, networks: families.map(({ network }) => network) },
      );
      const announcer = new KubeAnnouncer(registry, { now, elapsedMs, log }, { clearsCondition });
      return {
        registry,
        publicAddresses: () => {
          const [publicIp, publicIpv6] = [registry.publicAddress(AF_INET), registry.publicAddress(AF_INET6)];
          return {
            ...publicIp !== undefined && { publicIp: publicIp as Ipv4 },
            ...publicIpv6 !== undefined && { publicIpv6: publicIpv6 as Ipv6 },
          };
        },
        givenSubnets: () => givenSubnets(registry.ownNode),
        nodeAddresses: () => registry.nodeAddresses,
        conditions:
          () => [...registry.conditions, ...announcer.conditions, ...registry.client.tls.conditions],
        watchCertificates: (options) => watchTls(registry.client.tls, options),
        announce: (health, options) => announcer.run(health, options),
        [Symbol.dispose]: () => registry[Symbol.dispose](),
      };
    },
    [Symbol.dispose]: () => {},
  };
}

async function etcdPlace(
  options: RegistryOptions & { kind: "etcd" },
  deps: RegistryPlaceDeps,
): Promise<RegistryPlace> {
  const { EtcdClient } = await import("../registry/etcd/etcd_client.ts");
  const { EtcdRegistry, readNetworkConfigText } = await import("../registry/etcd/etcd.ts");
  const { prefix } = options;
  const client = new EtcdClient(options, { readTextFile: deps.readCredential ?? readCredential });
  return {
    name: `etcd ${prefix}`,
    isOnDisk: false,
    hosts: [...new Set(options.endpoints.map(hostOf))],
    readNetworkConfig: (options) => readNetworkConfigText(client, prefix, options),
    open: ({ families, previousSubnets, token, back }) => {
      const registry = new EtcdRegistry(client, { now, elapsedMs, random: random64, log: deps.log, back }, {
        prefix,
        families,
        previousSubnets,
        token,
      });
      return {
        registry,
        conditions: () => [...client.tls.conditions, ...registry.conditions],
        watchCertificates: (options) => watchTls(client.tls, options),
        [Symbol.dispose]: () => {},
      };
    },
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
}

/** Looks after certificates: what is wrong with them is told before they are needed. */
async function watchTls(
  tls: Pick<TlsClient, "look">,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  await inTurns(() => tls.look(), { periodMs: LOOK_MS })(options);
}
