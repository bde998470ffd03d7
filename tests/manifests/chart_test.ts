import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { Container, PodSpec } from "kubernetes-types/core/v1";
import { parse } from "yaml";
import { VERSION } from "../../src/model/version.ts";
import { parseNetworkConfig } from "../../src/config/network.ts";
import { parseOptions } from "../../src/config/options.ts";
import { renderFiles, renderObjects } from "./chart.ts";
import {
  type ConfigMap,
  type DaemonSet,
  type KubeObject,
  manifestPath,
  only,
  readObjects,
  type Role,
} from "./objects.ts";

/** What Helm and its users know releases by, and the manifest has not. */
const HELM_KEYS = [
  "app.kubernetes.io/instance",
  "app.kubernetes.io/version",
  "app.kubernetes.io/managed-by",
  "helm.sh/chart",
  "checksum/config",
];

/** Objects by kind and name, without what Helm alone needs, and with JSON in place of its text. */
function comparable(objects: readonly KubeObject[]): Record<string, unknown> {
  const rows = objects.map((object) => {
    const text = JSON.stringify(object, (key, value) => {
      if (HELM_KEYS.includes(key)) return undefined;
      if (key.endsWith("-conf.json")) return JSON.parse(value);
      if (key === "annotations" && Object.keys(value).every((name) => HELM_KEYS.includes(name))) {
        return undefined;
      }
      return value;
    });
    return [`${object.kind} ${object.metadata.name}`, JSON.parse(text)] as const;
  });
  return Object.fromEntries(rows.sort(([a], [b]) => a < b ? -1 : 1));
}

function podOf(objects: readonly KubeObject[]): PodSpec {
  return only<DaemonSet>("DaemonSet", objects).spec.template.spec!;
}

function agentOf(objects: readonly KubeObject[]): Container {
  return podOf(objects).containers[0]!;
}

function netConfOf(objects: readonly KubeObject[]): Record<string, unknown> {
  return JSON.parse(only<ConfigMap>("ConfigMap", objects).data["net-conf.json"]!);
}

function hostPathsOf(objects: readonly KubeObject[]): Record<string, string> {
  return Object.fromEntries(
    podOf(objects).volumes!.flatMap(({ name, hostPath }) =>
      hostPath === undefined ? [] : [[name, hostPath.path]]
    ),
  );
}

Deno.test("without values the chart is kube-flannel.yml but for the namespace, object by object", async () => {
  const [namespace, ...others] = await readObjects("kube-flannel.yml");
  assertEquals(namespace!.kind, "Namespace");
  assertEquals(comparable(await renderObjects()), comparable(others));
});

Deno.test("with nodePolicy.create the chart has node-policy.yml, object by object", async () => {
  const objects = await renderObjects({ nodePolicy: { create: true } });
  assertEquals(
    comparable(objects.filter(({ kind }) => kind.startsWith("ValidatingAdmissionPolicy"))),
    comparable(await readObjects("node-policy.yml")),
  );
});

Deno.test("with handBack.enabled the chart has hand-back.yml in place of the agents, object by object", async () => {
  const objects = await renderObjects({ handBack: { enabled: true } });
  const rest = (all: readonly KubeObject[]) => all.filter(({ kind }) => kind !== "DaemonSet");
  assertEquals(comparable(rest(objects)), comparable(rest(await renderObjects())));
  // The chart has the network's configuration; the manifest may be applied where nobody has it any more.
  const [manifest] = JSON.parse(
    JSON.stringify(await readObjects("hand-back.yml")).replace(',"optional":true', ""),
  ) as KubeObject[];
  assertEquals(comparable([only<DaemonSet>("DaemonSet", objects)]), comparable([manifest!]));
});

