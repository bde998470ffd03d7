import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { until } from "../registry/kube/servers.ts";
import { KubeApiServer } from "../double/kube_apiserver.ts";
import { FLANNEL_RULES } from "../double/api_server.ts";
import { ACCOUNT, manifestPath } from "./objects.ts";
import { kubectl } from "./kubectl.ts";

const NODE_CLAIM = "Impersonate-Extra-authentication.kubernetes.io%2fnode-name";
const PREFIX = "flannel.alpha.coreos.com/";
const STRATEGIC = "application/strategic-merge-patch+json";
const MERGE = "application/merge-patch+json";

/** A node with all that a thief may want to change, and as many images as a kubelet reports. */
const NODE = {
  metadata: {
    name: "n1",
    labels: { "node-role.kubernetes.io/worker": "" },
    annotations: { "example.com/theirs": "1", [`${PREFIX}public-ip-overwrite`]: "192.0.2.1" },
    finalizers: ["example.com/keep"],
  },
  spec: { podCIDR: "10.244.1.0/24", podCIDRs: ["10.244.1.0/24"] },
  status: {
    capacity: { cpu: "4", memory: "8Gi" },
    allocatable: { cpu: "4", memory: "8Gi" },
    addresses: [{ type: "InternalIP", address: "192.0.2.1" }],
    conditions: [
      { type: "Ready", status: "True", reason: "KubeletReady" },
      { type: "MemoryPressure", status: "False" },
    ],
    images: Array.from({ length: 50 }, (_, at) => ({
      names: [`registry.example/image-${at}@sha256:${"0".repeat(64)}`, `registry.example/image-${at}:v1`],
      sizeBytes: 1000 + at,
    })),
  },
};

type Patch = Record<string, unknown> | readonly Record<string, unknown>[];
interface Row {
  readonly what: string;
  readonly patch: Patch;
  readonly type?: string;
  readonly node?: string;
  /** What its token says; `n1` if absent. */
  readonly claim?: string | null;
  /** A part of what the server says where it refuses. */
  readonly refusal?: string;
}

const network = {
  type: "NetworkUnavailable",
  status: "False",
  reason: "FlannelIsUp",
  message: "Flannel is running",
};
const ours = Object.fromEntries([
  ["kube-subnet-manager", "true"],
  ["backend-type", "vxlan"],
  ["backend-data", '{"VNI":1,"VtepMAC":"0e:2a:00:00:00:01"}'],
  ["backend-v6-data", "null"],
  ["public-ip", "192.0.2.1"],
  ["public-ipv6", "2001:db8::1"],
  ["loden-origin", "machine 1"],
  ["loden-since", "1"],
].map(([key, value]) => [PREFIX + key, value]));
const METADATA = "no labels, finalizers or other metadata";
const STATUS = "no capacity, addresses or other status";
const CONDITION = "the node's condition NetworkUnavailable, and no other";
const ANNOTATION = "its own annotations of the node, and no others";

