import type { Log } from "../../log/log.ts";
import { type Address, FAMILIES, type Family, type Prefix } from "../../model/address.ts";
import type { Condition } from "../../model/condition.ts";
import type { Lease, LeaseUpdate } from "../../model/lease.ts";
import { Contact } from "../contact.ts";
import type { LeaseFault } from "../remote_leases.ts";
import type { HeldLease, LeaseRegistry, LeaseRequest, LeavingHost, RegistryContact } from "../registry.ts";
import { claimLease } from "./kube_claim.ts";
import { isKubeStatus, KubeClient } from "./kube_client.ts";
import type { KubeAccess, NodeIdentity } from "./kube_config.ts";
import { NodeFeed } from "./kube_feed.ts";
import { heldInNode } from "./kube_held.ts";
import {
  addressIn,
  type AnnotationKeys,
  annotationKeys,
  isUnheard,
  KEPT_OF_CONDITIONS,
  type KubeNode,
  originOf,
  readNode,
} from "./kube_node.ts";
import { OwnNode } from "./kube_own_node.ts";
import { explained, reasonOf } from "./kube_reason.ts";
import { NodeTenant } from "./kube_tenant.ts";
import { watchNodes } from "./kube_watch.ts";

/** What the registry needs of the world. */
export interface KubeRegistryDeps {
  readonly readTextFile: (path: string) => Promise<string>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Milliseconds of a monotonic clock. */
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
  readonly #own: OwnNode;
  /** What this host has written last. */
  #said: Lease | undefined;
  #shortfalls: readonly string[] = [];
  readonly #tenant: NodeTenant;

  constructor(deps: KubeRegistryDeps, options: KubeRegistryOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#keys = annotationKeys(options.annotationPrefix);
    this.#client = new KubeClient(options.access, deps);
    this.#contact = new Contact(deps);
    this.#tenant = new NodeTenant(deps.elapsedMs);
    this.#own = new OwnNode(this.#client, {
      identity: options.identity,
      keys: this.#keys,
      changed: deps.ownNodeChanged,
    });
    this.#feed = new NodeFeed(this.#client, {
      keys: this.#keys,
      pageSize: options.pageSize ?? 500,
      random: deps.random,
      elapsedMs: deps.elapsedMs,
      seen: (node) => this.#own.see(node),
      isOwn: (name) => name === this.#own.name,
      isOwnThere: (options) => this.#own.isThere(options),
      ownVersion: () => this.#own.node?.metadata.resourceVersion,
    });
  }

  get host(): string | undefined {
    return this.#own.name;
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
    return this.#own.node;
  }

  /** The InternalIP of the own node as it was last read, one a family. */
  get nodeAddresses(): readonly Address[] {
    return this.#own.addresses;
  }

  /**
   * Reads the own node, for what it says beside the lease.
   *
   * @throws {RegistryError} If that can't be, and what to do.
   */
  async look(options: { signal: AbortSignal }): Promise<void> {
    await this.#own.read(options);
  }

  /** Addresses that the own node says it is reached at, `node-public-ip`: stronger than `-public-ip`. */
  publicAddress(family: Family): Address | undefined {
    try {
      return this.#publicAddress(family);
    } catch {
      return undefined;
    }
  }

  /** What of the own node's annotations is not heeded. */
  get conditions(): readonly Condition[] {
    return FAMILIES.flatMap((family): Condition[] => {
      try {
        this.#publicAddress(family);
        return [];
      } catch (error) {
        const sentence = `node ${this.host}: ${reasonOf(error)}; it is not heeded`;
        return [{ code: "annotation-wrong", sentence }];
      }
    });
  }

  #publicAddress(family: Family): Address | undefined {
    const { node } = this.#own;
    return node && addressIn(node, this.#keys.nodeAddress[family], family);
  }

  async previous(_request: LeaseRequest, options: { signal: AbortSignal }): Promise<Lease | undefined> {
    const node = await this.#own.read(options);
    const reading = readNode(node, this.#keys);
    return reading.kind === "lease" ? reading.lease : undefined;
  }

  /**
   * Writes what this host publishes into its node; nothing if it is there already.
   *
   * @throws {RegistryError} If that can't be, and what to do.
   */
  async acquire(request: LeaseRequest, options: { signal: AbortSignal }): Promise<Lease> {
    const node = await this.#own.read(options);
    const there = originOf(node, this.#keys);
    this.#tenant.check(node.metadata.name, there, request.origin);
    const { lease, annotations, shortfalls } = claimLease(node, request, {
      keys: this.#keys,
      networks: this.#options.networks,
      now: this.#deps.now(),
      said: this.#said,
    });
    this.#shortfalls = shortfalls;
    if (Object.keys(annotations).length === 0) {
      this.#said = lease;
      this.#tenant.wrote(there, request.origin);
      return lease;
    }
    const written = await explained(
      `write the lease of node ${node.metadata.name}`,
      () => this.#own.annotate(node, { annotations }, options),
    );
    this.#said = lease;
    this.#tenant.wrote(there, request.origin);
    if (written !== undefined) this.#feed.ignoreBefore(written);
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

  async held(host: LeavingHost, options: { signal: AbortSignal }): Promise<readonly HeldLease[]> {
    return await heldInNode(this.#own, host, this.#keys, options);
  }

  moved(): void {
    this.#client.leaveConnections();
  }

  watch(options: { signal: AbortSignal }): AsyncGenerator<LeaseUpdate, void, undefined> {
    const { elapsedMs, random, log } = this.#deps;
    const wentBack = (reason: string) => log.write("warn", "registry went back", { reason });
    return watchNodes({ feed: this.#feed, contact: this.#contact, elapsedMs, random, wentBack }, options);
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}
