import {
  array,
  boolean,
  catch as fallback,
  nullish,
  number,
  object,
  optional,
  record,
  string,
  unknown,
} from "zod/mini";
import { printable } from "../../log/printable.ts";
import type { Kept } from "../../registry/http/json_sieve.ts";
import { type AnnotationKeys, annotationKeys, keptOfNode } from "../../registry/kube/kube_node.ts";

/** What hosts write into their nodes is shown up to this length. */
const MAX_WORDS_LENGTH = 200;
/** The port that agents serve their health at, where the pod does not say. */
const HEALTH_NAME = "healthz";
const LOOPBACKS = ["127.0.0.1", "localhost", "::1"];

/** The pod of an agent. */
export interface AgentPod {
  readonly namespace: string;
  readonly name: string;
  /** Who it is, by its image. */
  readonly program: "loden" | "flannel" | "unknown";
  readonly image: string;
  readonly phase: string;
  readonly isReady: boolean;
  readonly restarts: number;
  /** The port at which its health is served to the cluster; why it is not, where it is not. */
  readonly health: number | string;
}

/** A node as the cluster knows it. */
export interface ClusterNode {
  readonly name: string;
  /** Whether the network is there, as the agent has told the cluster: `unknown` where none has. */
  readonly network: "ready" | "not ready" | "unknown";
  /** What was told with it. */
  readonly reason: string;
  readonly message: string;
  /** When it last changed, in ISO 8601; empty where that is not told. */
  readonly since: string;
  /** Whether its kubelet is heard. */
  readonly isHeard: boolean;
  readonly subnets: readonly string[];
  readonly publicAddresses: readonly string[];
  /** Empty where no agent has been there. */
  readonly backend: string;
  /** Whether an agent of Loden has been there; flanneld leaves no such mark. */
  readonly hasMark: boolean;
  readonly pods: readonly AgentPod[];
}

const text = fallback(string(), "");

/** What of a Node is kept while it streams in. */
export function keptOfClusterNode(keys: AnnotationKeys): Kept {
  return { ...keptOfNode(keys), status: { conditions: true } };
}

const nodeSchema = object({
  metadata: object({
    name: string(),
    annotations: fallback(nullish(record(string(), unknown())), undefined),
  }),
  spec: fallback(
    optional(object({
      podCIDR: fallback(optional(string()), undefined),
      podCIDRs: fallback(nullish(array(string())), undefined),
    })),
    undefined,
  ),
  status: fallback(
    optional(object({
      conditions: fallback(
        array(
          object({ type: string(), status: string(), reason: text, message: text, lastTransitionTime: text }),
        ),
        [],
      ),
    })),
    undefined,
  ),
});

/** A node out of what is kept of a Node; `undefined` if that is none. */
export function clusterNodeOf(value: unknown, prefix: string): Omit<ClusterNode, "pods"> | undefined {
  const { data } = nodeSchema.safeParse(value);
  if (data === undefined) return undefined;
  const { metadata: { name, annotations }, spec, status } = data;
  const keys = annotationKeys(prefix);
  const words = (key: string) => {
    const found = annotations && Object.hasOwn(annotations, key) ? annotations[key] : undefined;
    return typeof found === "string" ? printable(found, MAX_WORDS_LENGTH) : "";
  };
  const conditionOf = (type: string) => status?.conditions.find((one) => one.type === type);
  const network = conditionOf("NetworkUnavailable");
  const shown = (text: string | undefined) => printable(text ?? "", MAX_WORDS_LENGTH);
  return {
    name: printable(name, MAX_WORDS_LENGTH),
    network: network?.status === "False" ? "ready" : network?.status === "True" ? "not ready" : "unknown",
    reason: shown(network?.reason),
    message: shown(network?.message),
    since: shown(network?.lastTransitionTime),
    isHeard: conditionOf("Ready")?.status !== "Unknown",
    subnets: (spec?.podCIDRs?.length ? spec.podCIDRs : spec?.podCIDR ? [spec.podCIDR] : []).map(shown),
    publicAddresses: Object.values(keys.address).map(words).filter((one) => one !== ""),
    backend: words(keys.backendType),
    hasMark: words(keys.since) !== "" || words(keys.origin) !== "",
  };
}

/** What of a Pod is kept while it streams in. */
export const KEPT_OF_POD: Kept = {
  metadata: { name: true, namespace: true },
  spec: { nodeName: true, hostNetwork: true, containers: true },
  status: { phase: true, containerStatuses: true },
};

const podSchema = object({
  metadata: object({ name: string(), namespace: string() }),
  spec: object({
    nodeName: fallback(string(), ""),
    containers: fallback(
      array(object({
        name: text,
        image: text,
        args: fallback(array(string()), []),
        command: fallback(array(string()), []),
        ports: fallback(array(object({ name: text, containerPort: number() })), []),
      })),
      [],
    ),
  }),
  status: fallback(
    optional(object({
      phase: text,
      containerStatuses: fallback(
        array(object({ name: text, ready: fallback(boolean(), false), restartCount: fallback(number(), 0) })),
        [],
      ),
    })),
    undefined,
  ),
});

/** An agent's pod out of what is kept of a Pod, and its node; `undefined` if that is none, or has no node yet. */
export function agentPodOf(value: unknown): { readonly node: string; readonly pod: AgentPod } | undefined {
  const { data } = podSchema.safeParse(value);
  const container = data?.spec.containers[0];
  if (data === undefined || container === undefined || data.spec.nodeName === "") return undefined;
  const { metadata: { name, namespace }, spec, status } = data;
  const statuses = status?.containerStatuses ?? [];
  const own = statuses.find((one) => one.name === container.name);
  return {
    node: spec.nodeName,
    pod: {
      namespace,
      name,
      program: programOf(container.image),
      image: printable(container.image, MAX_WORDS_LENGTH),
      phase: printable(status?.phase ?? "", MAX_WORDS_LENGTH),
      isReady: own?.ready ?? false,
      restarts: statuses.reduce((sum, { restartCount }) => sum + restartCount, 0),
      health: healthOf(container),
    },
  };
}

function programOf(image: string): AgentPod["program"] {
  const last = image.split("/").at(-1)!.split(/[:@]/)[0]!;
  return /loden/.test(last) ? "loden" : /flannel/.test(last) ? "flannel" : "unknown";
}

/** At which port the health is served to the cluster; why not, as a clause, where it is not. */
function healthOf(
  { args, command, ports }: {
    readonly args: readonly string[];
    readonly command: readonly string[];
    readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  },
): number | string {
  const flag = (name: string) => {
    const words = [...command, ...args];
    const at = words.findIndex((word) => word.replace(/^--?/, "").split("=")[0] === name);
    return at < 0 ? undefined : words[at]!.includes("=") ? words[at]!.split("=")[1] : words[at + 1];
  };
  const address = flag("healthz-ip");
  const port = flag("healthz-port");
  const number = port === undefined
    ? ports.find(({ name }) => name === HEALTH_NAME)?.containerPort
    : Number(port);
  if (number === undefined || !(number > 0)) return "serves no health";
  if (address !== undefined && LOOPBACKS.includes(address)) return `serves its health at ${address} alone`;
  return number;
}

/** What a list says of the page behind it. */
export const pageSchema = object({
  metadata: fallback(optional(object({ continue: fallback(optional(string()), undefined) })), undefined),
});
