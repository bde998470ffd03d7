import { assert, assertEquals } from "@std/assert";
import type { Container, PodSpec } from "kubernetes-types/core/v1";
import { SILENT } from "../../src/log/log.ts";
import { KubeAnnouncer } from "../../src/registry/kube/kube_announcer.ts";
import { VERSION } from "../../src/model/version.ts";
import { parseConflist, renderConflist } from "../../src/pods/conflist.ts";
import { readSettings } from "../../src/pods/settings.ts";
import { readSubnetEnv } from "../../src/pods/subnet_env.ts";
import { FLAGS } from "../../src/config/flags.ts";
import { parseNetworkConfig } from "../../src/config/network.ts";
import { parseOptions } from "../../src/config/options.ts";
import { AF_INET, formatPrefix } from "../../src/model/address.ts";
import {
  bareNode,
  KubeHost,
  memberNode,
  onTheDouble,
  request,
  signal,
  until,
} from "../registry/kube/servers.ts";
import {
  type ConfigMap,
  type DaemonSet,
  only,
  readObjects,
  type Role,
  type RoleBinding,
  verbsOf,
} from "./objects.ts";

const objects = await readObjects("kube-flannel.yml");
const daemonSet = only<DaemonSet>("DaemonSet", objects);
const pod: PodSpec = daemonSet.spec.template.spec!;
const agent = pod.containers[0]!;
const installer = pod.initContainers![0]!;
const containers: readonly Container[] = [...pod.initContainers!, ...pod.containers];
const { data } = only<ConfigMap>("ConfigMap", objects);

Deno.test("the objects have flannel's kinds and names, the namespace first", () => {
  assertEquals(
    objects.map(({ kind, metadata: { name, namespace } }) => [kind, name, namespace]),
    [
      ["Namespace", "kube-flannel", undefined],
      ["ServiceAccount", "flannel", "kube-flannel"],
      ["ClusterRole", "flannel", undefined],
      ["ClusterRoleBinding", "flannel", undefined],
      ["ConfigMap", "kube-flannel-cfg", "kube-flannel"],
      ["DaemonSet", "kube-flannel-ds", "kube-flannel"],
    ],
  );
});

const labels: [kind: string, why: string, expected: Record<string, string>][] = [
  ["Namespace", "pods with the host's network are admitted", {
    "k8s-app": "flannel",
    "pod-security.kubernetes.io/enforce": "privileged",
  }],
  ["ConfigMap", "people select it so", { tier: "node", app: "flannel" }],
  ["DaemonSet", "people select it so", { tier: "node", app: "flannel", "k8s-app": "flannel" }],
];

for (const [kind, why, expected] of labels) {
  Deno.test(`the ${kind} has flannel's labels: ${why}`, () => {
    const { labels = {} } = only(kind, objects).metadata;
    assertEquals(
      Object.fromEntries(Object.keys(expected).map((key) => [key, labels[key]])),
      expected,
    );
  });
}

Deno.test("the selector is flannel's, since it can't be changed, and selects the pods", () => {
  assertEquals(daemonSet.spec.selector, { matchLabels: { app: "flannel" } });
  assertEquals(daemonSet.spec.template.metadata.labels?.app, "flannel");
});

Deno.test("the role is bound to the service account that the pods have", () => {
  const { roleRef, subjects } = only<RoleBinding>("ClusterRoleBinding", objects);
  assertEquals(roleRef, { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "flannel" });
  assertEquals(subjects, [{ kind: "ServiceAccount", name: "flannel", namespace: "kube-flannel" }]);
  assertEquals(pod.serviceAccountName, only("ServiceAccount", objects).metadata.name);
});

onTheDouble(
  "the role gives what the agent asks for, what flannel's agents beside it do, and nothing else",
  async (server) => {
    await server.createNode(bareNode("n1", ["10.244.1.0/24"]));
    await server.createNode(memberNode("n2", "10.244.2.0/24", "192.0.2.2"));
    await using host = new KubeHost(server);
    await host.registry.acquire(request("192.0.2.1"), { signal });
    host.follow();
    await host.sees(
      "n1 10.244.1.0/24 at 192.0.2.1 by 0e:00:00:00:00:01",
      "n2 10.244.2.0/24 at 192.0.2.2 by 0e:00:00:00:00:01",
    );
    let elapsedMs = 0;
    const announcer = new KubeAnnouncer(
      host.registry,
      { now: Date.now, elapsedMs: () => elapsedMs, log: SILENT },
      { clearsCondition: true },
    );
    for (; elapsedMs <= 60_000; elapsedMs += 30_000) {
      await announcer.look({ isReady: false, reasons: ["no route"] }, { signal });
    }
    await announcer.look({ isReady: true, reasons: [] }, { signal });
    await until("see it watch", () => server.requests.some((line) => line.includes("watch=")) || undefined);
    // flannel's agent looks at its own pod, whose name its manifest gives it.
    const flannels = verbsOf(only<Role>("ClusterRole", await readObjects("../tests/manifests/flannel.yml")));
    const beside = Object.entries(flannels).flatMap(([resource, verbs]) =>
      verbs.map((verb) => `${verb} ${resource}`)
    );
    const asked = new Set([...server.requests.map(rightOf), ...beside]);
    const given = Object.entries(verbsOf(only<Role>("ClusterRole", objects)))
      .flatMap(([resource, verbs]) => verbs.map((verb) => `${verb} ${resource}`));
    assertEquals([...asked].sort(), given.sort());
  },
);

