import { shownUrl } from "../log/shown_url.ts";
import { completeAnnotationPrefix } from "./annotation_prefix.ts";
import { type Flag, FLAG_GROUPS, variableOf } from "./flag.ts";
import type { FlagReading } from "./parse_flags.ts";
import { UsageError } from "./usage_error.ts";

const group = FLAG_GROUPS[3];

/** The flags that say where leases are agreed on. */
export const REGISTRY_FLAGS = [
  {
    name: "kube-subnet-mgr",
    kind: "boolean",
    group,
    default: false,
    help: "leases are annotations of Kubernetes nodes; else they are in etcd",
  },
  {
    name: "kube-api-url",
    kind: "string",
    group,
    default: "",
    value: "URL",
    help: "the API server, where this is no pod",
  },
  {
    name: "kubeconfig-file",
    kind: "string",
    group,
    default: "",
    value: "FILE",
    help: "how the API server is reached, where this is no pod",
  },
  {
    name: "kube-annotation-prefix",
    kind: "string",
    group,
    default: "flannel.alpha.coreos.com",
    value: "PREFIX",
    help: "what the annotations' names begin with",
  },
  {
    name: "set-node-network-unavailable",
    kind: "boolean",
    group,
    default: true,
    help: "clear the node's condition NetworkUnavailable when ready",
  },
  {
    name: "etcd-endpoints",
    kind: "string",
    group,
    default: "http://127.0.0.1:4001,http://127.0.0.1:2379",
    value: "URLS",
    help: "members of etcd",
  },
  {
    name: "etcd-prefix",
    kind: "string",
    group,
    default: "/coreos.com/network",
    value: "KEY",
    help: "what the keys in etcd begin with",
  },
  {
    name: "etcd-cafile",
    kind: "string",
    group,
    default: "",
    value: "FILE",
    help: "authority of etcd's certificate",
  },
  {
    name: "etcd-certfile",
    kind: "string",
    group,
    default: "",
    value: "FILE",
    help: "own certificate for etcd",
  },
  { name: "etcd-keyfile", kind: "string", group, default: "", value: "FILE", help: "its key" },
  { name: "etcd-username", kind: "string", group, default: "", value: "NAME", help: "user of etcd" },
  {
    name: "etcd-password",
    kind: "string",
    group,
    default: "",
    value: "WORD",
    help: "the user's password; the variable keeps it out of the process list",
  },
  {
    name: "local-registry",
    kind: "string",
    group,
    default: "",
    value: "FILE",
    isNew: true,
    help: "leases are in this SQLite file: several hosts on one machine",
  },
  {
    name: "lease-cache",
    kind: "string",
    group,
    default: "/run/flannel/leases.json",
    value: "FILE",
    isNew: true,
    help: "what was known last; empty for none",
  },
] as const satisfies readonly Flag[];

/** Where leases are agreed on, and how that is reached. */
export type RegistryOptions =
  | { readonly kind: "local"; readonly path: string }
  | {
    readonly kind: "kube";
    readonly apiUrl: string;
    readonly kubeconfigFile: string;
    /** Complete, with `/` or `-` at its end. */
    readonly annotationPrefix: string;
    /** Whether the node's condition `NetworkUnavailable` is cleared. */
    readonly clearsCondition: boolean;
  }
  | {
    readonly kind: "etcd";
    readonly endpoints: readonly string[];
    /** Without a slash at its end. */
    readonly prefix: string;
    readonly tls: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string };
    readonly user?: { readonly name: string; readonly password: string };
  };

/** `192.0.2.1:2379`, `[2001:db8::1]:2379`, `etcd.example:2379`: etcd's own client takes them, with TLS where it has certificates. */
const HOST_AND_PORT = /^(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}$/;

type Name = (typeof REGISTRY_FLAGS)[number]["name"];

