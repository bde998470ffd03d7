import { array, catch as fallback, object, optional, string } from "zod/mini";
import { pause } from "../../loop/pause.ts";
import { Trigger } from "../../loop/trigger.ts";
import type { Kept } from "../http/json_sieve.ts";
import { ConnectionError } from "../http/connection_error.ts";
import { type KubeClient, KubeError } from "./kube_client.ts";
import type { Witness } from "./kube_known.ts";
import { isOlder, versionNumber } from "./kube_version.ts";

/** A watch that tells nothing for so long is looked after, and left if the server does not answer then. */
const QUIET_MS = 25_000;
/** Between two doubts that are looked into. */
const DOUBT_MS = 5000;
/** What the server says of a node, a watch must have told after so long, also that of a server with too much to do. */
const TESTIMONY_MS = 30_000;
const TESTIMONY_STEP_MS = 1000;
const HEAD_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/** The server is at an earlier version than it has told already: its etcd was restored from a backup. */
export class WentBackError extends Error {
  override readonly name = "WentBackError";
}

/** A watch was kept open and told nothing, not even how far it has come. */
export class SilentWatchError extends ConnectionError {
  constructor(silenceMs: number) {
    super(
      `the watch has told nothing for ${
        silenceMs / 1000
      } s: perhaps a proxy holds it back; all nodes are read anew`,
    );
  }
}

/** What is looked after. */
export interface Watched {
  /** How far the watch has come. */
  readonly position: () => string;
  /** The newest node, if its version can be compared; and what is known of a node by then. */
  readonly witness: () => Witness | undefined;
  readonly versionOf: (name: string) => number | undefined;
  /** Whether the server is known to be no older than that. */
  readonly isProved: () => boolean;
  /** Called when the server has answered that it is not behind the position. */
  readonly proved: () => void;
  /** Called when the server refuses to answer. */
  readonly refused: (error: KubeError) => void;
}

const headSchema = object({
  metadata: object({ resourceVersion: string() }),
  items: fallback(optional(array(object({ metadata: object({ resourceVersion: string() }) }))), undefined),
});
const HEAD: Kept = { metadata: { resourceVersion: true }, items: true };

/**
 * Looks whether a watch that tells nothing is a quiet one: a dead connection is silent too, and so is a server that has
 * lost the version from which it was to go on. Asks for the newest
 * node that is known, out of etcd, which tells where that stands, too.
 *
 * A cluster of many hosts is never quiet, so few of many agents ask.
 */
export class Pulse {
  readonly #client: Pick<KubeClient, "request">;
  readonly #elapsedMs: () => number;
  #heardMs = 0;
  #isInDoubt = false;
  readonly #wake = new Trigger();

  /** @param elapsedMs A clock that nobody sets. */
  constructor(client: Pick<KubeClient, "request">, elapsedMs: () => number) {
    this.#client = client;
    this.#elapsedMs = elapsedMs;
  }

  /** The watch has told something whole. */
  heard(): void {
    this.#heardMs = this.#elapsedMs();
  }

  /** What was told can't be, unless the server has gone back. */
  doubt(): void {
    this.#isInDoubt = true;
    this.#wake.nudge();
  }

  /**
   * Looks after a watch until `signal` aborts.
   *
   * @throws {WentBackError} If the server has gone back.
   * @throws {ConnectionError} If it does not answer.
   */
  async run(watched: Watched, options: { readonly signal: AbortSignal }): Promise<void> {
    const { signal } = options;
    this.heard();
    this.#isInDoubt = false;
    if (!watched.isProved()) await this.#look(watched, options);
    let lookedMs = this.#elapsedMs();
    while (!signal.aborted) {
      const leftMs = Math.max(this.#heardMs, lookedMs) + QUIET_MS - this.#elapsedMs();
      if (leftMs > 0 && !this.#isInDoubt) {
        await this.#wake.next(leftMs, options).catch(() => {});
        continue;
      }
      if (this.#isInDoubt) await pause(lookedMs + DOUBT_MS - this.#elapsedMs(), options);
      this.#isInDoubt = false;
      if (signal.aborted) return;
      await this.#look(watched, options);
      lookedMs = this.#elapsedMs();
    }
  }

  async #look(
    { position, witness, versionOf, isProved, proved, refused }: Watched,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    const known = position();
    const node = witness();
    const query = node === undefined
      ? "limit=1"
      : `fieldSelector=metadata.name%3D${encodeURIComponent(node.name)}`;
    let head: unknown;
    try {
      head = await this.#client.request(`/api/v1/nodes?${query}`, HEAD, {
        ...options,
        accept: HEAD_ONLY,
      });
    } catch (error) {
      if (options.signal.aborted) return;
      if (!(error instanceof KubeError)) throw error;
      // A refusal is an answer: the watch ends by itself if it is not wanted. What is in doubt stays so.
      if (!isProved()) this.doubt();
      return refused(error);
    }
    const { data } = headSchema.safeParse(head);
    if (data === undefined) return;
    const { resourceVersion } = data.metadata;
    if (isOlder(resourceVersion, known)) throw wentBack(resourceVersion, known);
    const now = data.items?.[0]?.metadata.resourceVersion;
    // One that is too long to be kept says nothing.
    if (node !== undefined && data.items !== undefined && now !== node.version) {
      if (now !== undefined && isOlder(now, node.version)) throw wentBack(now, node.version);
      // It has changed since: a watch that is of one mind with the server tells of that sooner or later.
      const isBehind = () => (versionOf(node.name) ?? Infinity) < (versionNumber(now) ?? Infinity);
      for (let waitedMs = 0; isBehind() && waitedMs < TESTIMONY_MS; waitedMs += TESTIMONY_STEP_MS) {
        await pause(TESTIMONY_STEP_MS, options);
        if (options.signal.aborted) return;
      }
      if (isBehind()) {
        throw new WentBackError(
          `the watch has not told what has become of node ${node.name}: perhaps the API server's etcd was restored from a backup`,
        );
      }
    }
    proved();
  }
}

function wentBack(now: string, before: string): WentBackError {
  return new WentBackError(
    `the API server is at version ${now}, and was at ${before}: its etcd was restored from a backup`,
  );
}
