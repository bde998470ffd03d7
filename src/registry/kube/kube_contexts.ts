import { delimiter } from "node:path";
import {
  findApiServer,
  type KubeAccess,
  type KubeConfigDeps,
  readKubeconfigs,
  withScheme,
} from "./kube_config.ts";
import { RegistryError } from "../registry_error.ts";

/** What a person at a terminal has named. */
export interface KubectlOptions {
  /** `--kubeconfig`; empty where none is named. */
  readonly kubeconfig: string;
  /** `--context`; empty for the current one. */
  readonly context: string;
  /** `--server`; empty for the cluster's own. */
  readonly server: string;
}

/** What a person at a terminal is told to name instead. */
const FLAGS = {
  file: "--kubeconfig",
  server: "--server",
  others: "use a token or certificate, or run 'kubectl proxy' and name it: --server=http://127.0.0.1:8001",
};

/**
 * Finds out how the API server is reached as kubectl does: by `--kubeconfig`, else all files of `KUBECONFIG`, else
 * `~/.kube/config`, else as a pod is told. A server without TLS, as that of `kubectl proxy`, is asked
 * without any of that.
 *
 * @throws {RegistryError} If that can't be found out, and what to do.
 */
export async function findCluster(
  { kubeconfig, context, server }: KubectlOptions,
  deps: KubeConfigDeps,
): Promise<KubeAccess> {
  const { environment } = deps;
  const read = (paths: readonly string[]) => readKubeconfigs(paths, { url, context, flags: FLAGS }, deps);
  const url = server.replace(/\/+$/, "");
  const whole = withScheme(url, "http");
  if (url !== "" && whole === undefined) {
    throw new RegistryError("find the API server", "--server must begin with https:// or http://");
  }
  const alone: KubeAccess = { url: whole ?? url, tls: {}, hint: "look at --server" };
  // Nobody's token goes over a connection that others can read; kubectl proxy needs none.
  if (url.startsWith("http://")) return alone;
  if (kubeconfig !== "") return await read([kubeconfig]);
  const named = (environment["KUBECONFIG"] ?? "").split(delimiter).filter((path) => path !== "");
  if (named.length > 0) {
    // Of several some may be missing, as for kubectl.
    const isPresent = await Promise.all(named.map((path) => isThere(path, deps)));
    const present = named.filter((_, at) => isPresent[at]);
    return await read(present.length > 0 ? present : named.slice(0, 1));
  }
  const home = environment["HOME"];
  const usual = home === undefined ? undefined : `${home}/.kube/config`;
  if (usual !== undefined && await isThere(usual, deps)) return await read([usual]);
  if (url !== "" && context === "") return alone;
  if (environment["KUBERNETES_SERVICE_HOST"]) {
    return await findApiServer({ url: "", kubeconfigFile: "" }, deps);
  }
  throw new RegistryError(
    "find the API server",
    `there is no kubeconfig${
      usual === undefined ? "" : ` at ${usual}`
    }; name one with --kubeconfig, or a server with --server`,
  );
}

async function isThere(path: string, { readTextFile }: KubeConfigDeps): Promise<boolean> {
  try {
    await readTextFile(path);
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound);
  }
}
