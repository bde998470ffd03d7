import type { Address } from "../../model/address.ts";
import { RegistryError } from "../registry_error.ts";
import { type KubeClient, KubeError, STRATEGIC_MERGE_PATCH } from "./kube_client.ts";
import type { NodeIdentity } from "./kube_config.ts";
import {
  type AnnotationKeys,
  contentOf,
  internalAddresses,
  keptOfNode,
  keptOfOwnNode,
  type KubeNode,
  nodeSchema,
} from "./kube_node.ts";
import { explained } from "./kube_reason.ts";

/** Whose node it is. */
export interface OwnNodeOptions {
  /** The name of the own node, or the pod that runs there. */
  readonly identity: NodeIdentity;
  readonly keys: AnnotationKeys;
  /** Called when the node says something else than before that a lease depends on. */
  readonly changed: () => void;
}

/** The node that stands for this host in the API server, as it was last seen. */
export class OwnNode {
  readonly #client: KubeClient;
  readonly #options: OwnNodeOptions;
  #name: string | undefined;
  #node: KubeNode | undefined;
  #addresses: readonly Address[] = [];

  constructor(client: KubeClient, options: OwnNodeOptions) {
    this.#client = client;
    this.#options = options;
    if ("nodeName" in options.identity) this.#name = options.identity.nodeName;
  }

  /** `undefined` while only the pod is known. */
  get name(): string | undefined {
    return this.#name;
  }

  get node(): KubeNode | undefined {
    return this.#node;
  }

  /** Its InternalIP, one a family. */
  get addresses(): readonly Address[] {
    return this.#addresses;
  }

  /**
   * Reads it anew.
   *
   * @throws {RegistryError} If that can't be, and what to do.
   */
  async read(options: { signal: AbortSignal }): Promise<KubeNode> {
    const name = this.#name ??= await this.#nameByPod(options);
    const action = `read node ${name}`;
    const path = `/api/v1/nodes/${encodeURIComponent(name)}`;
    const answer = await explained(
      action,
      () => this.#client.request(path, keptOfOwnNode(this.#options.keys), options),
    );
    const { data } = nodeSchema.safeParse(answer);
    if (data?.metadata.name !== name) {
      throw new RegistryError(action, `${this.#client.url} does not answer as an API server does`);
    }
    this.#node = data;
    this.#addresses = internalAddresses(data);
    return data;
  }

  /** Whether the API server has it; `false` where that can't be told. */
  async isThere(options: { signal: AbortSignal }): Promise<boolean> {
    const name = this.#name;
    if (name === undefined) return false;
    try {
      const path = `/api/v1/nodes/${encodeURIComponent(name)}`;
      const answer = await this.#client.request(path, { metadata: { name: true } }, options);
      return (answer as { metadata?: { name?: unknown } } | undefined)?.metadata?.name === name;
    } catch (error) {
      options.signal.throwIfAborted();
      if (error instanceof KubeError) return false;
      throw error;
    }
  }

  /** Looks at a node that passes by, to notice when it is this one and has changed. */
  see(node: KubeNode): void {
    if (node.metadata.name !== this.#name) return;
    const before = this.#node;
    this.#node = node;
    if (before !== undefined && contentOf(before) === contentOf(node)) return;
    this.#options.changed();
  }

  /**
   * Writes annotations; `null` removes one.
   *
   * @param node The node as it was read.
   * @param patch.isGuarded Whether nothing is written if the node has changed since.
   * @returns The node as it was written; `undefined` if the answer does not tell.
   * @throws {KubeError} With status 409 if it is guarded and has changed.
   */
  async annotate(
    node: KubeNode,
    patch: { readonly annotations: Readonly<Record<string, string | null>>; readonly isGuarded?: true },
    options: { signal: AbortSignal },
  ): Promise<KubeNode | undefined> {
    const { annotations, isGuarded } = patch;
    const { name, resourceVersion } = node.metadata;
    const all = Object.entries({ ...node.metadata.annotations, ...annotations });
    // The watch may show it before the answer does.
    this.#node = {
      ...node,
      metadata: {
        ...node.metadata,
        annotations: Object.fromEntries(all.filter(([, value]) => value !== null)),
      },
    };
    const path = `/api/v1/nodes/${encodeURIComponent(name)}/status`;
    const answer = await this.#client.request(path, keptOfNode(this.#options.keys), {
      method: "PATCH",
      contentType: STRATEGIC_MERGE_PATCH,
      body: { metadata: { ...isGuarded && { resourceVersion }, annotations } },
      ...options,
    });
    const { data } = nodeSchema.safeParse(answer);
    if (data !== undefined) this.#node = data;
    return data;
  }

  async #nameByPod(options: { signal: AbortSignal }): Promise<string> {
    const { identity } = this.#options;
    if ("nodeName" in identity) return identity.nodeName;
    const [namespace, pod] = [identity.podNamespace, identity.podName].map(encodeURIComponent);
    const action = `read pod ${identity.podName} in namespace ${identity.podNamespace}`;
    const path = `/api/v1/namespaces/${namespace}/pods/${pod}`;
    const answer = await explained(
      action,
      () => this.#client.request(path, { spec: { nodeName: true } }, options),
    );
    const name = (answer as { spec?: { nodeName?: unknown } } | undefined)?.spec?.nodeName;
    if (typeof name !== "string" || name === "") throw new RegistryError(action, "it has no node yet");
    return name;
  }
}
