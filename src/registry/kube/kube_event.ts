import { catch as fallback, int, nullish, object, string, unknown } from "zod/mini";
import { KubeError } from "./kube_client.ts";
import { type KubeNode, nodeSchema } from "./kube_node.ts";

/** What a watch says at once. */
export interface NodeEvent {
  readonly type: string;
  /** How far the watch has come with it. */
  readonly version: string | undefined;
  /** Whom it is about; nobody if it says only that. */
  readonly node: KubeNode | undefined;
}

const eventSchema = object({ type: string(), object: unknown() });
const markSchema = object({ metadata: object({ resourceVersion: string() }) });
const errorSchema = object({
  code: fallback(int(), 500),
  message: fallback(nullish(string()), undefined),
});

/**
 * Reads one event as the sieve leaves it.
 *
 * @throws {KubeError} If it says that the watch is over, with the status that it tells; or is none.
 */
export function readEvent(value: unknown): NodeEvent {
  const event = eventSchema.safeParse(value).data;
  if (event === undefined) throw new KubeError(500, "the watch has an event of unknown form");
  const { type, object } = event;
  if (type === "ERROR") {
    const { data } = errorSchema.safeParse(object);
    throw new KubeError(data?.code ?? 500, data?.message ?? "the watch ended with an error");
  }
  const version = markSchema.safeParse(object).data?.metadata.resourceVersion;
  return { type, version, node: type === "BOOKMARK" ? undefined : nodeSchema.safeParse(object).data };
}
