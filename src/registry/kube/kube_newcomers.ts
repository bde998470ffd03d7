import { errorText } from "../../log/error_text.ts";
import { LONGEST_TIMER_MS, pause } from "../../loop/pause.ts";
import { Trigger } from "../../loop/trigger.ts";
import { type KubeClient, KubeError } from "./kube_client.ts";
import { type AnnotationKeys, keptOfNode, type KubeNode, nodeSchema } from "./kube_node.ts";

/** How many are read at a time. */
const AT_A_TIME = 4;
/** Where there are many hosts, each waits a random time before it reads a newcomer: so much for each node, at most. */
const SPREAD_MS_PER_NODE = 0.4;
const MOST_SPREAD_MS = 2000;
/** One that can't be read is asked for again after so long, and up to half as long again; twice as long each time. */
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 30_000;
/** One without a subnet, or not found, is read again after so long, twice as long each time, however often it says anything. */
const FIRST_MISS_MS = 1000;
const LAST_MISS_MS = 60_000;
/** What could not be read so often has its reason told. */
const PATIENT_ATTEMPTS = 3;

/** A look that led to nothing. */
interface Miss {
  readonly kind: "unread" | "denied" | "without subnet";
  /** How often that was so. */
  readonly times: number;
  /** Until when it is left alone. */
  readonly untilMs: number;
}

/** Who is told what about the newcomers. */
export interface NewcomersOptions {
  readonly keys: AnnotationKeys;
  readonly random: () => number;
  /** Milliseconds of a monotonic clock. */
  readonly elapsedMs: () => number;
  /** How many nodes there are. */
  readonly count: () => number;
  /** Whether it is this host's: it is read at once. */
  readonly isOwn: (name: string) => boolean;
  /** @returns Whether it has a subnet. */
  readonly read: (node: KubeNode) => boolean;
  /** It can't be read, for a while already. */
  readonly failed: (name: string, reason: string) => void;
  /** The server answers that it does not know what it has told. */
  readonly doubt: () => void;
}

/** Nodes whose subnets a watch has not told, as it tells metadata only. Each is read by itself, until it was read. */
export class Newcomers {
  readonly #client: Pick<KubeClient, "request">;
  readonly #options: NewcomersOptions;
  /** From what version on they are of interest. */
  readonly #waiting = new Map<string, string>();
  /** When those without a subnet were read, or were not found, and how long they are left alone. */
  readonly #misses = new Map<string, Miss>();
  readonly #trigger = new Trigger();

  constructor(client: Pick<KubeClient, "request">, options: NewcomersOptions) {
    this.#client = client;
    this.#options = options;
  }

  add(name: string, version: string): void {
    this.#waiting.set(name, version);
    this.#trigger.nudge();
  }

  /** It is known, or no more of interest. */
  forget(name: string): void {
    this.#waiting.delete(name);
    this.#misses.delete(name);
  }

  clear(): void {
    this.#waiting.clear();
    this.#misses.clear();
  }

  /** Reads them as they come, a few at a time, until `signal` aborts. */
  async run(options: { readonly signal: AbortSignal }): Promise<void> {
    const { signal } = options;
    const underWay = new Map<string, Promise<void>>();
    // Some wait from an earlier watch.
    this.#trigger.nudge();
    while (!signal.aborted) {
      let dueMs = Infinity;
      for (const name of this.#waiting.keys()) {
        if (underWay.size >= AT_A_TIME) break;
        if (underWay.has(name)) continue;
        const restMs = this.#restMs(name);
        dueMs = Math.min(dueMs, restMs);
        if (restMs > 0) continue;
        const look = this.#look(name, options).finally(() => {
          underWay.delete(name);
          this.#trigger.nudge();
        });
        underWay.set(name, look);
      }
      await this.#trigger.next(Math.min(dueMs, LONGEST_TIMER_MS), options).catch(() => {});
    }
    await Promise.all(underWay.values());
  }

  /** How long one is still left alone. */
  #restMs(name: string): number {
    const miss = this.#misses.get(name);
    if (miss === undefined || this.#options.isOwn(name) && miss.kind === "without subnet") return 0;
    return Math.max(miss.untilMs - this.#options.elapsedMs(), 0);
  }

  /** Leaves one alone for a while, longer each time; answers how often that was so. Others are read meanwhile. */
  #leaveAlone(name: string, kind: Miss["kind"]): number {
    const { elapsedMs, random } = this.#options;
    const before = this.#misses.get(name);
    const times = before?.kind === kind ? before.times + 1 : 1;
    const isUnread = kind === "unread";
    const [firstMs, lastMs] = isUnread ? [FIRST_RETRY_MS, LAST_RETRY_MS] : [FIRST_MISS_MS, LAST_MISS_MS];
    const restMs = Math.min(firstMs * 2 ** (times - 1), lastMs);
    this.#misses.set(name, {
      kind,
      times,
      untilMs: elapsedMs() + restMs * (isUnread ? 1 + random() / 2 : 1),
    });
    return times;
  }

  async #look(name: string, options: { readonly signal: AbortSignal }): Promise<void> {
    const { keys, random, count, isOwn, read, failed, doubt } = this.#options;
    const { signal } = options;
    const spreadMs = Math.min(count() * SPREAD_MS_PER_NODE, MOST_SPREAD_MS);
    if (!isOwn(name)) await pause(random() * spreadMs, { signal });
    const version = this.#waiting.get(name);
    if (signal.aborted || version === undefined) return;
    try {
      // From the server's memory, but no older than what the watch has told.
      const query = new URLSearchParams({ resourceVersion: version });
      const path = `/api/v1/nodes/${encodeURIComponent(name)}?${query}`;
      const node = nodeSchema.safeParse(await this.#client.request(path, keptOfNode(keys), options)).data;
      if (node?.metadata.name !== name) throw new KubeError(500, "what it says is no node, or another one");
      if (this.#waiting.get(name) === version) this.#waiting.delete(name);
      if (read(node)) this.#misses.delete(name);
      else this.#leaveAlone(name, "without subnet");
    } catch (error) {
      if (signal.aborted) return;
      const status = error instanceof KubeError ? error.status : undefined;
      // That it is gone the watch will say; a proxy says so of what is there.
      if (status === 404) return void this.#leaveAlone(name, "denied");
      if (status === 504) doubt();
      const times = this.#leaveAlone(name, "unread");
      if (times >= PATIENT_ATTEMPTS) failed(name, `its node can't be read: ${errorText(error)}`);
    }
  }
}
