import { catch as fallback, object, optional, record, string, unknown } from "zod/mini";
import type { Patience } from "../http/pace.ts";
import { type KubeClient, KubeError } from "./kube_client.ts";
import { type AnnotationKeys, keptOfNode, type KubeNode, MAX_VALUE_BYTES, nodeSchema } from "./kube_node.ts";
import { isOlder } from "./kube_version.ts";

/** Of a whole list, a server that has much to do may take its time to begin; 16 kbit/s are too little for any cluster. */
const LIST_PATIENCE: Patience = {
  beginMs: 30_000,
  idleMs: 30_000,
  graceMs: 30_000,
  bytesPerSecond: 2048,
  maxBytes: 4 * 1024 ** 3,
};
/** The list is read in pages, and a page is read again from the start when the server has forgotten the first. */
const PAGE_ATTEMPTS = 3;
/** What a bookmark says that ends the list of a server that streams it. */
const LIST_END = "k8s.io/initial-events-end";

/** What a server refuses, however it is asked. Who may not watch may list. */
const MEANT_FOR_ALL: ReadonlySet<number> = new Set([401, 429]);
/** A server that could not stream so often is not asked to any more. */
const MAX_STREAM_FAILURES = 3;

/** Where what is listed goes: one for each attempt. */
export type NodeSink = (node: KubeNode) => void;

/** What is to be listed. */
export interface ListRequest {
  /** The list must be no older than this; absent where nothing is known. */
  readonly floor?: string | undefined;
  /** Whether what the server keeps in its memory is not to be believed. */
  readonly isConsistent: boolean;
  /** Whether the metadata is enough: a server has a third, and less, of the work with that. */
  readonly isMetadataOnly: boolean;
  readonly signal: AbortSignal;
}

/** How a list is read. */
type Reading = Pick<ListRequest, "isMetadataOnly" | "signal">;

const listSchema = object({
  metadata: object({ resourceVersion: string(), continue: optional(string()) }),
});
const eventSchema = object({
  type: string(),
  object: object({
    code: fallback(optional(unknown()), undefined),
    message: fallback(optional(string()), undefined),
    metadata: object({
      resourceVersion: fallback(string(), ""),
      annotations: fallback(optional(record(string(), unknown())), undefined),
    }),
  }),
});

/**
 * Reads all nodes. A server that can streams them one by one; others send one list. Both take them from their memory, as
 * far as it is no older than what is known; only where that can't be had, pages are read out of etcd, each node by all
 * members of it.
 */
export class NodeList {
  readonly #client: KubeClient;
  readonly #keys: AnnotationKeys;
  readonly #pageSize: number;
  /** Servers before 1.34 do not. */
  #mayStream = true;
  #streamFailures = 0;

  constructor(client: KubeClient, options: { readonly keys: AnnotationKeys; readonly pageSize: number }) {
    this.#client = client;
    this.#keys = options.keys;
    this.#pageSize = options.pageSize;
  }

