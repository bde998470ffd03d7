import { isFile, kubeApiServerPath } from "../../.ci/kube_apiserver.ts";
import type { Json } from "./api_objects.ts";
import { FLANNEL_RULES, type TestApiServer, TOKENS } from "./api_server.ts";
import { type Authority, makeAuthority, makeRsaKey } from "./certificates.ts";
import { EtcdServer } from "./etcd.ts";
import { freePort, ServerProcess } from "./server_process.ts";

/** The user that the agent's rules are for. */
const AGENT = "agent";

/** The minor version of Kubernetes 1 from which nodes have podCIDRs of both families unasked; later the gate is gone. */
const DUAL_STACK_MINOR = 21;

/** The flags that a version of the program needs besides those that all know. */
async function gatesOf(program: string): Promise<string[]> {
  const { stdout } = await new Deno.Command(program, {
    args: ["--version"],
    stdin: "null",
    stderr: "inherit",
  })
    .output();
  const text = new TextDecoder().decode(stdout).trim();
  const minor = /^Kubernetes v1\.(\d+)/.exec(text)?.[1];
  if (minor === undefined) throw new Error(`Cannot tell the version of ${program}: it says "${text}"`);
  return Number(minor) < DUAL_STACK_MINOR ? ["--feature-gates", "IPv6DualStack=true"] : [];
}

