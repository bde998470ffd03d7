import { errorText } from "../../log/error_text.ts";
import type { Event, NodeCondition } from "kubernetes-types/core/v1";
import { array, catch as fallback, object, optional, string } from "zod/mini";
import type { Log } from "../../log/log.ts";
import type { Condition } from "../../model/condition.ts";
import type { KubeRegistry } from "./kube.ts";
import { isKubeStatus, STRATEGIC_MERGE_PATCH } from "./kube_client.ts";
import { inTurns } from "../../loop/worker.ts";

/** How often it is looked whether there is something to say. */
const LOOK_MS = 1000;
/** What stands in the way is told once it has stood there for so long; most of it passes at start. */
const PATIENCE_MS = 10_000;
/** The condition is looked at this often once it is as it should be, in case it is set again. */
const RECHECK_MS = 300_000;
/** What could not be said is said again after this long, twice as long each time, a random half of it. */
const FIRST_RETRY_MS = 5000;
const LAST_RETRY_MS = 120_000;
/** The same event is repeated after this long at the soonest; without the permission it is tried as rarely. */
const REPEAT_MS = 600_000;
/** Between two events that say something different. */
const NEXT_EVENT_MS = 30_000;
/** Kubernetes takes no longer message of an event. */
const MAX_MESSAGE_LENGTH = 1024;

const CONDITION: NodeCondition = {
  type: "NetworkUnavailable",
  status: "False",
  reason: "FlannelIsUp",
  message: "Flannel is running on this node",
};

/** Whether pods can be started on this host, and what stands in the way. */
export interface Announced {
  readonly isReady: boolean;
  readonly reasons: readonly string[];
  /** What a person has to do though pods can be started; nothing if absent. */
  readonly alerts?: readonly string[];
}

/** What an Event is about, as its `reason`. */
type Subject = "PodNetworkNotReady" | "PodsMustBeRecreated";

/** What saying how this host is needs of the world. */
export interface AnnouncerDeps {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Milliseconds of a monotonic clock. */
  readonly elapsedMs: () => number;
  /** A number from 0 to less than 1. */
  readonly random?: () => number;
  readonly log: Log;
}

const conditionsSchema = object({
  status: optional(object({
    conditions: fallback(array(object({ type: string(), status: string(), reason: optional(string()) })), []),
  })),
});

/**
 * Says in the API server how this host is: clears the node's condition `NetworkUnavailable` when pods can be started,
 * as flannel does, and writes an Event that names what stands in the way.
 */
export class KubeAnnouncer {
  readonly #registry: Pick<KubeRegistry, "client" | "host">;
  readonly #deps: AnnouncerDeps;
  readonly #clearsCondition: boolean;
  #conditionDueMs = 0;
  #retryMs = FIRST_RETRY_MS;
  #conditions: readonly Condition[] = [];
  #unreadySinceMs: number | undefined;
  readonly #last = new Map<Subject, { readonly message: string; readonly ms: number }>();
  #isForbidden = false;

  constructor(
    registry: Pick<KubeRegistry, "client" | "host">,
    deps: AnnouncerDeps,
    options: { readonly clearsCondition: boolean },
  ) {
    this.#registry = registry;
    this.#deps = deps;
    this.#clearsCondition = options.clearsCondition;
  }

  /** That the node's condition can't be cleared, if so. */
  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  /** Looks every second at `health` until `signal` aborts, and says what is new. */
  async run(health: () => Announced, options: { signal: AbortSignal }): Promise<void> {
    await inTurns(() => this.look(health(), options), { periodMs: LOOK_MS })(options);
  }