Deno.test("with handBack.enabled nodes, image, folders and secrets are the agents', whatever they are", async () => {
  const values = {
    global: { imagePullSecrets: [{ name: "registry" }] },
    flannel: {
      image: { repository: "registry.example/loden", tag: "v9" },
      cniConfDir: "/a/net.d",
      cniBinDir: "/a/bin",
      tolerations: [{ operator: "Exists" }],
      nodeSelector: { network: "loden" },
    },
    handBack: { rules: "iptables" },
  };
  const agents = podOf(await renderObjects(values));
  const objects = await renderObjects({ ...values, handBack: { ...values.handBack, enabled: true } });
  const pod = podOf(objects);
  for (const key of ["tolerations", "nodeSelector", "affinity", "imagePullSecrets"] as const) {
    assertEquals<unknown>(pod[key], agents[key], key);
  }
  const images = [...pod.initContainers!, ...pod.containers].map(({ image }) => image);
  assertEquals(images, ["registry.example/loden:v9", "registry.example/loden:v9"]);
  const paths = hostPathsOf(objects);
  assertEquals([paths.cni, paths["cni-plugin"]], ["/a/net.d", "/a/bin"]);
  assertEquals([...pod.initContainers!, ...pod.containers].map(({ command }) => command!.slice(1)), [
    ["hand-back", "--rules=iptables"],
    ["hand-back", "--dry-run", "--stay", "--rules=iptables"],
  ]);
});

Deno.test("values of a chart that had no way back, as helm upgrade --reuse-values has them, make agents", async () => {
  assertEquals(comparable(await renderObjects({ handBack: null })), comparable(await renderObjects()));
});

Deno.test("with podMonitor.create the chart has pod-monitor.yml, object by object", async () => {
  const values = { podMonitor: { create: true }, flannel: { healthz: { ip: "0.0.0.0" } } };
  const objects = await renderObjects(values);
  assertEquals(
    comparable(objects.filter(({ kind }) => kind === "PodMonitor")),
    comparable(await readObjects("pod-monitor.yml")),
  );
});

Deno.test("the chart is of this version, and so is its image", async () => {
  const chart = parse(await Deno.readTextFile(manifestPath("chart/Chart.yaml"))) as Record<string, unknown>;
  assertEquals([chart.apiVersion, chart.version, chart.appVersion], ["v2", VERSION, `v${VERSION}`]);
  assertEquals(agentOf(await renderObjects()).image, `ghcr.io/loden/loden:v${VERSION}`);
});

interface Row {
  /** The value, and what it does. */
  readonly name: string;
  readonly values: unknown;
  readonly look: (objects: readonly KubeObject[]) => unknown;
  readonly expected: unknown;
}

const image = (repository: string, tag: string, digest = "") => ({ repository, tag, digest });
const imagesOf = (objects: readonly KubeObject[]) => {
  const { initContainers, containers } = podOf(objects);
  return [...initContainers!, ...containers].map(({ image }) => image);
};
const DIGEST = `sha256:${"0".repeat(64)}`;
const OWN_IMAGE = `ghcr.io/loden/loden:v${VERSION}`;

