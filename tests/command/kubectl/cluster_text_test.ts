import { assert, assertEquals } from "@std/assert";
import type { AgentPod, ClusterNode } from "../../../src/command/kubectl/cluster.ts";
import { clusterLines, isWell } from "../../../src/command/kubectl/cluster_text.ts";
import type { AgentSaid } from "../../../src/command/kubectl/read_cluster.ts";

const AT = new Date("2026-01-01T00:00:00Z");
const POD: AgentPod = {
  namespace: "kube-flannel",
  name: "p",
  program: "loden",
  image: "loden:1",
  phase: "Running",
  isReady: true,
  restarts: 0,
  health: 8081,
};

function nodeOf(name: string, changes: Partial<ClusterNode> = {}): ClusterNode {
  return {
    name,
    network: "ready",
    reason: "FlannelIsUp",
    message: "",
    since: "",
    isHeard: true,
    subnets: ["10.244.1.0/24"],
    publicAddresses: ["192.0.2.1"],
    backend: "vxlan",
    hasMark: true,
    pods: [POD],
    ...changes,
  };
}

function linesOf(nodes: readonly ClusterNode[], isWhole = false): string[] {
  return clusterLines({ at: AT, url: "https://x", nodes, said: new Map(), podFault: undefined }, { isWhole });
}

const nodes: [why: string, changes: Partial<ClusterNode>, isWell: boolean, agent: string, reason: string][] =
  [
    ["all is well", {}, true, "loden", ""],
    [
      "the agent has told that it is not ready",
      { network: "not ready", reason: "FlannelIsDown", message: "no lease" },
      false,
      "loden",
      "FlannelIsDown: no lease",
    ],
    ["it has told nothing else", { network: "not ready", reason: "" }, false, "loden", "no reason is told"],
    [
      "no agent was ever there",
      { network: "unknown", backend: "", hasMark: false, pods: [] },
      false,
      "-",
      "no agent has been there",
    ],
    ["its agent has not told", { network: "unknown" }, false, "loden", "its agent has not told the cluster"],
    ["the node is dead", { isHeard: false }, false, "loden", "its kubelet is not heard"],
    [
      "its pod crashes, and what was told is old",
      { pods: [{ ...POD, isReady: false, restarts: 9 }] },
      false,
      "loden",
      "its agent's pod is not ready",
    ],
    [
      "its pod waits",
      { pods: [{ ...POD, phase: "Pending", isReady: false }] },
      false,
      "loden",
      "its agent's pod is not ready",
    ],
    ["its agent is a service of the host", { pods: [] }, true, "loden", ""],
    [
      "its agent is flanneld, after Loden was there",
      { pods: [{ ...POD, program: "flannel" }] },
      true,
      "flannel",
      "",
    ],
    [
      "two agents are there, as in a migration that was not ended",
      { pods: [POD, { ...POD, program: "flannel" }] },
      true,
      "loden+flannel",
      "2 agents' pods are there",
    ],
  ];

for (const [why, changes, well, agent, reason] of nodes) {
  Deno.test(`clusterLines() tells of a node when ${why}`, () => {
    const node = nodeOf("n1", changes);
    assertEquals(isWell(node, undefined), well);
    const [first, , row] = linesOf([node]);
    assertEquals(first, `2026-01-01T00:00:00Z 1 node at https://x: ${well ? "all ready" : "1 NOT READY"}`);
    const cells = row!.split(/ {2,}/);
    assertEquals([cells[5], cells[7] ?? ""], [agent, reason]);
  });
}

const answers: [why: string, said: AgentSaid, isWell: boolean][] = [
  ["it can't be asked", { at: AT, silence: "no", isFault: false }, true],
  ["it does not answer", { at: AT, silence: "no", isFault: true }, false],
];

for (const [why, said, well] of answers) {
  Deno.test(`isWell() says ${well} of a node whose agent was asked, and ${why}`, () => {
    assertEquals(isWell(nodeOf("n1"), said), well);
  });
}

Deno.test("clusterLines() has room for forty nodes, the bad ones first, and counts the others", () => {
  const many = Array.from(
    { length: 5000 },
    (_, at) => nodeOf(`n${at}`, at === 4711 ? { isHeard: false } : {}),
  );
  const lines = linesOf(many);
  assertEquals(lines.length, 43);
  assert(lines[2]!.startsWith("n4711 "));
  assertEquals(lines.at(-1), "and 4960 more, which --all lists");
  assertEquals(linesOf(many, true).length, 5002);
});

Deno.test("clusterLines() tells of a cluster without nodes", () => {
  assertEquals(linesOf([]), ["2026-01-01T00:00:00Z 0 nodes at https://x: nothing to tell"]);
});
