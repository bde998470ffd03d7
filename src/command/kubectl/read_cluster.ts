import type { Patience } from "../../registry/http/pace.ts";
import { isKubeStatus, type KubeClient } from "../../registry/kube/kube_client.ts";
import { annotationKeys } from "../../registry/kube/kube_node.ts";
import { errorText } from "../../log/error_text.ts";
import { LinkedAbort } from "../../loop/linked_abort.ts";
import { type StatusAnswer, statusSchema } from "../status/answer.ts";
import {
  type AgentPod,
  agentPodOf,
  type ClusterNode,
  clusterNodeOf,
  KEPT_OF_POD,
  keptOfClusterNode,
  pageSchema,
} from "./cluster.ts";

/** Objects of one page. */
const PAGE = 500;
/** Who waits at a terminal does not wait for longer. */
const LIST_PATIENCE: Patience = {
  beginMs: 10_000,
  idleMs: 10_000,
  graceMs: 20_000,
  bytesPerSecond: 4096,
  maxBytes: 1024 ** 3,
};
/** Of one member of an object so much is read. */
const MAX_KEPT_BYTES = 64 * 1024;
/** What an agent answers is read up to this length. */
const MAX_ANSWER_BYTES = 500 * 1024;
/** One agent is waited for this long. */
const AGENT_MS = 3000;
/** So many agents are asked at a time. */
const ASKED_AT_ONCE = 8;
const TOO_LATE = new DOMException("The agent has not answered in time", "TimeoutError");

/** What is looked for in a cluster. */
export interface ClusterQuery {
  /** How flannel's annotations begin. */
  readonly annotationPrefix: string;
  /** The labels of agents' pods. */
  readonly selector: string;
}

/** The nodes of a cluster and the pods of their agents. */
export interface Cluster {
  readonly nodes: readonly ClusterNode[];
  /** Why the pods are not known; `undefined` where they are. */
  readonly podFault: string | undefined;
}

/** What an agent has answered, or why it has not. */
export type AgentSaid =
  | { readonly at: Date; readonly status: StatusAnswer; readonly raw: unknown }
  | {
    readonly at: Date;
    readonly silence: string;
    /** Whether it was asked, so that its silence is a fault; else it can't be, and nothing is wrong with that. */
    readonly isFault: boolean;
  };

/**
 * Reads all nodes, and the pods of agents, page by page.
 *
 * @throws {KubeError} If the server refuses to tell of nodes.
 * @throws {ConnectionError} If it does not answer.
 */
export async function readCluster(
  client: KubeClient,
  { annotationPrefix, selector }: ClusterQuery,
  options: { readonly signal: AbortSignal },
): Promise<Cluster> {
  const nodes: Omit<ClusterNode, "pods">[] = [];
  const kept = keptOfClusterNode(annotationKeys(annotationPrefix));
  await list(client, "/api/v1/nodes", { kept, signal: options.signal }, (value) => {
    const node = clusterNodeOf(value, annotationPrefix);
    if (node !== undefined) nodes.push(node);
  });
  const pods = new Map<string, AgentPod[]>();
  let podFault: string | undefined;
  try {
    const query = { labelSelector: selector };
    await list(client, "/api/v1/pods", { kept: KEPT_OF_POD, query, signal: options.signal }, (value) => {
      const found = agentPodOf(value);
      if (found !== undefined) pods.set(found.node, [...pods.get(found.node) ?? [], found.pod]);
    });
  } catch (error) {
    options.signal.throwIfAborted();
    // Who may see nodes may not be allowed to see pods.
    if (!isKubeStatus(error, 403)) throw error;
    podFault = errorText(error);
  }
  return { nodes: nodes.map((node) => ({ ...node, pods: pods.get(node.name) ?? [] })), podFault };
}

/** Hands each item of a list to `each`, page by page. */
async function list(
  client: KubeClient,
  path: string,
  { kept, query = {}, signal }: {
    readonly kept: Parameters<KubeClient["request"]>[1];
    readonly query?: Readonly<Record<string, string>>;
    readonly signal: AbortSignal;
  },
  each: (value: unknown) => void,
): Promise<void> {
  for (let next = "";;) {
    const words = new URLSearchParams({
      limit: String(PAGE),
      ...query,
      ...next !== "" && { continue: next },
    });
    let page: unknown;
    const sink = { element: each, document: (value: unknown) => page = value };
    const pieces = client.stream(`${path}?${words}`, { metadata: { continue: true }, items: [kept] }, sink, {
      patience: LIST_PATIENCE,
      maxKeptBytes: MAX_KEPT_BYTES,
      signal,
    });
    for await (const _ of pieces);
    next = pageSchema.safeParse(page).data?.metadata?.continue ?? "";
    if (next === "") return;
  }
}

/**
 * Asks the agents of nodes, some at a time; each has its own time, so that one that hangs hides no other. What comes is
 * handed on as it comes.
 */
export async function askAgents(
  client: KubeClient,
  nodes: readonly ClusterNode[],
  said: (node: ClusterNode, answer: AgentSaid) => void,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const waiting = [...nodes];
  const askNext = async () => {
    for (let node = waiting.shift(); node !== undefined; node = waiting.shift()) {
      said(node, await askAgent(client, node, options));
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, askNext));
}

async function askAgent(
  client: KubeClient,
  { pods }: ClusterNode,
  { signal }: { readonly signal: AbortSignal },
): Promise<AgentSaid> {
  const pod = pods.find(({ phase }) => phase === "Running") ?? pods[0];
  const silent = (silence: string, isFault = true): AgentSaid => ({ at: new Date(), silence, isFault });
  // A service of the host may be its agent.
  if (pod === undefined) return silent("no pod of an agent is there", false);
  const { namespace, name, health, program } = pod;
  if (program === "flannel") return silent("flanneld tells nothing of itself", false);
  const by = `kubectl exec -n ${namespace} ${name} -- loden status`;
  if (typeof health === "string") return silent(`its agent ${health}; ask it there: ${by}`, false);
  using abort = new LinkedAbort(signal);
  abort.limit(AGENT_MS, TOO_LATE);
  try {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${
      encodeURIComponent(name)
    }:${health}`;
    // An API server asks by its own name, which the agent knows nothing of: it heeds who knows its pod's.
    const raw = await client.request(`${path}/proxy/status?pod=${encodeURIComponent(name)}`, true, {
      maxKeptBytes: MAX_ANSWER_BYTES,
      signal: abort.signal,
    });
    const { data } = statusSchema.safeParse(raw);
    if (data === undefined) {
      return silent("what its agent says can't be read: it is of another version", false);
    }
    return { at: new Date(), status: data, raw };
  } catch (error) {
    signal.throwIfAborted();
    const isLate = abort.signal.reason === TOO_LATE;
    const why = isLate ? `its agent has not answered within ${AGENT_MS / 1000} s` : errorText(error);
    // Who may see pods may not be allowed to ask them.
    return silent(`${why}; ask it there: ${by}`, !isKubeStatus(error, 403));
  }
}