const rows: readonly Row[] = [
  {
    name: "global.imagePullSecrets names the secrets of the pods",
    values: { global: { imagePullSecrets: [{ name: "a" }, { name: "b" }] } },
    look: (objects) => podOf(objects).imagePullSecrets,
    expected: [{ name: "a" }, { name: "b" }],
  },
  {
    name: "an empty global.imagePullSecrets, as flannel's null, names none",
    values: { global: { imagePullSecrets: null } },
    look: (objects) => podOf(objects).imagePullSecrets,
    expected: undefined,
  },
  {
    name: "podCidr is the IPv4 network",
    values: { podCidr: "10.42.0.0/16" },
    look: netConfOf,
    expected: { Network: "10.42.0.0/16", EnableNFTables: false, Backend: { Type: "vxlan" } },
  },
  {
    name: "podCidrv6 adds IPv6",
    values: { podCidrv6: "fd00:10:244::/48" },
    look: netConfOf,
    expected: {
      Network: "10.244.0.0/16",
      EnableIPv6: true,
      IPv6Network: "fd00:10:244::/48",
      EnableNFTables: false,
      Backend: { Type: "vxlan" },
    },
  },
  {
    name: "an empty podCidr turns IPv4 off",
    values: { podCidr: "", podCidrv6: "fd00:10:244::/48" },
    look: netConfOf,
    expected: {
      EnableIPv4: false,
      EnableIPv6: true,
      IPv6Network: "fd00:10:244::/48",
      EnableNFTables: false,
      Backend: { Type: "vxlan" },
    },
  },
  {
    name: "flannel.image is the image of both containers",
    values: { flannel: { image: image("registry.example:5000/loden", "v9") } },
    look: imagesOf,
    expected: ["registry.example:5000/loden:v9", "registry.example:5000/loden:v9"],
  },
  {
    name: "flannel.image.digest pins the image of both containers",
    values: { flannel: { image: { digest: DIGEST } } },
    look: imagesOf,
    expected: [`${OWN_IMAGE}@${DIGEST}`, `${OWN_IMAGE}@${DIGEST}`],
  },
  {
    name: "flannel.flannel_cni.image is another image for the plugin, without the agent's digest",
    values: {
      flannel: {
        image: { digest: DIGEST },
        flannel_cni: { image: { repository: "registry.example/cni", tag: "v1" } },
      },
    },
    look: imagesOf,
    expected: ["registry.example/cni:v1", `${OWN_IMAGE}@${DIGEST}`],
  },
  {
    name: "flannel.cniBinDir and cniConfDir are folders of the host",
    values: { flannel: { cniBinDir: "/usr/libexec/cni", cniConfDir: "/var/lib/rancher/cni" } },
    look: hostPathsOf,
    expected: {
      run: "/run/flannel",
      "cni-plugin": "/usr/libexec/cni",
      cni: "/var/lib/rancher/cni",
      "cni-state": "/var/lib/cni",
      sysctls: "/proc/sys/net",
    },
  },
  {
    name: "flannel.setSysctls takes the host's sysctls away",
    values: { flannel: { setSysctls: false } },
    look: (objects) => [
      agentOf(objects).volumeMounts!.filter(({ mountPath }) => mountPath.startsWith("/host")),
      hostPathsOf(objects).sysctls,
    ],
    expected: [[], undefined],
  },
  {
    name: "flannel.skipCNIConfigInstallation takes the flag and the folder away",
    values: { flannel: { skipCNIConfigInstallation: true } },
    look: (objects) => [
      agentOf(objects).args!.filter((arg) => arg.startsWith("--cni-conf")),
      agentOf(objects).volumeMounts!.filter(({ mountPath }) => mountPath === "/etc/cni/net.d"),
      hostPathsOf(objects).cni,
    ],
    expected: [[], [], undefined],
  },
  {
    name: "flannel.enableNFTables is in net-conf.json",
    values: { flannel: { enableNFTables: true } },
    look: (objects) => netConfOf(objects).EnableNFTables,
    expected: true,
  },
  {
    name: "flannel.args are the first of the arguments",
    values: { flannel: { args: ["--kube-subnet-mgr", "--iface=eth1"] } },
    look: (objects) => agentOf(objects).args,
    expected: [
      "--kube-subnet-mgr",
      "--iface=eth1",
      "--healthz-ip=127.0.0.1",
      "--healthz-port=8081",
      "--cni-conf=/etc/cni/net.d/10-flannel.conflist",
      "--cni-release-stale",
      "--lease-cache=/run/flannel/leases.json",
    ],
  },
  {
    name: "the keys of vxlan are written where they are set",
    values: {
      flannel: {
        backendPort: 4789,
        mtu: 1400,
        vni: 16777215,
        GBP: true,
        directRouting: true,
        macPrefix: "0E-2A",
        psk: "not of this backend",
      },
    },
    look: (objects) => netConfOf(objects).Backend,
    expected: {
      Type: "vxlan",
      Port: 4789,
      MTU: 1400,
      VNI: 16777215,
      GBP: true,
      DirectRouting: true,
      MacPrefix: "0E-2A",
    },
  },
  {
    name: "keys that are false or 0 are left to the backend",
    values: { flannel: { backendPort: 0, mtu: 0, GBP: false, directRouting: false, macPrefix: "" } },
    look: (objects) => netConfOf(objects).Backend,
    expected: { Type: "vxlan" },
  },
  {
    name: "the keys of wireguard are written where they are set",
    values: {
      flannel: {
        backend: "wireguard",
        backendPort: 51820,
        backendPortv6: 51821,
        mtu: 1400,
        psk: 123,
        tunnelMode: "separate",
        keepaliveInterval: 25,
        vni: 7,
      },
    },
    look: (objects) => netConfOf(objects).Backend,
    expected: {
      Type: "wireguard",
      ListenPort: 51820,
      ListenPortV6: 51821,
      MTU: 1400,
      PSK: "123",
      Mode: "separate",
      PersistentKeepaliveInterval: 25,
    },
  },
  {
    name: "udp has a port",
    values: { flannel: { backend: "udp", backendPort: 8285, mtu: 1400 } },
    look: (objects) => netConfOf(objects).Backend,
    expected: { Type: "udp", Port: 8285 },
  },
  {
    name: "host-gw has an MTU",
    values: { flannel: { backend: "host-gw", backendPort: 1, mtu: 1400 } },
    look: (objects) => netConfOf(objects).Backend,
    expected: { Type: "host-gw", MTU: 1400 },
  },
  {
    name: "aws-vpc has the keys that net-conf.json has",
    values: { flannel: { backend: "aws-vpc", mtu: 8900, aws: { ENI: "managed", Cluster: "blue" } } },
    look: (objects) => netConfOf(objects).Backend,
    expected: { Type: "aws-vpc", MTU: 8900, ENI: "managed", Cluster: "blue" },
  },
  {
    name: "auto has the keys of vxlan",
    values: { flannel: { backend: "auto", vni: 7, backendPort: 4789 } },
    look: (objects) => netConfOf(objects).Backend,
    expected: { Type: "auto", VNI: 7, Port: 4789 },
  },
  {
    name: "another backend has a type alone",
    values: { flannel: { backend: "ipip", backendPort: 1 } },
    look: (objects) => netConfOf(objects).Backend,
    expected: { Type: "ipip" },
  },
  {
    name: "flannel.masqueradeExclude is what pods reach with their own addresses",
    values: { flannel: { masqueradeExclude: ["192.0.2.0/24", "2001:db8::/32"] } },
    look: (objects) => netConfOf(objects).MasqueradeExclude,
    expected: ["192.0.2.0/24", "2001:db8::/32"],
  },
  {
    name: "flannel.cniConf is what the conflist is made of",
    values: { flannel: { cniConf: '{\n  "name": "mine",\n  "plugins": [{ "type": "flannel" }]\n}' } },
    look: (objects) => JSON.parse(only<ConfigMap>("ConfigMap", objects).data["cni-conf.json"]!),
    expected: { name: "mine", plugins: [{ type: "flannel" }] },
  },
  {
    name: "flannel.resources are the agent's",
    values: { flannel: { resources: { limits: { memory: "1Gi" } } } },
    look: (objects) => agentOf(objects).resources,
    expected: { requests: { cpu: "50m", memory: "80Mi" }, limits: { memory: "1Gi" } },
  },
  {
    name: "flannel.healthz.port is the flag, the port and where the probes ask",
    values: { flannel: { healthz: { port: 9099 } } },
    look: (objects) => [
      agentOf(objects).args!.filter((arg) => arg.startsWith("--healthz-port")),
      agentOf(objects).ports,
      agentOf(objects).readinessProbe?.httpGet?.port,
    ],
    expected: [
      ["--healthz-port=9099"],
      [{ name: "healthz", containerPort: 9099, protocol: "TCP" }],
      "healthz",
    ],
  },
  {
    name: "a flannel.healthz.port of 0 takes away the flags, the port and the probes",
    values: { flannel: { healthz: { port: 0 } } },
    look: (objects) => {
      const { args, ports, startupProbe, livenessProbe, readinessProbe } = agentOf(objects);
      const flags = args!.filter((arg) => arg.startsWith("--healthz"));
      return [flags, ports, startupProbe, livenessProbe, readinessProbe];
    },
    expected: [[], undefined, undefined, undefined, undefined],
  },
  {
    name: "flannel.healthz.livenessProbe and readinessProbe are the probes' times",
    values: {
      flannel: {
        healthz: { livenessProbe: { initialDelaySeconds: 10 }, readinessProbe: { periodSeconds: 3 } },
      },
    },
    look: (objects) => [agentOf(objects).livenessProbe, agentOf(objects).readinessProbe],
    expected: [
      {
        httpGet: { host: "127.0.0.1", port: "healthz", path: "/healthz" },
        initialDelaySeconds: 10,
        periodSeconds: 30,
        timeoutSeconds: 5,
      },
      {
        httpGet: { host: "127.0.0.1", port: "healthz", path: "/readyz" },
        periodSeconds: 3,
        timeoutSeconds: 5,
      },
    ],
  },
  ...[
    ["every address", "0.0.0.0", "--healthz-ip=0.0.0.0", "127.0.0.1"],
    ["every address if it is empty", "", "--healthz-ip=0.0.0.0", "127.0.0.1"],
    ["every address of both families", "::", "--healthz-ip=::", "127.0.0.1"],
    ["one address, where kubelet asks too", "192.0.2.1", "--healthz-ip=192.0.2.1", "192.0.2.1"],
  ].map(([what, ip, flag, host]): Row => ({
    name: `flannel.healthz.ip serves at ${what}`,
    values: { flannel: { healthz: { ip } } },
    look: (objects) => {
      const { args, livenessProbe } = agentOf(objects);
      return [args!.filter((arg) => arg.startsWith("--healthz-ip")), livenessProbe?.httpGet?.host];
    },
    expected: [[flag], host],
  })),
  {
    name: "flannel.tolerations replace the usual ones",
    values: { flannel: { tolerations: [{ operator: "Exists" }] } },
    look: (objects) => podOf(objects).tolerations,
    expected: [{ operator: "Exists" }],
  },
  {
    name: "flannel.nodeSelector chooses nodes, beside the affinity to Linux",
    values: { flannel: { nodeSelector: { "kubernetes.io/arch": "arm64" } } },
    look: (objects) => [podOf(objects).nodeSelector, podOf(objects).affinity !== undefined],
    expected: [{ "kubernetes.io/arch": "arm64" }, true],
  },
  {
    name: "netpol.enabled adds a container that may do more, while the agent may not",
    values: { netpol: { enabled: true, args: ["--v=4"], image: { tag: "v9" } } },
    look: (objects) => {
      const [agent, netpol] = podOf(objects).containers;
      return [
        agent!.securityContext?.privileged,
        netpol!.securityContext?.privileged,
        netpol!.image,
        netpol!.args,
        netpol!.env!.map(({ name, valueFrom }) => [name, valueFrom?.fieldRef?.fieldPath]),
      ];
    },
    expected: [
      false,
      true,
      "registry.k8s.io/networking/kube-network-policies:v9",
      ["--v=4"],
      [["MY_NODE_NAME", "spec.nodeName"]],
    ],
  },
  {
    name: "netpol.enabled widens the role to policies and what they select",
    values: { netpol: { enabled: true } },
    look: (objects) =>
      only<Role>("ClusterRole", objects).rules.slice(4).map(({ resources, verbs }) => [resources, verbs]),
    expected: [
      [["pods", "namespaces"], ["list", "watch"]],
      [["networkpolicies"], ["list", "watch"]],
      [["adminnetworkpolicies", "baselineadminnetworkpolicies"], ["list", "watch"]],
    ],
  },
  {
    name: "serviceAccount.annotations are the service account's",
    values: { serviceAccount: { annotations: { "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r" } } },
    look: (objects) => only("ServiceAccount", objects).metadata.annotations,
    expected: { "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r" },
  },
  {
    name: "podMonitor has times, and labels that Prometheus selects by",
    values: {
      flannel: { healthz: { ip: "0.0.0.0" } },
      podMonitor: {
        create: true,
        interval: "15s",
        scrapeTimeout: "5s",
        relabelings: [],
        labels: { release: "p" },
      },
    },
    look: (objects) => {
      const monitor = only<KubeObject & { spec: { podMetricsEndpoints: unknown } }>("PodMonitor", objects);
      return [monitor.metadata.labels?.release, monitor.spec.podMetricsEndpoints];
    },
    expected: ["p", [{ port: "healthz", path: "/metrics", interval: "15s", scrapeTimeout: "5s" }]],
  },
];