  /** Says what is new. A failure is tried again later, and ends nothing. */
  async look(
    { isReady, reasons, alerts = [] }: Announced,
    options: { signal: AbortSignal },
  ): Promise<void> {
    const nowMs = this.#deps.elapsedMs();
    if (this.#registry.host === undefined) return;
    await this.#tell("PodsMustBeRecreated", alerts.join("; "), options);
    if (isReady) {
      this.#unreadySinceMs = undefined;
      if (this.#clearsCondition && nowMs >= this.#conditionDueMs) await this.#clearCondition(options);
      return;
    }
    this.#unreadySinceMs ??= nowMs;
    if (nowMs - this.#unreadySinceMs < PATIENCE_MS) return;
    await this.#tell("PodNetworkNotReady", reasons[0] ?? "", options);
  }

  /** Writes an event, unless there is nothing to say or it was said not long ago. */
  async #tell(subject: Subject, message: string, options: { signal: AbortSignal }): Promise<void> {
    if (message === "") return;
    const last = this.#last.get(subject);
    const pauseMs = message === last?.message || this.#isForbidden ? REPEAT_MS : NEXT_EVENT_MS;
    if (last !== undefined && this.#deps.elapsedMs() - last.ms < pauseMs) return;
    await this.#writeEvent(subject, message, options);
  }

  async #clearCondition(options: { signal: AbortSignal }): Promise<void> {
    const path = `/api/v1/nodes/${encodeURIComponent(this.#registry.host!)}`;
    try {
      const found = await this.#registry.client.request(path, { status: { conditions: true } }, options);
      const conditions = conditionsSchema.safeParse(found).data?.status?.conditions ?? [];
      const there = conditions.find(({ type }) => type === CONDITION.type);
      if (there?.status !== "False") {
        const time = new Date(this.#deps.now()).toISOString().replace(/\.\d+Z$/, "Z");
        const condition: NodeCondition = { ...CONDITION, lastHeartbeatTime: time, lastTransitionTime: time };
        await this.#registry.client.request(`${path}/status`, {}, {
          method: "PATCH",
          contentType: STRATEGIC_MERGE_PATCH,
          body: { status: { conditions: [condition] } },
          ...options,
        });
        this.#deps.log.write("info", "node condition cleared", { condition: CONDITION.type });
      }
      this.#conditionDueMs = this.#deps.elapsedMs() + RECHECK_MS;
      this.#retryMs = FIRST_RETRY_MS;
      this.#conditions = [];
    } catch (error) {
      if (options.signal.aborted) return;
      const share = (1 + (this.#deps.random ?? Math.random)()) / 2;
      this.#conditionDueMs = this.#deps.elapsedMs() + this.#retryMs * share;
      this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
      const sentence = `the condition ${CONDITION.type} of node ${this.#registry.host} can't be cleared: ${
        errorText(error)
      }`;
      this.#conditions = [{ code: "node-condition-not-cleared", sentence }];
    }
  }

  async #writeEvent(subject: Subject, message: string, options: { signal: AbortSignal }): Promise<void> {
    const { host, client } = this.#registry;
    const time = new Date(this.#deps.now()).toISOString().replace(/\.\d+Z$/, "Z");
    this.#last.set(subject, { message, ms: this.#deps.elapsedMs() });
    const event: Event = {
      apiVersion: "v1",
      kind: "Event",
      metadata: { generateName: "loden-", namespace: "default" },
      // The name as UID, as kubelet does: kubectl describe node looks for that.
      involvedObject: { apiVersion: "v1", kind: "Node", name: host!, uid: host! },
      type: "Warning",
      reason: subject,
      message: message.slice(0, MAX_MESSAGE_LENGTH),
      source: { component: "loden", host: host! },
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    };
    try {
      await client.request("/api/v1/namespaces/default/events", {}, {
        method: "POST",
        body: event,
        ...options,
      });
      this.#isForbidden = false;
    } catch (error) {
      if (options.signal.aborted) return;
      // Not every cluster lets us; the log and /readyz have said it already.
      this.#isForbidden = isKubeStatus(error, 403);
      const why = errorText(error);
      this.#deps.log.write("debug", "event not written", { reason: why });
    }
  }
}
