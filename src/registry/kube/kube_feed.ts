import { LinkedAbort } from "../../loop/linked_abort.ts";
import { LONGEST_TIMER_MS, pause } from "../../loop/pause.ts";
import { Trigger } from "../../loop/trigger.ts";
import type { Lease, LeaseUpdate } from "../../model/lease.ts";
import type { Patience } from "../http/pace.ts";
import { ConnectionError } from "../http/connection_error.ts";
import type { LeaseFault } from "../remote_leases.ts";
import { type KubeClient, KubeError } from "./kube_client.ts";
import { readEvent } from "./kube_event.ts";
import { NodeList } from "./kube_list.ts";
import { Newcomers } from "./kube_newcomers.ts";
import { type AnnotationKeys, isManaged, keptOfNode, type KubeNode, MAX_VALUE_BYTES } from "./kube_node.ts";
import { KnownNodes, NodeListing, type NodeUpdate } from "./kube_known.ts";
import { Pulse, SilentWatchError, WentBackError } from "./kube_pulse.ts";
import { isOlder } from "./kube_version.ts";

/** The server is asked to end a watch after this long, and up to half as long again, so that not all end at once. */
const WATCH_SECONDS = 300;
/** Bookmarks come every minute: a watch that tells nothing whole for longer is left, whoever answers beside it. */
const SILENCE_MS = 100_000;
const WATCH_PATIENCE: Patience = { beginMs: 10_000, idleMs: SILENCE_MS };
/**
 * Of what a watch tells, the metadata is enough: a tenth of a node. Only what subnet it has is not in there, which never
 * changes once it is given. A server that can't do that sends whole nodes.
 */
const METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
/** After something of no interest, the watch is read again after this long. */
const BATCH_MS = 30;

/** Up to so many newcomers, or so large a share of all, are read by themselves after a list. */
const FEW_NEWCOMERS = 20;
const FEW_SHARE = 1 / 20;

/** What the feed is told, and whom it tells. */
export interface NodeFeedOptions {
  readonly keys: AnnotationKeys;
  readonly pageSize: number;
  /** A number from 0 to less than 1. */
  readonly random: () => number;
  /** Milliseconds of a monotonic clock. */
  readonly elapsedMs: () => number;
  /** Called for each node as it passes by, unless it is old news. */
  readonly seen: (node: KubeNode) => void;
  /** Whether the node is this host's: it is of interest also while it is no member. */
  readonly isOwn: (name: string) => boolean;
  /** Whether the server has the own node: a list without it is none then. */
  readonly isOwnThere: (options: { signal: AbortSignal }) => Promise<boolean>;
  /** The version of the own node as it was read last, out of etcd; `undefined` before. */
  readonly ownVersion: () => string | undefined;
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
  /** Whether the server is known to be no older than that: else it may be deaf. */
  readonly isProved: boolean;
  /** Why that is not known, where it was asked for. */
  readonly refusal?: KubeError;
}

/** How a watch stands. */
interface Progress {
  position: string;
  isProved: boolean;
  refusal?: KubeError;
}

/** Nodes as the API server lists and streams them, reduced to leases as they pass by. */
export class NodeFeed {
  readonly #client: KubeClient;
  readonly #options: NodeFeedOptions;
  readonly #list: NodeList;
  readonly #newcomers: Newcomers;
  readonly #pulse: Pulse;
  #known: KnownNodes;
  /**
   * What is known and was not told yet, the last of each host. It is told whatever fails meanwhile: what counts as known
   * is not told a second time.
   */
  #untold = new Map<string, NodeUpdate>();
  /** Nudged when there is something to tell. */
  readonly #trigger = new Trigger();
  /** Whether the server has gone back: only what etcd says itself is believed, until a watch was of one mind with it. */
  #hasGoneBack = false;

