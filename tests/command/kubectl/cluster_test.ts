import { assertEquals } from "@std/assert";
import { agentPodOf, clusterNodeOf } from "../../../src/command/kubectl/cluster.ts";
import { memberNode } from "../../registry/kube/servers.ts";

const PREFIX = "flannel.alpha.coreos.com/";

Deno.test("clusterNodeOf() reads what a member says of itself, and what the cluster was told", () => {
  const node = memberNode("n1", "10.244.1.0/24", "192.0.2.1");
  const condition = {
    type: "NetworkUnavailable",
    status: "True",
    reason: "FlannelIsDown",
    message: "no lease\u202e",
    lastTransitionTime: "2026-01-01T00:00:00Z",
  };
  assertEquals(clusterNodeOf({ ...node, status: { conditions: [condition] } }, PREFIX), {
    name: "n1",
    network: "not ready",
    reason: "FlannelIsDown",
    message: "no lease\\u202e",
    since: "2026-01-01T00:00:00Z",
    isHeard: true,
    subnets: ["10.244.1.0/24"],
    publicAddresses: ["192.0.2.1"],
    backend: "vxlan",
    hasMark: false,
  });
});

Deno.test("clusterNodeOf() knows a node that no agent has been at, and one whose kubelet is silent", () => {
  const bare = clusterNodeOf({ metadata: { name: "n1" } }, PREFIX)!;
  assertEquals([bare.network, bare.subnets, bare.publicAddresses, bare.backend], ["unknown", [], [], ""]);
  const conditions = [{ type: "Ready", status: "Unknown" }, { type: "NetworkUnavailable", status: "False" }];
  const silent = clusterNodeOf({ metadata: { name: "n1" }, status: { conditions } }, PREFIX)!;
  assertEquals([silent.network, silent.isHeard], ["ready", false]);
});

for (const value of [undefined, null, 5, {}, { metadata: {} }, { metadata: { name: 3 } }]) {
  Deno.test(`clusterNodeOf() takes ${JSON.stringify(value)} for no node`, () => {
    assertEquals(clusterNodeOf(value, PREFIX), undefined);
  });
}

Deno.test("clusterNodeOf() survives annotations and conditions of any shape", () => {
  const annotations = {
    [`${PREFIX}public-ip`]: 5,
    [`${PREFIX}backend-type`]: 70_000,
    [`${PREFIX}loden-since`]: "x",
  };
  const node = clusterNodeOf(
    { metadata: { name: "n1", annotations }, spec: { podCIDRs: "no" }, status: { conditions: 3 } },
    PREFIX,
  )!;
  assertEquals([node.publicAddresses, node.backend, node.hasMark, node.subnets], [[], "", true, []]);
});

function pod(container: object, status: object = {}): unknown {
  return {
    metadata: { name: "p", namespace: "kube-flannel" },
    spec: {
      nodeName: "n1",
      containers: [{ name: "kube-flannel", image: "ghcr.io/loden/loden:v1", ...container }],
    },
    status,
  };
}

const health: [why: string, container: object, health: number | string][] = [
  ["its flags say so", { args: ["--healthz-port=8081"] }, 8081],
  ["its flags say so in two words, with one dash", { command: ["/x", "-healthz-port", "9000"] }, 9000],
  [
    "its flags name an address of the host",
    { args: ["--healthz-ip=192.0.2.1", "--healthz-port=8081"] },
    8081,
  ],
  [
    "its flags name the loopback",
    { args: ["--healthz-ip=127.0.0.1", "--healthz-port=8081"] },
    "serves its health at 127.0.0.1 alone",
  ],
  ["a port has the name", { ports: [{ name: "healthz", containerPort: 8082 }] }, 8082],
  ["nothing says so", { args: ["--ip-masq"] }, "serves no health"],
  ["it is switched off", { args: ["--healthz-port=0"] }, "serves no health"],
  ["a flag is no number", { args: ["--healthz-port=x"] }, "serves no health"],
  ["a flag has no value", { args: ["--healthz-port"], ports: [{ name: "healthz", containerPort: 1 }] }, 1],
];

for (const [why, container, expected] of health) {
  Deno.test(`agentPodOf() says "${expected}" of the health when ${why}`, () => {
    assertEquals(agentPodOf(pod(container))?.pod.health, expected);
  });
}

const images: [image: string, program: string][] = [
  ["ghcr.io/loden/loden:v0.1.0", "loden"],
  ["localhost:5000/loden@sha256:00", "loden"],
  ["docker.io/flannel/flannel:v0.28.0", "flannel"],
  ["registry.example/flannel/agent:1", "unknown"],
];

for (const [image, program] of images) {
  Deno.test(`agentPodOf() takes ${image} for ${program}`, () => {
    assertEquals(agentPodOf(pod({ image }))?.pod.program, program);
  });
}

Deno.test("agentPodOf() counts restarts of all containers, and is ready as the agent's is", () => {
  const containerStatuses = [
    { name: "other", ready: true, restartCount: 2 },
    { name: "kube-flannel", ready: false, restartCount: 3 },
  ];
  const { node, pod: found } = agentPodOf(pod({}, { phase: "Running", containerStatuses }))!;
  assertEquals([node, found.phase, found.restarts, found.isReady], ["n1", "Running", 5, false]);
});

Deno.test("agentPodOf() knows nothing of a pod that has no node yet, or whose containers are too long to be read", () => {
  assertEquals(
    agentPodOf({ metadata: { name: "p", namespace: "n" }, spec: { containers: [{}] } }),
    undefined,
  );
  assertEquals(
    agentPodOf({ metadata: { name: "p", namespace: "n" }, spec: { nodeName: "n1", containers: 70_000 } }),
    undefined,
  );
  assertEquals(agentPodOf("x"), undefined);
});