for (const { name, values, look, expected } of rows) {
  Deno.test(`chart: ${name}`, async () => {
    assertEquals(look(await renderObjects(values)), expected);
  });
}

const refused: [name: string, values: unknown, reason: RegExp][] = [
  ["no network at all", { podCidr: "", podCidrv6: "" }, /podCidr and podCidrv6 are empty: set one of them/],
  ["an image without a name", { flannel: { image: { repository: "" } } }, /an image needs a repository/],
  [
    "a PodMonitor of the loopback",
    { podMonitor: { create: true } },
    /needs an address that Prometheus reaches: set flannel\.healthz\.ip/,
  ],
  [
    "a PodMonitor of no port",
    { podMonitor: { create: true }, flannel: { healthz: { port: 0, ip: "0.0.0.0" } } },
    /needs a port: set flannel\.healthz\.port/,
  ],
];

for (const [name, values, reason] of refused) {
  Deno.test(`the chart refuses ${name}, and says what to set`, async () => {
    const { message } = await assertRejects(() => renderObjects(values), Error);
    assertMatch(message, reason);
  });
}

Deno.test("the agent accepts its arguments and the configuration, with any setting of vxlan", async () => {
  for (const { name, values } of rows) {
    const objects = await renderObjects(values);
    const outcome = parseOptions(agentOf(objects).args!, {});
    assertEquals(outcome.kind, "run", name);
    const text = only<ConfigMap>("ConfigMap", objects).data["net-conf.json"]!;
    if (JSON.parse(text).Backend.Type !== "vxlan") continue;
    assertEquals(parseNetworkConfig(text, { source: "net-conf.json" }).warnings, [], name);
  }
});