/** The right that a request needs, `get nodes`. */
function rightOf(request: string): string {
  const [, method, resource, name, subresource, query = ""] =
    /^([A-Z]+) \/api\/v1\/(?:namespaces\/\w+\/)?(\w+)(?:\/(\w+)(\/\w+)?)?(?:\?(.*))?$/.exec(request) ?? [];
  assert(method !== undefined, `the form of this is known: ${request}`);
  const reading = name !== undefined ? "get" : new URLSearchParams(query).has("watch") ? "watch" : "list";
  const verb = method === "GET" ? reading : method === "POST" ? "create" : method.toLowerCase();
  return `${verb} ${resource}${subresource ?? ""}`;
}

Deno.test("net-conf.json is accepted without a warning, and means flannel's network", () => {
  const { config, warnings } = parseNetworkConfig(data["net-conf.json"]!, { source: "net-conf.json" });
  assertEquals(warnings, []);
  assertEquals(config.families.map(({ network }) => formatPrefix(network)), ["10.244.0.0/16"]);
  assertEquals(config.families.map(({ family }) => family), [AF_INET]);
  assert(config.backend.type === "vxlan");
  assertEquals([config.backend.vni, config.backend.port], [1, 8472]);
});

Deno.test("cni-conf.json is flannel's chain, and the agent can resolve it", () => {
  const source = data["cni-conf.json"]!;
  const { name, cniVersion } = parseConflist(source);
  assertEquals([name, cniVersion], ["cbr0", "0.3.1"]);
  const subnet =
    "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
  const text = renderConflist(source, readSettings({}), readSubnetEnv(subnet, "subnet.env"));
  const types = (JSON.parse(text).plugins as { type: string }[]).map(({ type }) => type);
  assertEquals(types, ["bridge", "portmap"]);
});

Deno.test("every argument is a flag that the agent knows, and it doubts only what it says it will", () => {
  const names = (agent.args ?? []).map((arg) => arg.replace(/^--/, "").split("=")[0]!);
  const known: readonly string[] = FLAGS.map(({ name }) => name);
  assertEquals(names.filter((name) => !known.includes(name)), []);
  const outcome = parseOptions(agent.args!, {});
  assert(outcome.kind === "run");
  assertEquals(outcome.warnings.filter((warning) => !warning.startsWith("-ip-masq ")), []);
});

Deno.test("the agent finds its files where the volumes are", () => {
  const outcome = parseOptions(agent.args!, {});
  assert(outcome.kind === "run");
  const { conflist, subnetFilePath, leaseCachePath, networkConfigPath, masquerade, registry } =
    outcome.options;
  const folders = agent.volumeMounts!.map(({ mountPath }) => mountPath);
  const paths = [conflist!.path, conflist!.sourcePath, subnetFilePath, leaseCachePath!, networkConfigPath];
  assertEquals(paths.filter((path) => !folders.some((folder) => path.startsWith(`${folder}/`))), []);
  assertEquals(
    [conflist!.sourcePath, networkConfigPath],
    ["cni-conf.json", "net-conf.json"].map((key) => `/etc/kube-flannel/${key}`),
  );
  assertEquals(Object.keys(data).sort(), ["cni-conf.json", "net-conf.json"]);
  assertEquals([masquerade, registry.kind], [true, "kube"]);
});

Deno.test("every volume is mounted, and every mount has its volume", () => {
  const mounted = new Set(
    containers.flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ name }) => name)),
  );
  assertEquals([...mounted].sort(), pod.volumes!.map(({ name }) => name).sort());
});

const hostPaths = pod.volumes!.flatMap(({ hostPath }) => hostPath === undefined ? [] : [hostPath]);

Deno.test("folders of the host are made where they are missing", () => {
  assertEquals(
    hostPaths.filter(({ path }) => !path.startsWith("/proc/")).map(({ path, type }) => [path, type]),
    ["/run/flannel", "/opt/cni/bin", "/etc/cni/net.d", "/var/lib/cni"].map((
      path,
    ) => [path, "DirectoryOrCreate"]),
  );
});

