import { shownUrl } from "../../log/shown_url.ts";
import { dirname, isAbsolute, join } from "node:path";
import { OddFileError } from "../../file/read_text.ts";
import { fileReason } from "../../file/file_reason.ts";
import { errorText } from "../../log/error_text.ts";
import type { TlsFiles, TlsTexts } from "../http/tls_client.ts";
import { parseProxy, type Proxy } from "../http/proxy.ts";
import { RegistryError } from "../registry_error.ts";
import { type Kubeconfig, kubeconfigOf } from "./kube_config_form.ts";

/** Where Kubernetes puts what a pod needs to reach the API server. */
const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
/** A larger file is no kubeconfig; one with certificates inside has some 6 KB. */
const MAX_KUBECONFIG_BYTES = 1024 * 1024;
/** What is wrong with a YAML file may quote it, and a word of it may be as long as the file. */
const MAX_REASON_CHARACTERS = 200;

/** How the API server is reached. */
export interface KubeAccess {
  /** Without a slash at its end: `https://10.96.0.1:443`. */
  readonly url: string;
  readonly tls: { readonly files?: TlsFiles; readonly texts?: TlsTexts };
  /** What it is asked through; that of the process's variables where absent. */
  readonly proxy?: Proxy;
  /** A file with the bearer token, which may be replaced at any time. */
  readonly tokenFile?: string;
  /** A bearer token; beside a file the one that counts while the file can't be read. */
  readonly token?: string;
  /** What to look at when the server does not answer. */
  readonly hint: string;
}

