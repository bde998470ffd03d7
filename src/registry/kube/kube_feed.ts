import { catch as fallback, int, nullish, object, optional, string, unknown } from "zod/mini";
import type { Lease, LeaseUpdate } from "../../model/lease.ts";
import { type KubeClient, KubeError } from "./kube_client.ts";
import {
  type AnnotationKeys,
  contentOf,
  isManaged,
  keptOfNode,
  type KubeNode,
  nodeSchema,
  readNode,
} from "./kube_node.ts";
import type { LeaseFault } from "../remote_leases.ts";
import { pause } from "../../loop/pause.ts";
import { Revisions } from "../revisions.ts";

/** The server is asked to end a watch after this long, and up to half as long again, so that not all end at once. */
const WATCH_SECONDS = 300;
/** Bookmarks come every minute or so: a connection that is silent for longer is dead. */
const SILENCE_MS = 150_000;
/**
 * Of what a watch tells, the metadata is enough: a tenth of a node. Only what subnet it has is not in there, which never
 * changes once it is given. A server that can't do that sends whole nodes.
 */
const METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
/** After something of no interest, the watch is read again after this long. */
const BATCH_MS = 30;
/** The list is read in pages, and a page is read again from the start when the server has forgotten the first. */
const PAGE_ATTEMPTS = 3;

/** What the feed is told, and whom it tells. */
export interface NodeFeedOptions {
  readonly keys: AnnotationKeys;
  readonly pageSize: number;
  /** A number from 0 to less than 1. */
  readonly random: () => number;
  /** Called for each node as it passes by, unless it is old news. */
  readonly seen: (node: KubeNode) => void;
  /** Whether the node is this host's: it is of interest also while it is no member. */
  readonly isOwn: (name: string) => boolean;
}

/** All leases at one moment, and where to go on from. */
export interface NodeSnapshot {
  readonly leases: readonly Lease[];
  readonly position: string;
}

/** What has changed, and where to go on from. */
export interface NodePiece {
  readonly updates: readonly LeaseUpdate[];
  readonly position: string;
}

const listSchema = object({
  metadata: object({ resourceVersion: string(), continue: optional(string()) }),
});
const eventSchema = object({ type: string(), object: unknown() });
const bookmarkSchema = object({ metadata: object({ resourceVersion: string() }) });
const errorSchema = object({
  code: fallback(int(), 500),
  message: fallback(nullish(string()), undefined),
});

/** Nodes as the API server lists and streams them, reduced to leases as they pass by. */
export class NodeFeed {
  readonly #client: KubeClient;
  readonly #options: NodeFeedOptions;
  readonly #revisions = new Revisions();
  #faultOf = new Map<string, string>();
  #faults: readonly LeaseFault[] = [];
  /** What subnets nodes were given, by name: of the node that has this UID. */
  readonly #specs = new Map<string, { readonly uid: string; readonly spec: KubeNode["spec"] }>();
  /** What nodes said last, by name: most of what a watch tells is of no interest, and ends here. */
  readonly #contents = new Map<string, string>();
  /** Counts up where the server's versions are no numbers. */
  #arrivals = 0;

