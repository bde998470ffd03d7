import type { Log } from "../log/log.ts";
import type { Address, Family, Prefix } from "../model/address.ts";
import type { Lease, LeaseUpdate } from "../model/lease.ts";
import { BackOff } from "./back_off.ts";
import { Contact } from "./contact.ts";
import { ConnectionError, LeftConnectionError } from "./http_door.ts";
import { claimLease } from "./kube_claim.ts";
import { isKubeStatus, KubeClient, KubeError, STRATEGIC_MERGE_PATCH } from "./kube_client.ts";
import type { KubeAccess, NodeIdentity } from "./kube_config.ts";
import {
  addressIn,
  type AnnotationKeys,
  annotationKeys,
  contentOf,
  keptOfNode,
  type KubeNode,
} from "./kube_node.ts";
import {
  internalAddresses,
  isUnheard,
  KEPT_OF_CONDITIONS,
  keptOfOwnNode,
  nodeSchema,
  originOf,
  readNode,
} from "./kube_node.ts";
import { explain, reasonOf } from "./kube_reason.ts";
import { NodeTenant } from "./kube_tenant.ts";
import { NodeFeed } from "./kube_feed.ts";
import type { LeaseFault } from "./lease_set.ts";
import { pause } from "./pause.ts";
import type { LeaseRegistry, LeaseRequest, RegistryContact } from "./registry.ts";
import { RegistryError } from "./registry_error.ts";

/** Between attempts to follow the API server: the first pause, and the longest. */
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 30_000;
/** A watch that the server ends sooner is begun again after a pause only. */
const SHORT_WATCH_MS = 5000;

/** What the registry needs of the world. */
export interface KubeRegistryDeps {
  readonly readTextFile: (path: string) => Promise<string>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Milliseconds of a clock that nobody sets. */
  readonly elapsedMs: () => number;
  /** A number from 0 to less than 1. */
  readonly random: () => number;
  readonly log: Log;
  /** Called when the API server is heard again after it could not be followed. */
  readonly back?: () => void;
  /** Called when the own node says something else than before that a lease depends on. */
  readonly ownNodeChanged: () => void;
}

/** Whose registry it is. */
export interface KubeRegistryOptions {
  readonly access: KubeAccess;
  /** The name of the own node, or the pod that runs there. */
  readonly identity: NodeIdentity;
  /** With `/` or `-` at its end. */
  readonly annotationPrefix: string;
  /** The cluster network of each family in use. */
  readonly networks: readonly Prefix[];
  /** Nodes in one page of a list; 500 unless told. */
  readonly pageSize?: number;
}

/** Leases as annotations of Nodes, as flannel's `--kube-subnet-mgr` keeps them. The cluster gives the subnets. */
export class KubeRegistry implements LeaseRegistry, Disposable {
  readonly #deps: KubeRegistryDeps;
  readonly #options: KubeRegistryOptions;
  readonly #keys: AnnotationKeys;
  readonly #client: KubeClient;
  readonly #contact: Contact;
  readonly #feed: NodeFeed;
  #nodeName: string | undefined;
  #ownNode: KubeNode | undefined;
  #shortfalls: readonly string[] = [];
  #nodeAddresses: readonly Address[] = [];
  readonly #tenant: NodeTenant;

