import { parse } from "yaml";
import { KubeApiServer } from "../double/kube_apiserver.ts";
import type { PodObject } from "./daemon_set.ts";
import type { ClusterAccess } from "./volumes.ts";

/** Where pods find the API server, as in every cluster. */
export const SERVICE_HOST = "10.96.0.1";
export const SERVICE_PORT = 443;

/** An object of Kubernetes. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** A real API server, and what an administrator, controllers and kubelets do with it. */
export class TestCluster implements ClusterAccess, AsyncDisposable {
  readonly #client: Deno.HttpClient;
  readonly serviceHost = SERVICE_HOST;
  readonly servicePort = SERVICE_PORT;

  private constructor(readonly server: KubeApiServer, readonly caPem: string) {
    this.#client = Deno.createHttpClient({ caCerts: [caPem] });
  }

  static async open(): Promise<TestCluster> {
    const server = await KubeApiServer.open({ addresses: [SERVICE_HOST] });
    return new TestCluster(server, server.authority.caPem);
  }

  /**
   * Applies the objects of a file in their order, as `kubectl apply --server-side` does: a field that the API does not
   * know is an error. Returns them as the server keeps them.
   */
  async apply(yaml: string): Promise<readonly KubeObject[]> {
    const kept: KubeObject[] = [];
    for (const text of yaml.split(/^---$/m)) {
      const object = parse(text) as KubeObject | null;
      if (object === null) continue;
      const path = `${await this.#pathOf(object)}/${object.metadata.name}?fieldManager=test&force=true`;
      kept.push(await this.#ask("PATCH", path, text, "application/apply-patch+yaml") as KubeObject);
    }
    return kept;
  }

  /** Makes a pod, and returns it as the server keeps it. */
  async createPod(pod: PodObject): Promise<PodObject> {
    return await this.#ask("POST", await this.#pathOf(pod), JSON.stringify(pod)) as PodObject;
  }

  /** Deletes an object at once; a pod must have ended. */
  async delete(object: KubeObject): Promise<void> {
    await this.#ask("DELETE", `${await this.#pathOf(object)}/${object.metadata.name}?gracePeriodSeconds=0`);
  }

  async configMap(namespace: string, name: string): Promise<Readonly<Record<string, string>>> {
    const answer = await this.#ask("GET", `/api/v1/namespaces/${namespace}/configmaps/${name}`);
    return (answer as { data: Record<string, string> }).data;
  }

  async token(namespace: string, serviceAccount: string): Promise<string> {
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`;
    const request = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { audiences: null },
    };
    const answer = await this.#ask("POST", path, JSON.stringify(request));
    return (answer as { status: { token: string } }).status.token;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    await this.server[Symbol.asyncDispose]();
  }

  /** Where objects of a kind are: the server says it. */
  async #pathOf({ apiVersion, kind, metadata: { namespace } }: KubeObject): Promise<string> {
    const api = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const { resources } = await this.#ask("GET", api) as {
      resources: { name: string; kind: string; namespaced: boolean }[];
    };
    const found = resources.find((resource) => resource.kind === kind && !resource.name.includes("/"));
    if (found === undefined) throw new Error(`Cannot find ${kind} in ${apiVersion}: the API server has none`);
    return `${api}/${found.namespaced ? `namespaces/${namespace}/` : ""}${found.name}`;
  }

  async #ask(method: string, path: string, body?: string, type = "application/json"): Promise<unknown> {
    const response = await fetch(this.server.url + path, {
      method,
      client: this.#client,
      headers: { authorization: `Bearer ${this.server.tokens.admin}`, "content-type": type },
      ...body !== undefined && { body },
    });
    const answer = await response.json();
    if (!response.ok) {
      throw new Error(`Cannot ${method} ${path}: ${answer.message ?? JSON.stringify(answer)}`);
    }
    return answer;
  }
}