/** What finds the API server. */
export interface KubeConfigDeps {
  readonly readTextFile: (path: string) => Promise<string>;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * Finds out how the API server is reached: `-kube-api-url` and `-kubeconfig-file` as given, else as a pod is told,
 * else by `KUBECONFIG`.
 *
 * @throws {RegistryError} If that can't be found out, and what to do.
 */
export async function findApiServer(
  options: { readonly url: string; readonly kubeconfigFile: string },
  deps: KubeConfigDeps,
): Promise<KubeAccess> {
  const { environment } = deps;
  const url = options.url.replace(/\/+$/, "");
  if (url !== "" && withScheme(url, "http") === undefined) {
    throw new RegistryError(
      "find the API server",
      `-kube-api-url must begin with https:// or http://, is "${shownUrl(url)}"`,
    );
  }
  if (options.kubeconfigFile !== "") return await readKubeconfig(options.kubeconfigFile, url, deps);
  if (url !== "") return { url: withScheme(url, "http")!, tls: {}, hint: "look at -kube-api-url" };
  const host = environment["KUBERNETES_SERVICE_HOST"];
  const port = environment["KUBERNETES_SERVICE_PORT"] || "443";
  if (host) {
    return {
      url: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
      tls: { files: { caFile: `${SERVICE_ACCOUNT}/ca.crt` } },
      tokenFile: `${SERVICE_ACCOUNT}/token`,
      hint: "is the API server up, and kube-proxy at work on this host? KUBERNETES_SERVICE_HOST and " +
        "KUBERNETES_SERVICE_PORT can name the API server itself",
    };
  }
  if (environment["KUBECONFIG"]) return await readKubeconfig(environment["KUBECONFIG"], url, deps);
  throw new RegistryError(
    "find the API server",
    "this is no pod of Kubernetes (KUBERNETES_SERVICE_HOST is not set); name it with -kubeconfig-file or -kube-api-url",
  );
}

/** A host, perhaps with a port, as client-go takes it in place of a URL. */
const HOST = /^(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;

/** The URL of a server whose scheme may be left out; `undefined` if it is none. */
export function withScheme(server: string, scheme: "http" | "https"): string | undefined {
  const url = HOST.test(server) ? `${scheme}://${server}` : server;
  return /^https?:\/\/[^/]/i.test(url) && URL.canParse(url) ? url : undefined;
}

async function readKubeconfig(path: string, url: string, deps: KubeConfigDeps): Promise<KubeAccess> {
  return await readKubeconfigs([path], { url, context: "" }, deps);
}

/** Which server of a kubeconfig is meant. */
export interface KubeconfigChoice {
  /** Stands in for the server of the cluster; empty for that. */
  readonly url: string;
  /** Empty for the current one. */
  readonly context: string;
  /** What a person names another file and another server with; the agent's flags if absent. */
  readonly flags?: typeof AGENT_FLAGS;
}

const AGENT_FLAGS: { readonly file: string; readonly server: string; readonly others: string } = {
  file: "-kubeconfig-file",
  server: "-kube-api-url",
  others: "use a token or certificate",
};

/**
 * How the API server is reached that kubeconfigs name, as kubectl reads several: what a name stands for the first file
 * says that has it, and each file must be there.
 *
 * @throws {RegistryError} If they don't say it, and what to do.
 */
export async function readKubeconfigs(
  paths: readonly string[],
  { url, context: asked, flags = AGENT_FLAGS }: KubeconfigChoice,
  deps: KubeConfigDeps,
): Promise<KubeAccess> {
  const shown = paths.join(" and ");
  const refuse = (reason: string) => new RegistryError(`use the kubeconfig ${shown}`, reason);
  const configs = await Promise.all(
    paths.map(async (path) => ({ ...await parseKubeconfig(path, flags, deps, refuse), path })),
  );
  const config = {
    "current-context": configs.map((one) => one["current-context"]).find((name) => name),
    contexts: configs.flatMap(({ contexts }) => contexts ?? []),
    clusters: configs.flatMap(({ clusters, path }) => (clusters ?? []).map((one) => ({ ...one, path }))),
    users: configs.flatMap(({ users, path }) => (users ?? []).map((one) => ({ ...one, path }))),
  };
  const contextName = asked || (config["current-context"] ?? "");
  const context = config.contexts.find(({ name }) => name === contextName)?.context;
  if (contextName !== "" && context === undefined) throw refuse(`it has no context "${contextName}"`);
  if (context === undefined && url === "") {
    throw refuse(`it has no current-context; name the server with ${flags.server}`);
  }
  const { cluster, path: clusterPath } = config.clusters.find(({ name }) => name === context?.cluster) ?? {};
  if (context !== undefined && cluster === undefined) throw refuse(`it has no cluster "${context.cluster}"`);
  const found = config.users.find(({ name }) => name === context?.user);
  const user = found?.user ?? {};
  if (context?.user && found === undefined) throw refuse(`it has no user "${context.user}"`);
  if (cluster?.["insecure-skip-tls-verify"]) {
    throw refuse("insecure-skip-tls-verify is not supported; name the authority of the server's certificate");
  }
  if ((user.exec ?? user["auth-provider"] ?? null) !== null) {
    throw refuse(
      `a user that is known by a program (exec, auth-provider) is not supported; ${flags.others}`,
    );
  }
  if (user.username) {
    throw refuse(`user name and password are not supported; ${flags.others}`);
  }
  refuseActing(user, flags, refuse);
  const named = url || cluster?.server?.replace(/\/+$/, "");
  if (!named) throw refuse(`its cluster "${context?.cluster}" has no server`);
  const file = (path: string | undefined, name: string | null | undefined) =>
    name && (isAbsolute(name) ? name : join(dirname(path!), name));
  const text = (key: string, base64: string | null | undefined) => base64 && fromBase64(key, base64, refuse);
  // Texts in the file are stronger than files that it names, as with kubectl.
  const ca = text("certificate-authority-data", cluster?.["certificate-authority-data"]);
  const cert = text("client-certificate-data", user["client-certificate-data"]);
  const key = text("client-key-data", user["client-key-data"]);
  const caFile = ca ? undefined : file(clusterPath, cluster?.["certificate-authority"]);
  const certFile = cert ? undefined : file(found?.path, user["client-certificate"]);
  const keyFile = key ? undefined : file(found?.path, user["client-key"]);
  const tokenFile = file(found?.path, user.tokenFile);
  // As client-go does where the scheme is missing.
  const server = withScheme(named, ca || cert || caFile || certFile ? "https" : "http");
  if (server === undefined) {
    throw refuse(`the server must begin with https:// or http://, is "${shownUrl(named)}"`);
  }
  refuseOtherName(server, cluster?.["tls-server-name"], refuse);
  const proxy = cluster?.["proxy-url"] ? proxyOf(cluster["proxy-url"], refuse) : undefined;
  const hint = `look at ${shown}`;
  // As with client-go no token goes over a connection that others can read, unless somebody has written http:// for it.
  if (/^http:/i.test(server) && !/^http:/i.test(named)) {
    return { url: server, ...proxy && { proxy }, tls: {}, hint };
  }
  return {
    url: server,
    ...proxy && { proxy },
    tls: {
      files: { ...caFile && { caFile }, ...certFile && { certFile }, ...keyFile && { keyFile } },
      texts: { ...ca && { ca }, ...cert && { cert }, ...key && { key } },
    },
    ...user.token && { token: user.token },
    ...tokenFile && { tokenFile },
    hint,
  };
}

type User = NonNullable<NonNullable<Kubeconfig["users"]>[number]["user"]>;

function refuseActing(
  user: Partial<User>,
  flags: typeof AGENT_FLAGS,
  refuse: (reason: string) => RegistryError,
): void {
  const acting = (["as", "as-uid", "as-groups", "as-user-extra"] as const).find((key) =>
    Object.keys(Object(user[key] || undefined)).length > 0
  );
  if (acting !== undefined) {
    const whom = acting === "as" ? `as: ${user.as}` : acting;
    throw refuse(`acting as another (${whom}) is not supported; ${flags.others}`);
  }
}

async function parseKubeconfig(
  path: string,
  flags: typeof AGENT_FLAGS,
  deps: KubeConfigDeps,
  refuse: (reason: string) => RegistryError,
): Promise<Kubeconfig> {
  let text: string;
  try {
    text = await deps.readTextFile(path);
  } catch (error) {
    const reason = `${fileReason(error)}${error instanceof OddFileError ? "" : "; write it"}`;
    throw refuse(`${reason}, or name another with ${flags.file}`);
  }
  // Text of UTF-16 has a zero beside each letter of ASCII.
  if (text.includes("\0")) throw refuse("it is not UTF-8 text (UTF-16?); write it as UTF-8");
  if (text.length > MAX_KUBECONFIG_BYTES) throw refuse(`it has more than ${MAX_KUBECONFIG_BYTES} bytes`);
  // Only hosts that are no pods need YAML.
  const { readGoYaml } = await import("./go_yaml.ts");
  let value: unknown;
  try {
    value = readGoYaml(text);
  } catch (error) {
    throw refuse(`it is not YAML: ${errorText(error).slice(0, MAX_REASON_CHARACTERS)}`);
  }
  return kubeconfigOf(value, refuse);
}

function refuseOtherName(
  server: string,
  name: string | null | undefined,
  refuse: (reason: string) => RegistryError,
): void {
  const { hostname, port } = new URL(server);
  if (!name || name === hostname) return;
  throw refuse(
    `tls-server-name is not supported: name the server as its certificate does, as ` +
      `https://${name}:${port || 443}, and have that name looked up (/etc/hosts)`,
  );
}

function proxyOf(text: string, refuse: (reason: string) => RegistryError): Proxy {
  try {
    return parseProxy(text, "proxy-url of the kubeconfig");
  } catch (error) {
    throw refuse(errorText(error));
  }
}

function fromBase64(key: string, base64: string, refuse: (reason: string) => RegistryError): string {
  try {
    return new TextDecoder().decode(Uint8Array.fromBase64(base64));
  } catch {
    throw refuse(`${key} is not base64`);
  }
}

/** The name of the own node, or the pod that runs there. */
export type NodeIdentity = { readonly nodeName: string } | {
  readonly podNamespace: string;
  readonly podName: string;
};

/** The name of the own node, from `NODE_NAME`, or `POD_NAME` and `POD_NAMESPACE` as flannel reads them. */
export function identityOf(
  environment: Readonly<Record<string, string | undefined>>,
): NodeIdentity {
  const { NODE_NAME: nodeName, POD_NAME: podName, POD_NAMESPACE: podNamespace } = environment;
  if (nodeName) return { nodeName };
  if (podName && podNamespace) return { podName, podNamespace };
  throw new RegistryError(
    "use the Kubernetes registry",
    "NODE_NAME, or POD_NAME and POD_NAMESPACE, must say which node this host is; set NODE_NAME",
  );
}