Deno.test("every volume is mounted and every mount has its volume, with any setting", async () => {
  for (const { name, values } of rows) {
    const { initContainers = [], containers, volumes = [] } = podOf(await renderObjects(values));
    const mounted = [...initContainers, ...containers].flatMap(({ volumeMounts = [] }) =>
      volumeMounts.map(({ name }) => name)
    );
    assertEquals([...new Set(mounted)].sort(), volumes.map(({ name }) => name).sort(), name);
  }
});

Deno.test("a value that is not there leaves no trace of the template language", async () => {
  for (const { name, values } of rows) {
    const text = Object.values(await renderFiles(values)).join("\n");
    assert(!/<no value>|%!|\{\{|map\[/.test(text), name);
  }
});

Deno.test("everything is in the namespace of the release, the rights of its account too", async () => {
  const values = { nodePolicy: { create: true } };
  const objects = await renderObjects(values, { Name: "cni", Namespace: "elsewhere" });
  const namespaces = objects.map(({ metadata }) => metadata.namespace).filter((name) => name !== undefined);
  assertEquals(new Set(namespaces), new Set(["elsewhere"]));
  assert(!JSON.stringify(objects).includes("kube-flannel:flannel"));
  const bound = JSON.stringify(only("ClusterRoleBinding", objects));
  assertMatch(bound, /"namespace":"elsewhere"/);
});

Deno.test("pods are replaced when the configuration changes, and not otherwise", async () => {
  const sums = await Promise.all(
    [{}, { podCidr: "10.42.0.0/16" }, { flannel: { healthz: { port: 1 } } }].map(async (values) =>
      only<DaemonSet>("DaemonSet", await renderObjects(values)).spec.template.metadata
        .annotations!["checksum/config"]
    ),
  );
  assertEquals([sums[0] === sums[1], sums[0] === sums[2]], [false, true]);
});