const rows: readonly Row[] = [
  { what: "its annotations", patch: { metadata: { annotations: ours } } },
  {
    what: "its annotations once more",
    patch: { metadata: { annotations: { ...ours, [`${PREFIX}loden-since`]: "2" } } },
  },
  { what: "the condition NetworkUnavailable", patch: { status: { conditions: [network] } } },
  {
    what: "the condition once more",
    patch: { status: { conditions: [{ ...network, lastHeartbeatTime: "2026-01-01T00:00:00Z" }] } },
  },
  {
    what: "its annotations taken away",
    patch: { metadata: { annotations: Object.fromEntries(Object.keys(ours).map((key) => [key, null])) } },
  },
  {
    what: "another node",
    node: "n2",
    patch: { metadata: { annotations: ours } },
    refusal: "may not write to node n2",
  },
  { what: "a node, of a token that names none", claim: null, patch: {}, refusal: "the token names none" },
  { what: "a label", patch: { metadata: { labels: { "example.com/zone": "a" } } }, refusal: METADATA },
  {
    what: "a label that is there",
    patch: { metadata: { labels: { "node-role.kubernetes.io/worker": "x" } } },
    refusal: METADATA,
  },
  { what: "all labels taken away", type: MERGE, patch: { metadata: { labels: null } }, refusal: METADATA },
  { what: "a finalizer", patch: { metadata: { finalizers: ["example.com/mine"] } }, refusal: METADATA },
  {
    what: "all finalizers taken away",
    type: MERGE,
    patch: { metadata: { finalizers: null } },
    refusal: METADATA,
  },
  {
    what: "an owner",
    patch: { metadata: { ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "p", uid: "u" }] } },
    refusal: METADATA,
  },
  {
    what: "another annotation",
    patch: { metadata: { annotations: { "example.com/mine": "1" } } },
    refusal: ANNOTATION,
  },
  {
    what: "an annotation of others",
    patch: { metadata: { annotations: { "example.com/theirs": "2" } } },
    refusal: ANNOTATION,
  },
  {
    what: "an annotation of others taken away",
    patch: { metadata: { annotations: { ...ours, "example.com/theirs": null } } },
    refusal: ANNOTATION,
  },
  {
    what: "an operator's address of the node",
    patch: { metadata: { annotations: { [`${PREFIX}public-ip-overwrite`]: "192.0.2.66" } } },
    refusal: ANNOTATION,
  },
  { what: "the capacity", patch: { status: { capacity: { cpu: "64" } } }, refusal: STATUS },
  {
    what: "a resource of its own",
    patch: { status: { capacity: { "example.com/gpu": "8" } } },
    refusal: STATUS,
  },
  { what: "what can be allocated", patch: { status: { allocatable: { memory: "1Ti" } } }, refusal: STATUS },
  {
    what: "an address",
    patch: { status: { addresses: [{ type: "ExternalIP", address: "198.51.100.1" }] } },
    refusal: STATUS,
  },
  { what: "the images taken away", type: MERGE, patch: { status: { images: null } }, refusal: STATUS },
  {
    what: "the kubelet's version",
    patch: { status: { nodeInfo: { kubeletVersion: "v9" } } },
    refusal: STATUS,
  },
  {
    what: "Ready",
    patch: { status: { conditions: [{ type: "Ready", status: "False" }] } },
    refusal: CONDITION,
  },
  {
    what: "a condition that is not there yet",
    patch: { status: { conditions: [network, { type: "Broken", status: "True" }] } },
    refusal: CONDITION,
  },
  {
    what: "all conditions taken away",
    type: MERGE,
    patch: { status: { conditions: null } },
    refusal: CONDITION,
  },
  {
    what: "one condition in the place of all",
    type: MERGE,
    patch: { status: { conditions: [network] } },
    refusal: CONDITION,
  },
  {
    what: "one condition in the place of another, twice",
    type: "application/json-patch+json",
    patch: [
      { op: "remove", path: "/status/conditions/0" },
      { op: "copy", from: "/status/conditions/0", path: "/status/conditions/-" },
    ],
    refusal: CONDITION,
  },
];

const about = (kind: string, name: string, more: Record<string, unknown> = {}) => ({
  involvedObject: { apiVersion: "v1", kind, name, uid: name },
  source: { component: "loden", host: "n1" },
  ...more,
});
const EVENT = "about its own node, as loden";
/** Events that an agent may want to make, and what the server says of each that it refuses. */
const events: readonly (readonly [what: string, event: Patch, refusal?: string])[] = [
  ["its node", about("Node", "n1")],
  ["another node", about("Node", "n2"), EVENT],
  ["a pod of its node", about("Pod", "etcd-n1"), EVENT],
  ["its node, as the kubelet", about("Node", "n1", { source: { component: "kubelet", host: "n1" } }), EVENT],
  [
    "its node, as another's agent",
    about("Node", "n1", { source: { component: "loden", host: "n2" } }),
    EVENT,
  ],
  ["its node, as nobody", about("Node", "n1", { source: {} }), EVENT],
];

/** Who asks a server through its administrator, as whom, and by which token. */
class Asker implements Disposable {
  readonly #client: Deno.HttpClient;

  private constructor(readonly server: KubeApiServer, client: Deno.HttpClient) {
    this.#client = client;
  }

  static async of(server: KubeApiServer): Promise<Asker> {
    return new Asker(server, Deno.createHttpClient({ caCerts: [await Deno.readTextFile(server.caFile)] }));
  }

  async ask(
    path: string,
    init: RequestInit,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; text: string }> {
    const answer = await fetch(`${this.server.url}${path}`, {
      ...init,
      client: this.#client,
      headers: { authorization: `Bearer ${this.server.tokens.admin}`, ...headers },
    } as RequestInit);
    return { status: answer.status, text: await answer.text() };
  }

