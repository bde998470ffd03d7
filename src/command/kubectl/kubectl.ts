import { readText } from "../../file/read_text.ts";
import { completeAnnotationPrefix } from "../../config/annotation_prefix.ts";
import { UsageError } from "../../config/usage_error.ts";
import { printableIn, wholeLine } from "../../log/printable.ts";
import { KubeClient, KubeError } from "../../registry/kube/kube_client.ts";
import { findCluster } from "../../registry/kube/kube_contexts.ts";
import { EXIT, type Place } from "../command.ts";
import { commandHelp, type CommandWords, readCommandWords } from "../command_flags.ts";
import { answerLines, clusterLines, isWell, nodeJson } from "./cluster_text.ts";
import type { ClusterNode } from "./cluster.ts";
import { type AgentSaid, askAgents, readCluster } from "./read_cluster.ts";
import { KUBECTL_USAGE } from "./usage.ts";

/** A larger file is no kubeconfig, token, key or certificate. */
const MAX_FILE_BYTES = 1024 * 1024;

/** `kubectl loden status`: how the hosts of a cluster are, as its API server and their agents say. */
export async function runKubectl(
  args: readonly string[],
  { output, signal }: Place,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const asked = readCommandWords(args, KUBECTL_USAGE);
  const [verb, ...names] = asked?.words ?? [];
  if (asked === undefined || verb === "help") {
    output.say(commandHelp(KUBECTL_USAGE));
    return EXIT.done;
  }
  if (verb !== "status") {
    throw new UsageError(
      `Cannot read ${
        JSON.stringify(verb ?? "")
      }: there is 'kubectl loden status [NODE]...'; see 'kubectl loden help'`,
    );
  }
  const text = (name: string) => asked.values.get(name) as string;
  const annotationPrefix = completeAnnotationPrefix(text("annotation-prefix"));
  if (annotationPrefix === undefined) {
    throw new UsageError("Cannot read --annotation-prefix: it can't begin an annotation");
  }
  const deps = {
    readTextFile: (path: string) => Promise.try(() => readText(path, MAX_FILE_BYTES)),
    environment,
    elapsedMs: () => performance.now(),
  };
  const access = await findCluster(
    { kubeconfig: text("kubeconfig"), context: text("context"), server: text("server") },
    deps,
  );
  using client = new KubeClient(access, deps);
  const query = { annotationPrefix, selector: text("selector") };
  const cluster = await readCluster(client, query, { signal }).catch((error) => {
    if (!(error instanceof KubeError)) throw error;
    const advice = error.status === 401
      ? `; the token or certificate is not accepted there: is it of this cluster, and still valid? ${access.hint}`
      : "";
    const why = `the API server ${client.url} answers: ${error.message}${advice}`;
    throw new Error(`Cannot read the nodes: ${why}`, { cause: error });
  });
  const at = new Date();
  const nodes = chosenNodes(cluster.nodes, names);
  const said = new Map<string, AgentSaid>();
  const isAsking = names.length > 0 || asked.values.get("peers") === true;
  if (isAsking) await askAgents(client, nodes, (node, answer) => said.set(node.name, answer), { signal });
  const found = { at, url: client.url, nodes, said, podFault: cluster.podFault };
  output.say(shown(found, asked, names));
  return nodes.every((node) => isWell(node, said.get(node.name))) ? EXIT.done : EXIT.failed;
}

/** @throws {Error} If there is no such node. */
function chosenNodes(nodes: readonly ClusterNode[], names: readonly string[]): readonly ClusterNode[] {
  if (names.length === 0) return nodes;
  return [...new Set(names)].map((name) => {
    const node = nodes.find((one) => one.name === name);
    if (node === undefined) {
      throw new Error(`Cannot tell of node ${JSON.stringify(name)}: the cluster has none of this name`);
    }
    return node;
  });
}

function shown(
  found: Parameters<typeof clusterLines>[0],
  { values }: CommandWords,
  names: readonly string[],
): string {
  if (values.get("json") === true) {
    const { at, url, nodes, said, podFault } = found;
    return JSON.stringify(printableIn({
      at: at.toISOString(),
      server: url,
      podFault: podFault ?? null,
      nodes: nodes.map((node) => nodeJson(node, said.get(node.name))),
    }));
  }
  return [
    ...clusterLines(found, { isWhole: values.get("all") === true }),
    ...names.length === 0 ? [] : found.nodes.flatMap((node) => answerLines(node, found.said.get(node.name)!)),
  ].map(wholeLine).join("\n");
}
