import { assertEquals, assertRejects } from "@std/assert";
import type { KubeAccess } from "../../../src/registry/kube/kube_config.ts";
import { findCluster, type KubectlOptions } from "../../../src/registry/kube/kube_contexts.ts";
import { RegistryError } from "../../../src/registry/registry_error.ts";

/** A kubeconfig with one context of a name, whose server and token have the name too. */
function kubeconfig(name: string, { user = `token: ${name}`, current = name } = {}): string {
  return `apiVersion: v1
kind: Config
current-context: ${current}
clusters:
- name: ${name}
  cluster: { server: "https://${name}.example:6443", certificate-authority: ca.pem }
contexts:
- name: ${name}
  context: { cluster: ${name}, user: ${name} }
users:
- name: ${name}
  user: { ${user} }
`;
}

const FILES: Readonly<Record<string, string>> = {
  "/a/config": kubeconfig("a"),
  "/b/config": kubeconfig("b"),
  "/a2/config": kubeconfig("a", { user: "token: other" }),
  "/exec/config": kubeconfig("e", { user: "exec: { command: aws }" }),
  "/none/config": kubeconfig("unset", { current: '""' }),
  "/root/.kube/config": kubeconfig("home"),
};

function find(
  options: Partial<KubectlOptions>,
  environment: Record<string, string> = {},
): Promise<KubeAccess> {
  return findCluster({ kubeconfig: "", context: "", server: "", ...options }, {
    readTextFile: (path) => {
      const text = FILES[path];
      return text === undefined ? Promise.reject(new Deno.errors.NotFound("no")) : Promise.resolve(text);
    },
    environment,
  });
}

const found: [
  why: string,
  options: Partial<KubectlOptions>,
  environment: Record<string, string>,
  url: string,
  token: string | undefined,
  caFile: string | undefined,
][] = [
  ["--kubeconfig names it", { kubeconfig: "/a/config" }, { KUBECONFIG: "/b/config" }, "a", "a", "/a/ca.pem"],
  ["KUBECONFIG does", {}, { KUBECONFIG: "/b/config", HOME: "/root" }, "b", "b", "/b/ca.pem"],
  ["it is at home", {}, { HOME: "/root" }, "home", "home", "/root/.kube/ca.pem"],
  [
    "the first of several files has the current context",
    {},
    { KUBECONFIG: "/a/config:/b/config" },
    "a",
    "a",
    "/a/ca.pem",
  ],
  [
    "another context is named, which the second file has beside its authority",
    { context: "b" },
    { KUBECONFIG: "/a/config:/b/config" },
    "b",
    "b",
    "/b/ca.pem",
  ],
  ["two files have one name", {}, { KUBECONFIG: ":/a2/config:/a/config" }, "a", "other", "/a2/ca.pem"],
  ["one of several files is missing", {}, { KUBECONFIG: "/gone:/b/config" }, "b", "b", "/b/ca.pem"],
];

for (const [why, options, environment, name, token, caFile] of found) {
  Deno.test(`findCluster() finds ${name} when ${why}`, async () => {
    const access = await find(options, environment);
    assertEquals([access.url, access.token, access.tls.files?.caFile], [
      `https://${name}.example:6443`,
      token,
      caFile,
    ]);
  });
}

Deno.test("findCluster() asks a server without TLS, as kubectl proxy, with nobody's token", async () => {
  const server = "http://127.0.0.1:8001/";
  for (const kubeconfig of ["", "/a/config", "/exec/config"]) {
    const access = await find({ server, kubeconfig }, { HOME: "/root", KUBECONFIG: "/b/config" });
    assertEquals([access.url, access.token, access.tls], ["http://127.0.0.1:8001", undefined, {}]);
  }
});

Deno.test("findCluster() needs no kubeconfig for a server that is named", async () => {
  const { url, token } = await find({ server: "https://192.0.2.1" }, { HOME: "/nobody" });
  assertEquals([url, token], ["https://192.0.2.1", undefined]);
  assertEquals((await find({ server: "https://192.0.2.1" }, { HOME: "/root" })).token, "home");
});

Deno.test("findCluster() asks another server with what the kubeconfig has for its user", async () => {
  const { url, token } = await find({ server: "192.0.2.1", kubeconfig: "/a/config" });
  assertEquals([url, token], ["https://192.0.2.1", "a"]);
});

Deno.test("findCluster() reads what a pod is told, where there is no file", async () => {
  const { url } = await find({}, { HOME: "/nobody", KUBERNETES_SERVICE_HOST: "10.96.0.1" });
  assertEquals(url, "https://10.96.0.1:443");
});

const refused: [options: Partial<KubectlOptions>, environment: Record<string, string>, message: string][] = [
  [{}, {}, "there is no kubeconfig; name one with --kubeconfig, or a server with --server"],
  [{}, { HOME: "/nobody" }, "there is no kubeconfig at /nobody/.kube/config; name one"],
  [
    {},
    { KUBECONFIG: "/gone:/away" },
    "Cannot use the kubeconfig /gone: there is no such file or folder; write it, or name another with --kubeconfig",
  ],
  [{ kubeconfig: "/a/config", context: "z" }, {}, 'it has no context "z"'],
  [{ kubeconfig: "/none/config" }, {}, "it has no current-context; name the server with --server"],
  [{ server: "ftp://x" }, {}, "--server must begin with https:// or http://"],
  [
    { kubeconfig: "/exec/config" },
    {},
    "a user that is known by a program (exec, auth-provider) is not supported; use a token or certificate, or run " +
    "'kubectl proxy' and name it: --server=http://127.0.0.1:8001",
  ],
];

for (const [options, environment, message] of refused) {
  Deno.test(`findCluster() refuses ${JSON.stringify({ ...options, ...environment })}`, async () => {
    await assertRejects(() => find(options, environment), RegistryError, message);
  });
}