  constructor(client: KubeClient, options: NodeFeedOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** Nodes that claim to be members and can't be read, and why; the same array while nothing changes. */
  get faults(): readonly LeaseFault[] {
    return this.#faults;
  }

  /** Makes earlier states of the node old news, as after a write of one's own. */
  ignoreBefore({ metadata: { name, resourceVersion } }: KubeNode): void {
    this.#revisions.ignoreBefore(name, this.#revisionOf(resourceVersion));
  }

  /** Reads all nodes, page by page. */
  async list(options: { signal: AbortSignal }): Promise<NodeSnapshot> {
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#list(options);
      } catch (error) {
        const isExpired = error instanceof KubeError && error.status === 410;
        if (!isExpired || attempt === PAGE_ATTEMPTS) throw error;
      }
    }
  }

  /**
   * Yields what changes after `position`, until the server ends the watch. The first piece comes as soon as the
   * server has agreed.
   *
   * @throws {KubeError} With status 410 if the server no longer knows `position`.
   */
  async *follow(
    position: string,
    options: { signal: AbortSignal },
  ): AsyncGenerator<NodePiece, void, undefined> {
    const seconds = Math.round(WATCH_SECONDS * (1 + this.#options.random() / 2));
    const query = new URLSearchParams({
      watch: "true",
      resourceVersion: position,
      allowWatchBookmarks: "true",
      timeoutSeconds: String(seconds),
    });
    let reached = position;
    let updates: LeaseUpdate[] = [];
    const unread = new Set<string>();
    const sink = {
      document: (value: unknown) => {
        const update = this.#read(value, (revision) => reached = revision, (name) => unread.add(name));
        if (update !== undefined) updates.push(update);
      },
    };
    const kept = {
      type: true,
      object: { ...keptOfNode(this.#options.keys), code: true, message: true },
    } as const;
    const pieces = this.#client.stream(`/api/v1/nodes?${query}`, kept, sink, {
      ...options,
      accept: METADATA_ONLY,
      idleMs: SILENCE_MS,
    });
    for await (const _ of pieces) {
      const looks = await Promise.all([...unread].map((name) => this.#look(name, options)));
      updates.push(...looks.filter((update) => update !== undefined));
      unread.clear();
      const isOfNoInterest = updates.length === 0 && reached !== position;
      yield { updates, position: reached };
      updates = [];
      // What a busy cluster says about other things is read in batches.
      if (isOfNoInterest) await pause(BATCH_MS, options);
    }
  }

  async #list(options: { signal: AbortSignal }): Promise<NodeSnapshot> {
    this.#specs.clear();
    this.#contents.clear();
    const leases: Lease[] = [];
    const revisions: [name: string, revision: number][] = [];
    const faultOf = new Map<string, string>();

    const element = (value: unknown) => {
      const node = nodeSchema.safeParse(value).data;
      if (node === undefined) return;
      revisions.push([node.metadata.name, this.#revisionOf(node.metadata.resourceVersion)]);
      this.#contents.set(node.metadata.name, contentOf(node));
      this.#keepSpec(node);
      const reading = readNode(node, this.#options.keys);
      if (reading.kind === "lease") leases.push(reading.lease);
      if (reading.kind === "fault") faultOf.set(node.metadata.name, reading.reason);
      this.#options.seen(node);
    };
    const kept = {
      metadata: { resourceVersion: true, continue: true },
      items: [keptOfNode(this.#options.keys)],
    } as const;
    let position: string | undefined;
    let next: string | undefined;
    do {
      const query = new URLSearchParams({
        limit: String(this.#options.pageSize),
        ...next !== undefined && { continue: next },
      });
      let page: unknown;
      const sink = { element, document: (value: unknown) => page = value };
      const pieces = this.#client.stream(`/api/v1/nodes?${query}`, kept, sink, {
        ...options,
        idleMs: SILENCE_MS,
      });
      for await (const _ of pieces);
      const { data } = listSchema.safeParse(page);
      if (data === undefined) throw new KubeError(500, "the list of nodes has no resourceVersion");
      position ??= data.metadata.resourceVersion;
      next = data.metadata.continue || undefined;
    } while (next !== undefined);
    this.#revisions.reset(revisions);
    this.#faultOf = faultOf;
    this.#tellFaults();
    return { leases, position };
  }

  /**
   * What one event of a watch says; nothing if it is old news, or says only how far the watch has come.
   *
   * @param lacks Called with the name of a node that has to be read by itself: the event does not have its subnets.
   */
  #read(
    value: unknown,
    reach: (position: string) => void,
    lacks: (name: string) => void,
  ): LeaseUpdate | undefined {
    const event = eventSchema.safeParse(value).data;
    if (event === undefined) throw new KubeError(500, "the watch has an event of unknown form");
    if (event.type === "ERROR") {
      const { code, message } = errorSchema.parse(event.object);
      throw new KubeError(code, message ?? "the watch ended with an error");
    }
    const mark = bookmarkSchema.safeParse(event.object).data;
    if (mark !== undefined) reach(mark.metadata.resourceVersion);
    if (event.type === "BOOKMARK") return undefined;
    const node = nodeSchema.safeParse(event.object).data;
    if (node === undefined) return undefined;
    const { name, uid, resourceVersion } = node.metadata;
    if (event.type === "DELETED") {
      if (!this.#revisions.isDeletion(name, this.#revisionOf(resourceVersion))) return undefined;
      return this.#gone(name);
    }
    const known = this.#specs.get(name);
    const spec = node.spec ?? (known?.uid === uid ? known.spec : undefined);
    if (spec !== undefined || !this.#isOfInterest(node)) return this.#tell({ ...node, spec });
    if (this.#revisions.isLater(name, this.#revisionOf(resourceVersion))) lacks(name);
    return undefined;
  }

  /** What a node says, looked at by itself. */
  async #look(name: string, options: { signal: AbortSignal }): Promise<LeaseUpdate | undefined> {
    try {
      const kept = keptOfNode(this.#options.keys);
      const node = nodeSchema.safeParse(
        await this.#client.request(`/api/v1/nodes/${encodeURIComponent(name)}`, kept, options),
      ).data;
      return node && this.#tell(node);
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return this.#gone(name);
      throw error;
    }
  }

  /** What a whole node says; nothing if it is old news. */
  #tell(node: KubeNode): LeaseUpdate | undefined {
    const { name, resourceVersion } = node.metadata;
    if (!this.#revisions.isNews(name, this.#revisionOf(resourceVersion))) return undefined;
    const content = contentOf(node);
    if (this.#contents.get(name) === content) return undefined;
    this.#contents.set(name, content);
    this.#keepSpec(node);
    const reading = readNode(node, this.#options.keys);
    this.#setFault(name, reading.kind === "fault" ? reading.reason : undefined);
    this.#options.seen(node);
    if (reading.kind === "lease") return { kind: "held", lease: reading.lease };
    return { kind: "released", host: name };
  }

  #gone(name: string): LeaseUpdate {
    this.#specs.delete(name);
    this.#contents.delete(name);
    this.#setFault(name, undefined);
    return { kind: "released", host: name };
  }

  #isOfInterest(node: KubeNode): boolean {
    return isManaged(node, this.#options.keys) || this.#options.isOwn(node.metadata.name);
  }

  /** What subnets a node has never changes once there are some. */
  #keepSpec({ metadata: { name, uid }, spec }: KubeNode): void {
    if (spec?.podCIDR || spec?.podCIDRs?.length) this.#specs.set(name, { uid, spec });
    else if (this.#specs.get(name)?.uid !== uid) this.#specs.delete(name);
  }

  #revisionOf(resourceVersion: string): number {
    return /^\d{1,15}$/.test(resourceVersion) ? Number(resourceVersion) : ++this.#arrivals;
  }

  #setFault(name: string, reason: string | undefined): void {
    if (this.#faultOf.get(name) === reason) return;
    if (reason === undefined) this.#faultOf.delete(name);
    else this.#faultOf.set(name, reason);
    this.#tellFaults();
  }

  #tellFaults(): void {
    this.#faults = [...this.#faultOf].map(([host, reason]) => ({ host, reason }));
  }
}
