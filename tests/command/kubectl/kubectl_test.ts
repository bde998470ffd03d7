import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { compiledBinary } from "../../../.ci/binary.ts";
import { UsageError } from "../../../src/config/usage_error.ts";
import { runKubectl } from "../../../src/command/kubectl/kubectl.ts";
import type { Output } from "../../../src/command/output.ts";
import { Libc } from "../../../src/linux/libc.ts";
import { serveStatus } from "../../../src/status/server.ts";
import type { Json } from "../../double/api_objects.ts";
import type { KubeApiServer } from "../../double/kube_apiserver.ts";
import { READY, standing } from "../../status/facts.ts";
import { bareNode, memberNode, onTheRealServer, signal, useRealServer } from "../../registry/kube/servers.ts";

useRealServer();

const NAMESPACE = "kube-flannel";
/** An API server connects to no pod at the loopback: an address of this machine, which is reached over it all the same. */
const MACHINE =
  Deno.networkInterfaces().find(({ family, address }) => family === "IPv4" && !address.startsWith("127."))
    ?.address ?? "";
/** An agent that hangs is given 3 s; a busy machine needs more for the rest. */
const HUNG_MS = 10_000;

const network = (status: "True" | "False", message = "") => ({
  conditions: [{
    type: "NetworkUnavailable",
    status,
    reason: status === "True" ? "FlannelIsDown" : "FlannelIsUp",
    message,
  }],
});