/** What is accepted for flannel and counts for nothing, each one line: it takes a user's name and password together. */
export function registryWarnings({ values, given }: FlagReading): string[] {
  if (values.get("kube-subnet-mgr") === true || values.get("local-registry") !== "") return [];
  const name = (flag: Name) => given.get(flag) === "environment" ? variableOf(flag) : `-${flag}`;
  const hasUser = (values.get("etcd-endpoints") as string).split(",").some((url) => shownUrl(url) !== url);
  const ofUrl = hasUser
    ? [
      `the user in ${
        name("etcd-endpoints")
      } counts for nothing, as with flannel: name it with -etcd-username and ` +
      variableOf("etcd-password"),
    ]
    : [];
  const [alone, missing] = values.get("etcd-username") === ""
    ? ["etcd-password", "etcd-username"] as const
    : ["etcd-username", "etcd-password"] as const;
  if (values.get(alone) === "" || values.get(missing) !== "") return ofUrl;
  return [...ofUrl, `${name(alone)} counts for nothing without -${missing}: etcd is asked as nobody`];
}

/**
 * Reads which registry is meant.
 *
 * @throws {UsageError} If the flags contradict each other, or one can't be read.
 */
export function registryOf(reading: FlagReading): RegistryOptions {
  const text = (name: Name) => reading.values.get(name) as string;
  const where = (name: Name) => reading.given.get(name) === "environment" ? variableOf(name) : `-${name}`;
  const isKube = reading.values.get("kube-subnet-mgr") as boolean;
  const path = text("local-registry");
  if (isKube && path !== "") {
    throw new UsageError(
      `Cannot use two registries: leave out ${where("kube-subnet-mgr")} or ${where("local-registry")}`,
    );
  }
  if (path !== "") return { kind: "local", path };
  if (!isKube) return etcdOf(text, where);
  const prefix = completeAnnotationPrefix(text("kube-annotation-prefix"));
  if (prefix === undefined) {
    const value = JSON.stringify(text("kube-annotation-prefix"));
    throw new UsageError(
      `Cannot read ${
        where("kube-annotation-prefix")
      }: must be a domain in lower case with a dot, and perhaps a ` +
        `slash and a word (example.com/blue), is ${value}`,
    );
  }
  return {
    kind: "kube",
    apiUrl: text("kube-api-url"),
    kubeconfigFile: text("kubeconfig-file"),
    annotationPrefix: prefix,
    clearsCondition: reading.values.get("set-node-network-unavailable") as boolean,
  };
}

/** Scheme, host and port of a URL, which is all that etcd's own client takes of it: no user, no path. */
function bareEndpoint(endpoint: string): string {
  const [, scheme, host] = /^(https?):\/\/([^/?#]*)/i.exec(shownUrl(endpoint))!;
  return `${scheme}://${host}`.toLowerCase();
}

function etcdOf(text: (name: Name) => string, where: (name: Name) => string): RegistryOptions {
  const [caFile, certFile, keyFile] = [text("etcd-cafile"), text("etcd-certfile"), text("etcd-keyfile")];
  const scheme = caFile !== "" || certFile !== "" ? "https" : "http";
  const texts = text("etcd-endpoints").split(",").map((endpoint) => endpoint.trim().replace(/\/+$/, ""))
    .filter((endpoint) => endpoint !== "")
    .map((endpoint) => HOST_AND_PORT.test(endpoint) ? `${scheme}://${endpoint}` : endpoint);
  const bad = texts.find((endpoint) => !/^https?:\/\/[^/]/i.test(endpoint) || !URL.canParse(endpoint));
  const endpoints = bad === undefined ? texts.map(bareEndpoint) : [];
  if (bad !== undefined || endpoints.length === 0) {
    throw new UsageError(
      `Cannot read ${
        where("etcd-endpoints")
      }: must be URLs as http://192.0.2.1:2379, with commas between, is ` +
        JSON.stringify(shownUrl(bad ?? "")),
    );
  }
  const prefix = text("etcd-prefix").replace(/\/+$/, "");
  if ((certFile === "") !== (keyFile === "")) {
    const [there, missing] = certFile === ""
      ? ["etcd-keyfile", "etcd-certfile"] as const
      : ["etcd-certfile", "etcd-keyfile"] as const;
    throw new UsageError(`Cannot use ${where(there)} alone: a certificate needs its key; add -${missing}`);
  }
  const [name, password] = [text("etcd-username"), text("etcd-password")];
  return {
    kind: "etcd",
    endpoints,
    prefix,
    tls: { ...caFile && { caFile }, ...certFile && { certFile }, ...keyFile && { keyFile } },
    ...name && password && { user: { name, password } },
  };
}
