import { peerCountWords, statusLines, verdictOf } from "../status/status_text.ts";
import { countWords, momentWords, tableLines } from "../status/words.ts";
import type { AgentPod, ClusterNode } from "./cluster.ts";
import type { AgentSaid } from "./read_cluster.ts";

/** Nodes that are listed unless all are asked for. */
const LISTED = 40;

/** What was found of a cluster. */
export interface FoundCluster {
  readonly at: Date;
  readonly url: string;
  readonly nodes: readonly ClusterNode[];
  /** What agents have said, by the name of their node; of those that were asked. */
  readonly said: ReadonlyMap<string, AgentSaid>;
  readonly podFault: string | undefined;
}

/** Whether nothing is wrong with a node. */
export function isWell({ network, isHeard, pods }: ClusterNode, said: AgentSaid | undefined): boolean {
  if (network !== "ready" || !isHeard || hasNoAgentUp(pods)) return false;
  return said === undefined || ("silence" in said ? !said.isFault : said.status.ready);
}

/** Whether there are pods of agents, and none of them is up: what the cluster was told last is then an old word. */
function hasNoAgentUp(pods: readonly AgentPod[]): boolean {
  return pods.length > 0 && !pods.some(({ phase, isReady }) => phase === "Running" && isReady);
}

/** One line a node, those that are not well first. */
export function clusterLines(found: FoundCluster, { isWhole }: { readonly isWhole: boolean }): string[] {
  const { at, url, nodes, said, podFault } = found;
  const bad = nodes.filter((node) => !isWell(node, said.get(node.name)));
  const sorted = [...bad, ...nodes.filter((node) => !bad.includes(node))];
  const listed = isWhole ? sorted : sorted.slice(0, LISTED);
  const isAsked = said.size > 0;
  const mute = [...said.values()].filter((one) => "silence" in one && !one.isFault).length;
  const unasked = mute === 0 ? "" : `; ${mute === 1 ? "an agent" : `${mute} agents`} can't be asked`;
  const verdict = bad.length === 0 ? "all ready" : `${bad.length} NOT READY`;
  const more = sorted.length - listed.length;
  return [
    `${momentWords(at)} ${countWords(nodes.length, "node")} at ${url}: ${
      nodes.length === 0 ? "nothing to tell" : verdict
    }${unasked}`,
    ...podFault === undefined ? [] : [`agents' pods are not known: ${podFault}`],
    ...listed.length === 0 ? [] : tableLines([
      [
        "NODE",
        "NETWORK",
        "SUBNET",
        "PUBLIC IP",
        "BACKEND",
        "AGENT",
        "POD",
        ...isAsked ? ["AT", "PEERS"] : [],
        "WHY",
      ],
      ...listed.map((node) => rowOf(node, said.get(node.name), isAsked)),
    ]),
    ...more > 0 ? [`and ${more} more, which --all lists`] : [],
  ];
}

function rowOf(node: ClusterNode, said: AgentSaid | undefined, isAsked: boolean): string[] {
  const list = (texts: readonly string[]) => texts.join(",") || "-";
  const counts = said !== undefined && "status" in said ? said.status.peers : null;
  return [
    node.name,
    node.network === "not ready" ? "NOT READY" : node.network,
    list(node.subnets),
    list(node.publicAddresses),
    node.backend || "-",
    programOf(node),
    list(node.pods.map(podWords)),
    ...isAsked
      ? [said === undefined ? "-" : momentWords(said.at), counts === null ? "-" : peerCountWords(counts)]
      : [],
    whyOf(node, said),
  ];
}

/** Whose agent it is: its pod's image tells, and else the mark that Loden leaves at the node. */
function programOf({ pods, hasMark, backend }: ClusterNode): string {
  const known = pods.map(({ program }) => program).filter((program) => program !== "unknown");
  if (known.length > 0) return [...new Set(known)].join("+");
  return hasMark ? "loden" : backend === "" ? "-" : "flannel";
}

function podWords({ phase, isReady, restarts }: AgentPod): string {
  const state = phase === "Running" && !isReady ? "Running, unready" : phase || "unknown";
  return restarts === 0 ? state : `${state}, ${countWords(restarts, "restart")}`;
}

/** What is not as it should be, the cluster's word first. */
function whyOf(
  { network, reason, message, isHeard, pods, backend }: ClusterNode,
  said: AgentSaid | undefined,
): string {
  const told = network === "ready"
    ? []
    : network === "not ready"
    ? [[reason, message].filter((one) => one !== "").join(": ") || "no reason is told"]
    : [backend === "" ? "no agent has been there" : "its agent has not told the cluster"];
  const agent = said === undefined
    ? []
    : "silence" in said
    ? [said.silence]
    : said.status.ready
    ? []
    : [`its agent says ${verdictOf(said.status)}`];
  return [
    ...told,
    ...isHeard ? [] : ["its kubelet is not heard"],
    ...hasNoAgentUp(pods) && network === "ready" ? ["its agent's pod is not ready"] : [],
    ...pods.length > 1 ? [`${pods.length} agents' pods are there`] : [],
    ...agent,
  ].join("; ");
}

/** What one agent says of itself, as `loden status` there would. */
export function answerLines(node: ClusterNode, said: AgentSaid): string[] {
  return "silence" in said
    ? ["", `${node.name}: ${said.silence}`]
    : ["", `${node.name}:`, ...statusLines(said.status, { now: said.at })];
}

/** A node as it is documented for programs. */
export function nodeJson(node: ClusterNode, said: AgentSaid | undefined): object {
  const { hasMark: _, ...told } = node;
  return {
    ...told,
    agent: programOf(node),
    well: isWell(node, said),
    ...said !== undefined && {
      answer: "silence" in said
        ? { at: said.at.toISOString(), silence: said.silence }
        : { at: said.at.toISOString(), status: said.raw },
    },
  };
}