/** Asks the server as its administrator. */
async function ask(server: KubeApiServer, method: string, path: string, body: Json): Promise<void> {
  using client = Deno.createHttpClient({ caCerts: [await Deno.readTextFile(server.caFile)] });
  const type = method === "PATCH" ? "application/strategic-merge-patch+json" : "application/json";
  const response = await fetch(server.url + path, {
    method,
    client,
    headers: { authorization: `Bearer ${server.tokens.admin}`, "content-type": type },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  assert(response.ok || response.status === 409, text);
}

/** Makes the pod of an agent, as a DaemonSet and kubelet would. */
async function makePod(
  server: KubeApiServer,
  { node, image, args, restartCount = 0 }: {
    readonly node: string;
    readonly image: string;
    readonly args: readonly string[];
    readonly restartCount?: number;
  },
): Promise<void> {
  await ask(server, "POST", "/api/v1/namespaces", { metadata: { name: NAMESPACE } });
  const name = `agent-${node}`;
  const pods = `/api/v1/namespaces/${NAMESPACE}/pods`;
  await ask(server, "POST", pods, {
    metadata: { name, labels: { app: "flannel" } },
    spec: {
      nodeName: node,
      hostNetwork: true,
      containers: [{ name: "kube-flannel", image, args: [...args] }],
    },
  });
  const containerStatuses = [{
    name: "kube-flannel",
    ready: true,
    restartCount,
    image,
    imageID: image,
    state: { running: {} },
    lastState: {},
  }];
  await ask(server, "PATCH", `${pods}/${name}/status`, {
    status: { phase: "Running", podIP: MACHINE, podIPs: [{ ip: MACHINE }], containerStatuses },
  });
}

async function removePods(server: KubeApiServer): Promise<void> {
  using client = Deno.createHttpClient({ caCerts: [await Deno.readTextFile(server.caFile)] });
  const response = await fetch(`${server.url}/api/v1/namespaces/${NAMESPACE}/pods?gracePeriodSeconds=0`, {
    method: "DELETE",
    client,
    headers: { authorization: `Bearer ${server.tokens.admin}` },
  });
  await response.body?.cancel();
}

/** A kubeconfig of a user of the server. */
async function kubeconfig(
  server: KubeApiServer,
  folder: string,
  token: string = server.tokens.admin,
): Promise<string> {
  const path = `${folder}/config-${token}`;
  await Deno.writeTextFile(
    path,
    JSON.stringify({
      "current-context": "test",
      clusters: [{ name: "test", cluster: { server: server.url, "certificate-authority": server.caFile } }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
      users: [{ name: "test", user: { token } }],
    }),
  );
  return path;
}

/** Runs `kubectl loden` with words. */
async function run(...args: string[]): Promise<{ code: number; text: string }> {
  const said: string[] = [];
  const output = { say: (text: string) => said.push(text) } as unknown as Output;
  const code = await runKubectl(args, { output, signal }, {});
  return { code, text: said.join("\n") };
}

/** A cluster of nodes in all states, and agents that answer, hang and can't be asked. */
async function withCluster(
  server: KubeApiServer,
  test: (config: string, folder: string) => Promise<void>,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "loden-kubectl-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  using libc = new Libc();
  const serve = (conditions: Parameters<typeof standing>) => {
    const facts = { ...READY, conditions: () => standing(...conditions) };
    return stack.use(serveStatus(() => facts, { hostname: MACHINE, port: 0, libc }));
  };
  const [well, ill] = [serve([]), serve([["lease-missing", "this host has no lease"]])];
  const hung = Deno.listen({ hostname: MACHINE, port: 0 });
  stack.defer(() => hung.close());
  stack.defer(() => removePods(server));
  const loden = "ghcr.io/loden/loden:v0.1.0";
  const flags = (port: number) => [`--healthz-port=${port}`];
  const node = (name: string, number: number, status: object) =>
    server.createNode({ ...memberNode(name, `10.244.${number}.0/24`, `192.0.2.${number}`), status } as Json);
  await node("n1", 1, network("False"));
  await makePod(server, { node: "n1", image: loden, args: flags(well.port), restartCount: 2 });
  await node("n2", 2, network("True", "this host has no lease"));
  await makePod(server, { node: "n2", image: loden, args: flags(ill.port) });
  await node("n3", 3, network("False"));
  await makePod(server, { node: "n3", image: loden, args: flags((hung.addr as Deno.NetAddr).port) });
  await node("n4", 4, network("False"));
  await makePod(server, { node: "n4", image: "docker.io/flannel/flannel:v0.28.0", args: ["--ip-masq"] });
  await server.createNode(bareNode("n5"));
  await test(await kubeconfig(server, folder), folder);
}

const rowOf = (text: string, name: string) =>
  text.split("\n").find((line) => line.startsWith(`${name} `)) ?? "";

onTheRealServer(
  "kubectl loden status tells one line a node, those that are not ready first",
  async (server) => {
    await withCluster(server, async (config) => {
      const { code, text } = await run("status", `--kubeconfig=${config}`);
      assertEquals(code, 1);
      const lines = text.split("\n");
      assertMatch(
        lines[0]!,
        /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ 5 nodes at https:\/\/127\.0\.0\.1:\d+: 2 NOT READY$/,
      );
      assertEquals(lines.slice(2).map((line) => line.split(" ")[0]), ["n2", "n5", "n1", "n3", "n4"]);
      assertMatch(
        rowOf(text, "n2"),
        /^n2 +NOT READY +10\.244\.2\.0\/24 +192\.0\.2\.2 +vxlan +loden +Running +FlannelIsDown: this host has no lease$/,
      );
      assertMatch(
        rowOf(text, "n1"),
        /^n1 +ready +10\.244\.1\.0\/24 +192\.0\.2\.1 +vxlan +loden +Running, 2 restarts$/,
      );
      assertMatch(rowOf(text, "n4"), / flannel +Running$/);
      assertMatch(rowOf(text, "n5"), /^n5 +unknown +- +- +- +- +- +no agent has been there$/);
    });
  },
);

onTheRealServer(
  "kubectl loden status --peers asks each agent, and one that hangs hides no other",
  async (server) => {
    await withCluster(server, async (config) => {
      const began = performance.now();
      const { code, text } = await run("status", "--peers", `--kubeconfig=${config}`);
      assert(performance.now() - began < HUNG_MS, `${performance.now() - began} ms`);
      assertEquals(code, 1);
      // A flanneld is no fault, and neither is a node without an agent's pod.
      assertMatch(text, /^\S+ 5 nodes at \S+: 3 NOT READY; 2 agents can't be asked\n/);
      assertMatch(rowOf(text, "n1"), /Running, 2 restarts +\d{4}\S+Z +-$/);
      assertMatch(rowOf(text, "n2"), /this host has no lease; its agent says NOT READY: lease-missing$/);
      assertMatch(
        rowOf(text, "n3"),
        /its agent has not answered within 3 s; ask it there: kubectl exec -n kube-flannel agent-n3 -- loden status$/,
      );
      assertMatch(rowOf(text, "n4"), / flanneld tells nothing of itself$/);
      assertMatch(rowOf(text, "n5"), /no agent has been there; no pod of an agent is there$/);
    });
  },
);

onTheRealServer("kubectl loden status NODE tells what loden status tells on that host", async (server) => {
  await withCluster(server, async (config) => {
    const one = await run("status", "n1", `--kubeconfig=${config}`);
    assertEquals(one.code, 0);
    assertMatch(one.text, /1 node at \S+: all ready\n/);
    assertMatch(one.text, /\n\nn1:\n\S+Z ready\n {2}host +192\.0\.2\.1, loden 0/);
    const two = await run("status", "n1", "n2", `--kubeconfig=${config}`);
    assertEquals(two.code, 1);
    assertMatch(two.text, /\n\nn2:\n\S+Z NOT READY: lease-missing\n/);
    assertStringIncludes(two.text, "blocking: lease-missing, for");
    await assertRejects(
      () => run("status", "n9", `--kubeconfig=${config}`),
      Error,
      'Cannot tell of node "n9"',
    );
  });
});

onTheRealServer("kubectl loden status --json has what the text has", async (server) => {
  await withCluster(server, async (config) => {
    const { text } = await run("status", "n1", "n4", "--json", `--kubeconfig=${config}`);
    const { server: url, nodes: [n1, n4] } = JSON.parse(text);
    assertEquals(url, server.url);
    assertEquals([n1.name, n1.network, n1.agent, n1.well, n1.answer.status.ready], [
      "n1",
      "ready",
      "loden",
      true,
      true,
    ]);
    assertEquals([n4.agent, n4.well, n4.pods[0].health], ["flannel", true, "serves no health"]);
  });
});

onTheRealServer("kubectl loden status tells of nodes to a user who may not see pods", async (server) => {
  await withCluster(server, async (_, folder) => {
    const config = await kubeconfig(server, folder, server.tokens.agent);
    await server.permitAgent({ nodes: ["get", "list", "watch"] });
    const { text } = await run("status", `--kubeconfig=${config}`);
    assertMatch(text, /\nagents' pods are not known: pods is forbidden: User "agent" cannot list/);
    assertMatch(rowOf(text, "n1"), /^n1 +ready /);
    await assertRejects(
      async () =>
        await run("status", `--kubeconfig=${await kubeconfig(server, folder, server.tokens.nobody)}`),
      Error,
      'nodes is forbidden: User "nobody" cannot list',
    );
    const stale = await kubeconfig(server, folder, "stale");
    await assertRejects(
      () => run("status", `--kubeconfig=${stale}`),
      Error,
      `answers: Unauthorized; the token or certificate is not accepted there: is it of this cluster, and still valid? look at ${stale}`,
    );
  });
});

onTheRealServer("kubectl runs the binary as its plugin", async (server) => {
  await withCluster(server, async (config, folder) => {
    const bin = `${folder}/bin`;
    await Deno.mkdir(bin);
    await Deno.symlink(await compiledBinary(), `${bin}/kubectl-loden`);
    const { code, stdout, stderr } = await new Deno.Command("kubectl", {
      args: ["loden", "status", "n1"],
      env: { PATH: `${bin}:${Deno.env.get("PATH")}`, KUBECONFIG: config, NO_COLOR: "1" },
    }).output();
    const [said, wrong] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals([code, wrong], [0, ""], said);
    assertMatch(said!, /^\S+Z 1 node at https:\/\/127\.0\.0\.1:\d+: all ready\n/);
    assertMatch(said!, /\nn1:\n\S+Z ready\n/);
  });
});

onTheRealServer(
  "kubectl loden status asks through kubectl proxy, whoever its user is known by",
  async (server) => {
    await withCluster(server, async (config, folder) => {
      const proxy = new Deno.Command("kubectl", {
        args: ["proxy", "--port=0", `--kubeconfig=${config}`],
        env: { HOME: folder },
        stdout: "piped",
        stderr: "null",
      }).spawn();
      try {
        const reader = proxy.stdout.pipeThrough(new TextDecoderStream()).getReader();
        const { value = "" } = await reader.read();
        const [, address] = /serve on (\S+)/.exec(value) ?? [];
        const { code, text } = await run("status", "n1", `--server=http://${address}`);
        assertEquals(code, 0, text);
        assertMatch(text, /\n\nn1:\n\S+Z ready\n/);
        await reader.cancel();
      } finally {
        proxy.kill("SIGKILL");
        await proxy.status;
      }
    });
  },
);

for (const args of [[], ["nodes"], ["status", "--annotation-prefix=-"]]) {
  Deno.test(`kubectl loden ${args.join(" ")} is refused`, async () => {
    await assertRejects(() => run(...args), UsageError);
  });
}

Deno.test("kubectl loden help tells its help", async () => {
  for (const words of [["help"], ["--help"], ["status", "--help"]]) {
    const { code, text } = await run(...words);
    assertEquals([code, text.split("\n")[0]], [0, "Usage: loden kubectl status [NODE]... [FLAGS]"]);
  }
});

Deno.test("kubectl loden status says that a server does not answer", async () => {
  await assertRejects(
    () => run("status", "--server=http://127.0.0.1:1"),
    Error,
    "the API server at 127.0.0.1:1 does not answer: Connection refused; look at --server",
  );
});