  constructor(deps: KubeRegistryDeps, options: KubeRegistryOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#keys = annotationKeys(options.annotationPrefix);
    this.#client = new KubeClient(options.access, deps);
    this.#contact = new Contact(deps);
    this.#tenant = new NodeTenant(deps.elapsedMs);
    this.#feed = new NodeFeed(this.#client, {
      keys: this.#keys,
      pageSize: options.pageSize ?? 500,
      random: deps.random,
      seen: (node) => this.#see(node),
      isOwn: (name) => name === this.#nodeName,
    });
    if ("nodeName" in options.identity) this.#nodeName = options.identity.nodeName;
  }

  get host(): string | undefined {
    return this.#nodeName;
  }

  get faults(): readonly LeaseFault[] {
    return this.#feed.faults;
  }

  get contact(): RegistryContact {
    return this.#contact;
  }

  get shortfalls(): readonly string[] {
    return this.#shortfalls;
  }

  /** The way to the API server, for what is said there besides leases. */
  get client(): KubeClient {
    return this.#client;
  }

  /** The own node as it was last seen. */
  get ownNode(): KubeNode | undefined {
    return this.#ownNode;
  }

  /** The InternalIP of the own node as it was last read, one a family. */
  get nodeAddresses(): readonly Address[] {
    return this.#nodeAddresses;
  }

  /**
   * Reads the own node, for what it says beside the lease.
   *
   * @throws {RegistryError} If that can't be, and what to do.
   */
  async look(options: { signal: AbortSignal }): Promise<void> {
    await this.#readOwn(options);
  }

  /** Addresses that the own node says it is reached at, `node-public-ip`: stronger than `-public-ip`. */
  publicAddress(family: Family): Address | undefined {
    const node = this.#ownNode;
    try {
      return node && addressIn(node, this.#keys.nodeAddress[family], family);
    } catch (error) {
      this.#deps.log.write("warn", "annotation doubted", { reason: reasonOf(error) });
      return undefined;
    }
  }

  async previous(_request: LeaseRequest, options: { signal: AbortSignal }): Promise<Lease | undefined> {
    const node = await this.#readOwn(options);
    const reading = readNode(node, this.#keys);
    return reading.kind === "lease" ? reading.lease : undefined;
  }

  /**
   * Writes what this host publishes into its node; nothing if it is there already.
   *
   * @throws {RegistryError} If that can't be, and what to do.
   */
  async acquire(request: LeaseRequest, options: { signal: AbortSignal }): Promise<Lease> {
    const node = await this.#readOwn(options);
    const there = originOf(node, this.#keys);
    this.#tenant.check(node.metadata.name, there, request.origin);
    const { lease, annotations, shortfalls } = claimLease(node, request, {
      keys: this.#keys,
      networks: this.#options.networks,
    });
    this.#shortfalls = shortfalls;
    if (Object.keys(annotations).length === 0) {
      this.#tenant.wrote(there, request.origin);
      return lease;
    }
    const { name } = node.metadata;
    // The watch may show it before the answer does.
    this.#ownNode = {
      ...node,
      metadata: { ...node.metadata, annotations: { ...node.metadata.annotations, ...annotations } },
    };
    const path = `/api/v1/nodes/${encodeURIComponent(name)}/status`;
    const answer = await this.#explained(
      `write the lease of node ${name}`,
      () =>
        this.#client.request(path, keptOfNode(this.#keys), {
          method: "PATCH",
          contentType: STRATEGIC_MERGE_PATCH,
          body: { metadata: { annotations } },
          ...options,
        }),
    );
    this.#tenant.wrote(there, request.origin);
    const written = nodeSchema.safeParse(answer).data;
    if (written !== undefined) {
      this.#ownNode = written;
      this.#feed.ignoreBefore(written);
    }
    return lease;
  }

  async isSilent(host: string, options: { signal: AbortSignal }): Promise<boolean> {
    try {
      const path = `/api/v1/nodes/${encodeURIComponent(host)}`;
      return isUnheard(await this.#client.request(path, KEPT_OF_CONDITIONS, options));
    } catch (error) {
      if (isKubeStatus(error, 404)) return true;
      throw error;
    }
  }

  moved(): void {
    this.#client.leaveConnections();
  }

  async *watch(options: { signal: AbortSignal }): AsyncGenerator<LeaseUpdate, void, undefined> {
    const { signal } = options;
    const { elapsedMs, random } = this.#deps;
    const backOff = new BackOff({ firstMs: FIRST_RETRY_MS, lastMs: LAST_RETRY_MS, random });
    let position: string | undefined;
    while (!signal.aborted) {
      const startedMs = elapsedMs();
      try {
        if (position === undefined) {
          const snapshot = await this.#feed.list({ signal });
          position = snapshot.position;
          this.#contact.heard();
          yield { kind: "snapshot", leases: snapshot.leases };
        }
        for await (const piece of this.#feed.follow(position, { signal })) {
          position = piece.position;
          this.#contact.heard();
          yield* piece.updates;
        }
        if (elapsedMs() - startedMs > SHORT_WATCH_MS) {
          backOff.reset();
          continue;
        }
      } catch (error) {
        if (signal.aborted) return;
        // What was to be resumed is forgotten there: the whole list is read anew.
        if (isKubeStatus(error, 410)) position = undefined;
        else if (error instanceof LeftConnectionError) backOff.reset();
        else this.#contact.lost(explain("follow the nodes", error).message);
        if (elapsedMs() - startedMs > SHORT_WATCH_MS) backOff.reset();
      }
      await pause(backOff.next(), { signal });
    }
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }

  async #readOwn(options: { signal: AbortSignal }): Promise<KubeNode> {
    const name = await this.#ownName(options);
    const action = `read node ${name}`;
    const answer = await this.#explained(
      action,
      () =>
        this.#client.request(
          `/api/v1/nodes/${encodeURIComponent(name)}`,
          keptOfOwnNode(this.#keys),
          options,
        ),
    );
    const { data } = nodeSchema.safeParse(answer);
    if (data === undefined) {
      throw new RegistryError(action, `${this.#client.url} does not answer as an API server does`);
    }
    this.#ownNode = data;
    this.#nodeAddresses = internalAddresses(data);
    return data;
  }

  async #ownName(options: { signal: AbortSignal }): Promise<string> {
    const { identity } = this.#options;
    if (this.#nodeName !== undefined) return this.#nodeName;
    if ("nodeName" in identity) return identity.nodeName;
    const [namespace, pod] = [identity.podNamespace, identity.podName].map(encodeURIComponent);
    const action = `read pod ${identity.podName} in namespace ${identity.podNamespace}`;
    const answer = await this.#explained(
      action,
      () =>
        this.#client.request(
          `/api/v1/namespaces/${namespace}/pods/${pod}`,
          { spec: { nodeName: true } },
          options,
        ),
    );
    const name = (answer as { spec?: { nodeName?: unknown } } | undefined)?.spec?.nodeName;
    if (typeof name !== "string" || name === "") throw new RegistryError(action, "it has no node yet");
    return this.#nodeName = name;
  }

  /** Looks at every node that passes by, to notice when the own one changes. */
  #see(node: KubeNode): void {
    if (node.metadata.name !== this.#nodeName) return;
    const before = this.#ownNode;
    this.#ownNode = node;
    if (before !== undefined && contentOf(before) === contentOf(node)) return;
    this.#deps.ownNodeChanged();
  }

  async #explained<T>(action: string, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof KubeError || error instanceof ConnectionError) throw explain(action, error);
      throw error;
    }
  }
}