  /**
   * @param begin Called at the begin of each attempt, for where its nodes go.
   * @returns What version the list is of.
   */
  async read(begin: () => NodeSink, request: ListRequest): Promise<string> {
    const { floor, isConsistent } = request;
    if (!isConsistent) {
      const version = await this.#fromMemory(begin, floor, request);
      if (version !== undefined && !isOlder(version, floor)) return version;
    }
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#inPages(begin(), request);
      } catch (error) {
        const isExpired = error instanceof KubeError && error.status === 410;
        if (!isExpired || attempt === PAGE_ATTEMPTS) throw error;
      }
    }
  }

  /** What the server has in its memory; `undefined` where that can't be had. */
  async #fromMemory(
    begin: () => NodeSink,
    floor: string | undefined,
    options: Reading,
  ): Promise<string | undefined> {
    try {
      const streamed = this.#mayStream ? await this.#streamed(begin(), floor, options) : undefined;
      if (streamed !== undefined) return streamed;
      const query = new URLSearchParams({
        resourceVersion: floor ?? "0",
        ...floor !== undefined && { resourceVersionMatch: "NotOlderThan" },
      });
      return (await this.#page(query, begin(), options)).metadata.resourceVersion;
    } catch (error) {
      // Its memory is behind, or it does not know the question.
      if (error instanceof KubeError && [400, 410, 422, 504].includes(error.status)) return undefined;
      throw error;
    }
  }

  /** `undefined` if the server does not stream lists. */
  async #streamed(
    sink: NodeSink,
    floor: string | undefined,
    options: Reading,
  ): Promise<string | undefined> {
    const query = new URLSearchParams({
      watch: "true",
      sendInitialEvents: "true",
      resourceVersionMatch: "NotOlderThan",
      resourceVersion: floor ?? "0",
      allowWatchBookmarks: "true",
    });
    const kept = keptOfNode(this.#keys);
    const { metadata } = kept;
    const annotations = { ...(metadata as { annotations: object }).annotations, [LIST_END]: true as const };
    const keptOfEvent = {
      type: true,
      object: { ...kept, metadata: { ...metadata as object, annotations }, code: true, message: true },
    } as const;
    let version: string | undefined;
    const document = (value: unknown) => {
      const { data } = eventSchema.safeParse(value);
      if (data?.type === "ERROR") {
        const { code, message = "the list ended with an error" } = data.object;
        throw new KubeError(typeof code === "number" ? code : 500, message);
      }
      if (data?.type === "BOOKMARK" && data.object.metadata.annotations?.[LIST_END] === "true") {
        version = data.object.metadata.resourceVersion;
      } else if (data?.type === "ADDED" && version === undefined) {
        const node = nodeSchema.safeParse((value as { object: unknown }).object).data;
        if (node !== undefined) sink(node);
      }
    };
    try {
      const pieces = this.#client.stream(`/api/v1/nodes?${query}`, keptOfEvent, { document }, {
        signal: options.signal,
        accept: acceptOf("PartialObjectMetadata", options),
        patience: LIST_PATIENCE,
        maxKeptBytes: MAX_VALUE_BYTES,
      });
      for await (const _ of pieces) {
        if (version !== undefined) return version;
      }
      // Ended without its end mark: it was taken for another question.
    } catch (error) {
      if (!(error instanceof KubeError) || MEANT_FOR_ALL.has(error.status)) throw error;
      // An etcd of before 3.4.31 makes the server say so only when it has begun, with 500.
      if (error.status >= 500 && ++this.#streamFailures < MAX_STREAM_FAILURES) return undefined;
    }
    this.#mayStream = false;
    return undefined;
  }

  /** As of one moment, out of etcd. */
  async #inPages(sink: NodeSink, options: Reading): Promise<string> {
    let version: string | undefined;
    let next: string | undefined;
    do {
      const query = new URLSearchParams({
        limit: String(this.#pageSize),
        ...next !== undefined && { continue: next },
      });
      const { metadata } = await this.#page(query, sink, options);
      version ??= metadata.resourceVersion;
      next = metadata.continue || undefined;
    } while (next !== undefined);
    return version;
  }

  async #page(query: URLSearchParams, sink: NodeSink, options: Reading) {
    let page: unknown;
    const kept = {
      metadata: { resourceVersion: true, continue: true },
      items: [keptOfNode(this.#keys)],
    } as const;
    const element = (value: unknown) => {
      const node = nodeSchema.safeParse(value).data;
      if (node !== undefined) sink(node);
    };
    const pieces = this.#client.stream(
      `/api/v1/nodes?${query}`,
      kept,
      { element, document: (value: unknown) => page = value },
      {
        signal: options.signal,
        accept: acceptOf("PartialObjectMetadataList", options),
        patience: LIST_PATIENCE,
        maxKeptBytes: MAX_VALUE_BYTES,
      },
    );
    for await (const _ of pieces);
    const { data } = listSchema.safeParse(page);
    if (data === undefined) throw new KubeError(500, "the list of nodes has no resourceVersion");
    return data;
  }
}

/** The media types of a list; a server that has no metadata by itself sends all. */
function acceptOf(kind: string, { isMetadataOnly }: Reading): string {
  const all = "application/json";
  return isMetadataOnly ? `${all};as=${kind};g=meta.k8s.io;v=v1,${all}` : all;
}