  constructor(client: KubeClient, options: NodeFeedOptions) {
    const { keys, random, isOwn } = options;
    this.#client = client;
    this.#options = options;
    this.#known = new KnownNodes(keys);
    this.#list = new NodeList(client, options);
    this.#pulse = new Pulse(client, options.elapsedMs);
    this.#newcomers = new Newcomers(client, {
      keys,
      random,
      elapsedMs: options.elapsedMs,
      isOwn,
      count: () => this.#known.count,
      read: (node) => {
        this.#tell(node);
        return this.#known.specOf(node.metadata.name, node.metadata.uid) !== undefined;
      },
      failed: (name, reason) => this.#known.setFault(name, reason),
      doubt: () => this.#pulse.doubt(),
    });
  }

  /** Nodes that claim to be members and can't be read, and why; the same array while nothing changes. */
  get faults(): readonly LeaseFault[] {
    return this.#known.faults;
  }

  /** How many nodes are known. */
  get count(): number {
    return this.#known.count;
  }

  /** Makes earlier states of the node old news, as after a write of one's own. */
  ignoreBefore(node: KubeNode): void {
    this.#known.ignoreBefore(node);
  }

  /**
   * Reads all nodes. What was known before is so until they are all there. Of nodes that are known the metadata is
   * enough; newcomers are told when they have been read by themselves, unless they are many.
   */
  async list(options: { signal: AbortSignal }): Promise<NodeSnapshot> {
    const { ownVersion, seen } = this.#options;
    const request = {
      ...options,
      floor: this.#known.floor ?? ownVersion(),
      isConsistent: this.#hasGoneBack,
      isMetadataOnly: this.#known.count > 0,
    };
    let listing = new NodeListing(this.#known, this.#options);
    const begin = () => {
      const begun = listing = new NodeListing(this.#known, this.#options);
      return (node: KubeNode) => begun.add(node);
    };
    let position = await this.#list.read(begin, request);
    if (listing.newcomers.size > Math.max(FEW_NEWCOMERS, this.#known.count * FEW_SHARE)) {
      position = await this.#list.read(begin, { ...request, isMetadataOnly: false });
    }
    if (listing.own === undefined && await this.#options.isOwnThere(options)) {
      throw new KubeError(
        500,
        "its list of nodes lacks this host's own, which it has: none of that list is believed",
      );
    }
    this.#known = listing.known;
    this.#untold.clear();
    this.#newcomers.clear();
    for (const [name, version] of listing.newcomers) this.#newcomers.add(name, version);
    if (listing.own !== undefined) seen(listing.own);
    return { leases: listing.leases, position };
  }

  /**
   * Yields what changes after `from`, until the server ends the watch. The first piece comes as soon as the
   * server has agreed.
   *
   * @param options.isFresh Whether the server has just told the position itself.
   * @throws {KubeError} With status 410 if the server no longer knows `from`.
   * @throws {WentBackError} If it is at an earlier one: the next list is read out of etcd.
   */
  async *follow(
    from: string,
    options: { readonly signal: AbortSignal; readonly isFresh: boolean },
  ): AsyncGenerator<NodePiece, void, undefined> {
    using abort = new LinkedAbort(options.signal);
    const { signal } = abort;
    const progress: Progress = { position: from, isProved: options.isFresh };
    const outcome: { over?: { readonly error?: unknown } } = {};
    const end = (error?: unknown) => {
      outcome.over ??= { error };
      this.#trigger.nudge();
    };
    const proved = () => {
      this.#proved(progress);
      this.#trigger.nudge();
    };
    const refused = (error: KubeError) => {
      progress.refusal = error;
      this.#trigger.nudge();
    };
    const position = () => progress.position;
    const watched = {
      position,
      witness: () => this.#known.witness,
      versionOf: (name: string) => this.#known.versionOf(name),
      isProved: () => progress.isProved,
      proved,
      refused,
    };
    const beside = [
      this.#read(progress, { signal }).then(() => end(), end),
      this.#pulse.run(watched, { signal }).catch((error) => {
        end(error);
        if (error instanceof WentBackError) this.#hasGoneBack = true;
        else this.#client.leaveConnections();
      }),
      this.#newcomers.run({ signal }),
    ];
    try {
      for (;;) {
        await this.#trigger.next(LONGEST_TIMER_MS, { signal });
        const { over } = outcome;
        const updates = [...this.#untold.values()];
        this.#untold.clear();
        yield { updates, ...progress };
        if (over?.error !== undefined) throw over.error;
        if (over !== undefined) return;
      }
    } finally {
      abort.abort();
      await Promise.all(beside);
    }
  }

  /** Reads a watch to its end. */
  async #read(progress: Progress, options: { readonly signal: AbortSignal }): Promise<void> {
    const seconds = Math.round(WATCH_SECONDS * (1 + this.#options.random() / 2));
    const query = new URLSearchParams({
      watch: "true",
      resourceVersion: progress.position,
      allowWatchBookmarks: "true",
      timeoutSeconds: String(seconds),
    });
    using abort = new LinkedAbort(options.signal);
    const silent = new SilentWatchError(SILENCE_MS);
    const { elapsedMs } = this.#options;
    let toldMs = elapsedMs();
    const document = (value: unknown) => {
      toldMs = elapsedMs();
      this.#event(value, progress);
      this.#pulse.heard();
      abort.limit(SILENCE_MS, silent);
    };
    const kept = {
      type: true,
      object: { ...keptOfNode(this.#options.keys), code: true, message: true },
    } as const;
    const pieces = this.#client.stream(`/api/v1/nodes?${query}`, kept, { document }, {
      signal: abort.signal,
      accept: METADATA_ONLY,
      patience: WATCH_PATIENCE,
      maxKeptBytes: MAX_VALUE_BYTES,
    });
    let { position } = progress;
    try {
      for await (const _ of pieces) {
        const isOfNoInterest = this.#untold.size === 0 && position !== progress.position;
        ({ position } = progress);
        this.#trigger.nudge();
        // What a busy cluster says about other things is read in batches.
        if (isOfNoInterest) await pause(BATCH_MS, options);
      }
    } catch (error) {
      options.signal.throwIfAborted();
      throw error instanceof ConnectionError && elapsedMs() - toldMs >= SILENCE_MS ? silent : error;
    }
  }

  /** What one event of a watch says. */
  #event(value: unknown, progress: Progress): void {
    const { type, version, node } = readEvent(value);
    // Told late, or of another past: a look tells which.
    if (version !== undefined && isOlder(version, progress.position)) this.#pulse.doubt();
    else if (version !== undefined) {
      this.#proved(progress);
      progress.position = version;
    }
    if (node === undefined) return;
    const { name, uid, resourceVersion } = node.metadata;
    if (type === "DELETED") {
      this.#newcomers.forget(name);
      return this.#push(this.#known.tellDeletion(node));
    }
    const spec = node.spec ?? this.#known.specOf(name, uid);
    if (spec !== undefined || !this.#isOfInterest(node)) {
      this.#newcomers.forget(name);
      this.#tell({ ...node, spec });
    } else if (this.#known.isLater(node)) this.#newcomers.add(name, resourceVersion);
  }

  #proved(progress: Progress): void {
    progress.isProved = true;
    this.#hasGoneBack = false;
  }

  /** A whole node. */
  #tell(node: KubeNode): void {
    const update = this.#known.tell(node);
    if (update === undefined) return;
    this.#push(update);
    this.#options.seen(node);
  }

  #push(update: NodeUpdate | undefined): void {
    if (update === undefined) return;
    this.#untold.set(update.kind === "held" ? update.lease.host : update.host, update);
    this.#trigger.nudge();
  }

  #isOfInterest(node: KubeNode): boolean {
    return isManaged(node, this.#options.keys) || this.#options.isOwn(node.metadata.name);
  }
}
