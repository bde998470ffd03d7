import { startNodes } from "../cloud/aws/many_nodes.ts";

/** How long it takes until the routes of nodes that start together are there, in a time of their own, and the calls. */
export async function timeCloudStart(nodes: number): Promise<Record<string, string | number>> {
  const { convergedMs, failedTurns, done, throttled } = await startNodes(nodes, {
    isThrottled: true,
    seed: 1,
  });
  const perNode = (calls: Readonly<Record<string, number>>) =>
    (Object.values(calls).reduce((sum, count) => sum + count, 0) / nodes).toFixed(1);
  return {
    "nodes": nodes,
    "all routed after, s": (convergedMs / 1000).toFixed(0),
    "turns that failed": failedTurns,
    "calls done per node": perNode(done),
    "calls throttled per node": perNode(throttled),
  };
}