/** A real kube-apiserver with an etcd of its own, both on the loopback. */
export class KubeApiServer implements TestApiServer {
  readonly tokens = TOKENS;
  readonly #process: ServerProcess;
  readonly #client: Deno.HttpClient;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    readonly port: number,
    readonly caFile: string,
    /** Issues certificates that the server knows clients by. */
    readonly authority: Authority,
    /** What it keeps all in. */
    readonly etcd: EtcdServer,
    client: Deno.HttpClient,
    command: readonly string[],
    folder: string,
    stack: AsyncDisposableStack,
  ) {
    this.#client = client;
    this.#stack = stack;
    this.#process = stack.use(
      new ServerProcess(command, `${folder}/log`, async () => {
        // It says that it is ready about 100 ms before it has made the namespace that events are written to.
        for (const path of ["/readyz", "/api/v1/namespaces/default"]) {
          const response = await this.#fetch("GET", path);
          await response.body?.cancel();
          if (!response.ok) return false;
        }
        return true;
      }),
    );
  }

  /** @param addresses Other addresses that it is reached at, for its certificate. */
  static async open(
    { addresses = [] }: { readonly addresses?: readonly string[] } = {},
  ): Promise<KubeApiServer> {
    await using stack = new AsyncDisposableStack();
    const program = await kubeApiServerPath();
    const folder = await Deno.makeTempDir({ prefix: "loden-kube-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const beside = program.replace(/[^/]*$/, "etcd");
    const etcd = stack.use(await EtcdServer.open(await isFile(beside) ? { program: beside } : {}));
    const authority = await makeAuthority(folder);
    const server = await authority.issue({
      name: "server",
      commonName: "kube-apiserver",
      addresses: ["127.0.0.1", ...addresses],
    });
    const tokens = [
      `${TOKENS.admin},admin,1,"system:masters"`,
      `${TOKENS.agent},${AGENT},2`,
      `${TOKENS.nobody},nobody,3`,
    ];
    await Deno.writeTextFile(`${folder}/tokens.csv`, `${tokens.join("\n")}\n`);
    const accountKey = `${folder}/account.key`;
    await makeRsaKey(accountKey);
    const port = freePort();
    const client = stack.adopt(
      Deno.createHttpClient({ caCerts: [authority.caPem] }),
      (client) => client.close(),
    );
    const kube = new KubeApiServer(
      port,
      authority.caFile,
      authority,
      etcd,
      client,
      [
        ...[
          program,
          "--etcd-servers",
          etcd.url,
          "--bind-address",
          "127.0.0.1",
          "--secure-port",
          String(port),
        ],
        ...[
          "--advertise-address",
          "192.0.2.254",
          "--tls-cert-file",
          server.certFile,
          "--tls-private-key-file",
          server.keyFile,
        ],
        ...["--client-ca-file", authority.caFile, "--token-auth-file", `${folder}/tokens.csv`],
        ...["--authorization-mode", "RBAC", "--disable-admission-plugins", "ServiceAccount"],
        ...await gatesOf(program),
        ...[
          "--service-account-issuer",
          "https://kubernetes.default.svc",
          "--service-cluster-ip-range",
          "10.96.0.0/16",
        ],
        ...[
          "--service-account-key-file",
          accountKey,
          "--service-account-signing-key-file",
          accountKey,
        ],
      ],
      folder,
      stack.move(),
    );
    try {
      await kube.start();
      await kube.#bindAgent();
      await kube.permitAgent(FLANNEL_RULES);
      return kube;
    } catch (error) {
      await kube[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  start(): Promise<void> {
    return this.#process.start();
  }

  stop(): Promise<void> {
    return this.#process.stop("SIGKILL");
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Sends it a signal. */
  signal(name: Deno.Signal): void {
    this.#process.signal(name);
  }

  /** Goes back to what `etcd.backUp()` has kept, as an operator does: the server is started anew behind it. */
  async restore(file: string): Promise<void> {
    await this.stop();
    await this.etcd.restore(file);
    await this.start();
  }

  async createNode(node: Json): Promise<void> {
    const { status, ...others } = node;
    await this.#ask("POST", "/api/v1/nodes", { kind: "Node", apiVersion: "v1", ...others });
    if (status === undefined) return;
    await this.patchNode((node.metadata as Json).name as string, { status }, "status");
  }

  async patchNode(name: string, patch: Json, subresource?: "status"): Promise<void> {
    await this.#ask("PATCH", `/api/v1/nodes/${name}${subresource ? `/${subresource}` : ""}`, patch);
  }

  async deleteNode(name: string): Promise<void> {
    await this.#ask("DELETE", `/api/v1/nodes/${name}`);
  }

  async node(name: string): Promise<Json | undefined> {
    const response = await this.#fetch("GET", `/api/v1/nodes/${name}`);
    const node = await response.json();
    return response.ok ? node : undefined;
  }

  async createPod(namespace: string, name: string, nodeName: string): Promise<void> {
    const spec = { nodeName, containers: [{ name: "c", image: "none" }] };
    await this.#ask("POST", `/api/v1/namespaces/${namespace}/pods`, {
      kind: "Pod",
      apiVersion: "v1",
      metadata: { name },
      spec,
    });
  }

  async events(): Promise<readonly Json[]> {
    const { items } = await this.#ask("GET", "/api/v1/namespaces/default/events") as { items: Json[] };
    return items;
  }

  async permitAgent(rules: Readonly<Record<string, readonly string[]>>): Promise<void> {
    await this.#ask("PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/agent", {
      rules: Object.entries(rules).map(([resource, verbs]) => ({
        apiGroups: [""],
        resources: [resource],
        verbs,
      })),
    });
    // The authorizer learns of it a moment later: once it agrees with the rules, it has.
    for (;;) {
      const answers = await Promise.all(["get", "list", "watch"].map(async (verb) => {
        const review = {
          apiVersion: "authorization.k8s.io/v1",
          kind: "SubjectAccessReview",
          spec: { user: AGENT, resourceAttributes: { verb, resource: "nodes" } },
        };
        const { status } = await this.#ask(
          "POST",
          "/apis/authorization.k8s.io/v1/subjectaccessreviews",
          review,
        ) as { status: { allowed: boolean } };
        return status.allowed === (rules["nodes"]?.includes(verb) ?? false);
      }));
      if (answers.every((isAsAsked) => isAsAsked)) return;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  async #bindAgent(): Promise<void> {
    const api = "/apis/rbac.authorization.k8s.io/v1";
    const apiGroup = "rbac.authorization.k8s.io";
    await this.#ask("POST", `${api}/clusterroles`, { metadata: { name: AGENT }, rules: [] });
    await this.#ask("POST", `${api}/clusterrolebindings`, {
      metadata: { name: AGENT },
      roleRef: { apiGroup, kind: "ClusterRole", name: AGENT },
      subjects: [{ apiGroup, kind: "User", name: AGENT }],
    });
  }

  async #ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await this.#fetch(method, path, body);
    const answer = await response.json();
    if (!response.ok) throw new Error(`Cannot ${method} ${path}: ${JSON.stringify(answer)}`);
    return answer;
  }

  #fetch(method: string, path: string, body?: unknown): Promise<Response> {
    const type = method === "PATCH" && path.startsWith("/api/v1/")
      ? "application/strategic-merge-patch+json"
      : method === "PATCH"
      ? "application/merge-patch+json"
      : "application/json";
    return fetch(this.url + path, {
      method,
      client: this.#client,
      headers: { authorization: `Bearer ${TOKENS.admin}`, "content-type": type },
      ...body !== undefined && { body: JSON.stringify(body) },
    });
  }
}
