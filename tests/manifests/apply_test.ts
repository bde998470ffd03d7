import { assertEquals } from "@std/assert";
import type { PodSpec } from "kubernetes-types/core/v1";
import type { TestApiServer } from "../double/api_server.ts";
import { onTheRealServer, until, useRealServer } from "../registry/kube/servers.ts";
import { renderObjects } from "./chart.ts";
import { kubectl } from "./kubectl.ts";
import {
  ACCOUNT,
  type DaemonSet,
  type KubeObject,
  manifestPath,
  only,
  readObjects,
  verbsOf,
} from "./objects.ts";

useRealServer();

const MANIFEST = manifestPath("kube-flannel.yml");
const APPLY = ["apply", "--server-side", "--force-conflicts", "--output=name"];
const FLANNEL = new URL("flannel.yml", import.meta.url).pathname;
const objects = await readObjects("kube-flannel.yml");

async function get<T extends KubeObject>(server: TestApiServer, { kind, metadata }: KubeObject): Promise<T> {
  const args = ["get", kind, metadata.name, "--namespace=kube-flannel", "--output=json"];
  return JSON.parse(await kubectl(args, server));
}

/** Makes the namespace, which a dry run does not. */
async function applyNamespace(server: TestApiServer): Promise<void> {
  await kubectl(
    [...APPLY, `--filename=${MANIFEST}`, "--selector=pod-security.kubernetes.io/enforce"],
    server,
  );
}

/** What of a pod an apply could mix up: lists that are merged by a key. */
function listsOf({ initContainers = [], containers, volumes = [] }: PodSpec): unknown {
  return {
    containers: [...initContainers, ...containers].map((
      { name, image, command, args, env, volumeMounts },
    ) => ({
      name,
      image,
      command,
      args,
      env: env?.map(({ name }) => name),
      mounts: volumeMounts?.map(({ mountPath }) => mountPath),
    })),
    volumes: volumes.map(({ name, hostPath }) => [name, hostPath?.type]),
  };
}

onTheRealServer("an API server takes each object, and knows every field", async (server) => {
  await applyNamespace(server);
  const said = await kubectl([...APPLY, `--filename=${MANIFEST}`, "--dry-run=server"], server);
  assertEquals(
    said.trim().split("\n").map((line) => line.split("/")[1]!.split(" ")[0]),
    objects.map(({ metadata }) => metadata.name),
  );
});

const charts: [name: string, values: unknown][] = [
  ["without values", {}],
  ["with secrets, a digest and both families", {
    global: { imagePullSecrets: [{ name: "registry" }] },
    podCidrv6: "fd00:10:244::/48",
    flannel: {
      nodeSelector: { "kubernetes.io/arch": "arm64" },
      image: { digest: `sha256:${"0".repeat(64)}` },
    },
    serviceAccount: { annotations: { "example.com/role": "r" } },
  }],
  ["without health checks and a conflist", {
    flannel: { healthz: { port: 0 }, skipCNIConfigInstallation: true, resources: null, tolerations: [] },
  }],
];

for (const [name, values] of charts) {
  onTheRealServer(`an API server takes the chart ${name}`, async (server) => {
    const path = await Deno.makeTempFile({ prefix: "loden-chart-", suffix: ".json" });
    try {
      const rendered = await renderObjects(values);
      await Deno.writeTextFile(path, rendered.map((object) => JSON.stringify(object)).join("\n"));
      await applyNamespace(server);
      const said = await kubectl([...APPLY, `--filename=${path}`, "--dry-run=server"], server);
      assertEquals(said.trim().split("\n").length, rendered.length);
    } finally {
      await Deno.remove(path);
    }
  });
}

onTheRealServer(
  "kubectl apply puts Loden in flannel's place, and leaves nothing of flannel's",
  async (server) => {
    await kubectl(["apply", `--filename=${FLANNEL}`], server);
    const before = await get(server, only("DaemonSet", objects));
    await kubectl(["apply", `--filename=${MANIFEST}`], server);
    const after = await get<DaemonSet>(server, only("DaemonSet", objects));
    assertEquals(uidOf(after), uidOf(before));
    assertEquals(
      listsOf(after.spec.template.spec!),
      listsOf(only<DaemonSet>("DaemonSet", objects).spec.template.spec!),
    );
    assertEquals(
      verbsOf(await get(server, only("ClusterRole", objects))),
      verbsOf(only("ClusterRole", objects)),
    );
  },
);

function uidOf({ metadata }: KubeObject): unknown {
  return (metadata as { uid?: string }).uid;
}

const rights: [verb: string, resource: string, isAllowed: boolean, why: string][] = [
  ["get", "nodes", true, "its own node is read"],
  ["list", "nodes", true, "the others are read"],
  ["watch", "nodes", true, "the others are followed"],
  ["patch", "nodes/status", true, "its lease and the condition are written"],
  ["patch", "nodes", false, "labels and taints are not its own"],
  ["update", "nodes/status", false, "it patches"],
  ["delete", "nodes", false, "it deletes none"],
  ["get", "pods", true, "flannel's agents beside it, with the same account, look at their own pods"],
  ["list", "pods", false, "nobody looks at others"],
  ["get", "secrets", false, "it has none"],
  ["create", "events", true, "what stands in its way is an Event of the node"],
  ["patch", "events", false, "it writes each anew"],
  ["list", "events", false, "it reads none"],
];

onTheRealServer("the service account may do what the agent does, and no more", async (server) => {
  await kubectl(["apply", `--filename=${MANIFEST}`], server);
  const can = async (verb: string, resource: string) => {
    const [name, subresource] = resource.split("/");
    const args = ["auth", "can-i", verb, name!, ...subresource ? [`--subresource=${subresource}`] : []];
    try {
      await kubectl([...args, `--as=${ACCOUNT}`], server);
      return true;
    } catch (error) {
      if (/\sno$/.test((error as Error).message)) return false;
      throw error;
    }
  };
  await until("see the role take effect", async () => await can("get", "nodes") || undefined);
  const answers = [];
  for (const [verb, resource, , why] of rights) {
    answers.push([verb, resource, await can(verb, resource), why]);
  }
  assertEquals(answers, rights);
});