Deno.test("the agent alone may write sysctls, of the network alone, and finds them where it looks for them", () => {
  assertEquals(
    hostPaths.filter(({ path }) => path.startsWith("/proc/")).map(({ path, type }) => [path, type]),
    [
      ["/proc/sys/net", "Directory"],
    ],
  );
  const { name } = pod.volumes!.find(({ hostPath }) => hostPath?.path === "/proc/sys/net")!;
  const mounts = containers.flatMap(({ name: container, volumeMounts = [] }) =>
    volumeMounts.filter((mount) => mount.name === name).map(({ mountPath }) => [container, mountPath])
  );
  // Runtimes mount nothing inside of /proc.
  assertEquals(mounts, [["kube-flannel", "/host/proc/sys/net"]]);
});

Deno.test("the init container installs the plugin alone, and sees nothing else of the host", () => {
  assertEquals(installer.command, ["/opt/bin/loden", "install-cni"]);
  const environment = new Map(installer.env!.map(({ name, value }) => [name, value]));
  assertEquals(environment.get("CNI_CONF_NAME"), "");
  assertEquals(installer.volumeMounts!.map(({ mountPath }) => mountPath), [environment.get("CNI_BIN_DIR")]);
});

const capabilities: [name: string, container: Container, added: string[]][] = [
  ["install-cni-plugin", installer, []],
  ["kube-flannel", agent, ["NET_ADMIN", "NET_RAW"]],
];

for (const [name, container, added] of capabilities) {
  Deno.test(`container ${name} has ${added.join(" and ") || "no capabilities"}, and is not privileged`, () => {
    assertEquals(container.name, name);
    const security = container.securityContext!;
    assertEquals(security.capabilities, { drop: ["ALL"], ...added.length > 0 && { add: added } });
    assertEquals(security.privileged ?? false, false);
    assertEquals(security.allowPrivilegeEscalation, false);
    assertEquals(security.readOnlyRootFilesystem, true);
  });
}

Deno.test("pods share the host's network and nothing else, under the runtime's seccomp profile", () => {
  assertEquals([pod.hostNetwork, pod.hostPID ?? false, pod.hostIPC ?? false], [true, false, false]);
  assertEquals(pod.securityContext, { seccompProfile: { type: "RuntimeDefault" } });
});

Deno.test("kubelet asks the port that the agent serves, on the loopback", () => {
  const outcome = parseOptions(agent.args!, {});
  assert(outcome.kind === "run");
  const { hostname, port } = outcome.options.health!;
  assertEquals(hostname, "127.0.0.1");
  assertEquals(agent.ports, [{ name: "healthz", containerPort: port, protocol: "TCP" }]);
  const { startupProbe, livenessProbe, readinessProbe } = agent;
  assertEquals([startupProbe, livenessProbe, readinessProbe].map((probe) => probe?.httpGet), [
    { host: hostname, port: "healthz", path: "/healthz" },
    { host: hostname, port: "healthz", path: "/healthz" },
    { host: hostname, port: "healthz", path: "/readyz" },
  ]);
});

Deno.test("the agent is told its node, so it needs no right to read pods", () => {
  const fields = agent.env!.map(({ name, valueFrom }) => [name, valueFrom?.fieldRef?.fieldPath]);
  assertEquals(fields, [
    ["NODE_NAME", "spec.nodeName"],
    ["POD_NAME", "metadata.name"],
    ["POD_NAMESPACE", "metadata.namespace"],
  ]);
});

Deno.test("pods run on every Linux node, whatever it is tainted with, and are evicted last", () => {
  assertEquals(pod.tolerations, [
    { operator: "Exists", effect: "NoSchedule" },
    { operator: "Exists", effect: "NoExecute" },
    { key: "CriticalAddonsOnly", operator: "Exists" },
  ]);
  assertEquals(pod.priorityClassName, "system-node-critical");
  const terms = pod.affinity!.nodeAffinity!.requiredDuringSchedulingIgnoredDuringExecution!.nodeSelectorTerms;
  assertEquals(terms, [
    { matchExpressions: [{ key: "kubernetes.io/os", operator: "In", values: ["linux"] }] },
  ]);
  assertEquals(daemonSet.spec.updateStrategy, {
    type: "RollingUpdate",
    rollingUpdate: { maxUnavailable: "10%" },
  });
});

Deno.test("one image is all there is, that of this version", () => {
  const image = `ghcr.io/loden/loden:v${VERSION}`;
  assertEquals(containers.map((container) => container.image), [image, image]);
});