  /** Patches the status of a node as the agent of the manifest does. */
  patch(
    { patch, node = "n1", type = STRATEGIC, claim = "n1" }: Row,
  ): Promise<{ status: number; text: string }> {
    return this.ask(`/api/v1/nodes/${node}/status`, { method: "PATCH", body: JSON.stringify(patch) }, {
      "content-type": type,
      "Impersonate-User": ACCOUNT,
      "Impersonate-Group": "system:serviceaccounts",
      ...claim === null ? {} : { [NODE_CLAIM]: claim },
    });
  }

  /** Makes an Event, as the agent of n1. */
  tell(event: Patch): Promise<{ status: number; text: string }> {
    const body = JSON.stringify({ metadata: { generateName: "loden-", namespace: "default" }, ...event });
    return this.ask("/api/v1/namespaces/default/events", { method: "POST", body }, {
      "content-type": "application/json",
      "Impersonate-User": ACCOUNT,
      "Impersonate-Group": "system:serviceaccounts",
      [NODE_CLAIM]: "n1",
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

async function bindAccount(asker: Asker): Promise<void> {
  const json = { "content-type": "application/json" };
  const rules = Object.entries({ ...FLANNEL_RULES, events: ["create"] }).map(([resource, verbs]) => ({
    apiGroups: [""],
    resources: [resource],
    verbs,
  }));
  const api = "/apis/rbac.authorization.k8s.io/v1";
  const bodies: [string, unknown][] = [
    ["clusterroles", { metadata: { name: "flannel-test" }, rules }],
    ["clusterrolebindings", {
      metadata: { name: "flannel-test" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "flannel-test" },
      subjects: [{ kind: "User", name: ACCOUNT, apiGroup: "rbac.authorization.k8s.io" }],
    }],
  ];
  for (const [resource, body] of bodies) {
    const { status, text } = await asker.ask(`${api}/${resource}`, {
      method: "POST",
      body: JSON.stringify(body),
    }, json);
    assertEquals(status, 201, text);
  }
}

Deno.test("with the node policy, a server lets an agent write its annotations, its condition and Events about its node, and nothing else", async (t) => {
  await using server = await KubeApiServer.open();
  using asker = await Asker.of(server);
  const { text } = await asker.ask("/apis/admissionregistration.k8s.io/v1", {});
  if (!text.includes("validatingadmissionpolicies")) {
    // A server of before 1.30: the current one is asked by test:kube.
    const { text: version } = await asker.ask("/version", {});
    assert(Number(JSON.parse(version).minor) < 30, version);
    return;
  }
  await server.createNode(NODE);
  await server.createNode({ metadata: { name: "n2" } });
  await bindAccount(asker);
  const label = (value: unknown) => ({
    what: "a label",
    patch: { metadata: { labels: { "example.com/zone": value } } },
  });
  assertEquals((await asker.patch(label("first"))).status, 200, "the role alone keeps nobody from it");
  await kubectl(["apply", "--validate=false", `--filename=${manifestPath("node-policy.yml")}`], server);
  // Another value each time, as what changes nothing is let pass.
  let attempt = 0;
  await until("see the policy heeded", async () => {
    const { status } = await asker.patch(label(`attempt-${attempt++}`));
    return status === 403 ? true : undefined;
  });
  await server.patchNode("n1", { metadata: { labels: { "example.com/zone": null } } });
  await until("see the policy of Events heeded", async () => {
    const { status } = await asker.tell(about("Node", "n2"));
    return status === 403 ? true : undefined;
  });

  for (const [what, event, refusal] of events) {
    await t.step(
      `an Event about ${what} ${refusal === undefined ? "can be made" : "can't be made"}`,
      async () => {
        const { status, text } = await asker.tell(event);
        assertEquals(status, refusal === undefined ? 201 : 403, text);
        if (refusal !== undefined) assertStringIncludes(text, refusal);
      },
    );
  }

  for (const row of rows) {
    await t.step(
      `${row.what} ${row.refusal === undefined ? "can be written" : "can't be written"}`,
      async () => {
        const { status, text } = await asker.patch(row);
        assertEquals(status, row.refusal === undefined ? 200 : 403, text);
        if (row.refusal !== undefined) assertStringIncludes(text, row.refusal);
      },
    );
  }
});
