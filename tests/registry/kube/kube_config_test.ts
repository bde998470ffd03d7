import { assertEquals, assertLess, assertRejects } from "@std/assert";
import { findApiServer, type KubeAccess } from "../../../src/registry/kube/kube_config.ts";
import { RegistryError } from "../../../src/registry/registry_error.ts";

const CA = "-----BEGIN CERTIFICATE-----\nca\n-----END CERTIFICATE-----\n";
const base64 = (text: string) => new TextEncoder().encode(text).toBase64();

function kubeconfig(cluster: string, user: string, context = "current-context: main"): string {
  return `apiVersion: v1
kind: Config
${context}
clusters:
- name: c
  cluster:
    server: https://192.0.2.1:6443/
    ${cluster}
contexts:
- name: main
  context: { cluster: c, user: u }
users:
- name: u
  user:
    ${user}
`;
}

function find(
  options: { url?: string; kubeconfigFile?: string },
  world: { files?: Record<string, string>; environment?: Record<string, string> } = {},
): Promise<KubeAccess> {
  return findApiServer({ url: "", kubeconfigFile: "", ...options }, {
    readTextFile: (path) => {
      const text = world.files?.[path];
      return text === undefined
        ? Promise.reject(new Deno.errors.NotFound("No such file"))
        : Promise.resolve(text);
    },
    environment: world.environment ?? {},
  });
}

const IN_POD = { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "443" };
const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

Deno.test("findApiServer() takes what Kubernetes gives a pod", async () => {
  const { hint: _, ...access } = await find({}, { environment: IN_POD });
  assertEquals(access, {
    url: "https://10.96.0.1:443",
    tls: { files: { caFile: `${ACCOUNT}/ca.crt` } },
    tokenFile: `${ACCOUNT}/token`,
  });
});

Deno.test("findApiServer() puts an IPv6 address into brackets", async () => {
  const { url } = await find({}, { environment: { KUBERNETES_SERVICE_HOST: "fd00::1" } });
  assertEquals(url, "https://[fd00::1]:443");
});

Deno.test("findApiServer() takes -kube-api-url alone, without any identity", async () => {
  const { hint: _, ...access } = await find({ url: "http://127.0.0.1:8080/" }, { environment: IN_POD });
  assertEquals(access, { url: "http://127.0.0.1:8080", tls: {} });
});

const configs: [name: string, text: string, access: Partial<KubeAccess>][] = [
  [
    "certificates in the file, as kubeadm writes it",
    kubeconfig(
      `certificate-authority-data: ${base64(CA)}`,
      `client-certificate-data: ${base64("cert")}\n    client-key-data: ${base64("key")}`,
    ),
    { tls: { files: {}, texts: { ca: CA, cert: "cert", key: "key" } } },
  ],
  [
    "files beside it and elsewhere, as kubelet's",
    kubeconfig(
      "certificate-authority: ca.crt",
      "client-certificate: /var/lib/kubelet/pki/current.pem\n    client-key: /var/lib/kubelet/pki/current.pem",
    ),
    {
      tls: {
        files: {
          caFile: "/etc/kubernetes/ca.crt",
          certFile: "/var/lib/kubelet/pki/current.pem",
          keyFile: "/var/lib/kubelet/pki/current.pem",
        },
        texts: {},
      },
    },
  ],
  ["a token", kubeconfig("", "token: secret"), { token: "secret", tls: { files: {}, texts: {} } }],
  ["null for what is not there", kubeconfig("certificate-authority: ~", "token: secret\n    exec: ~"), {
    token: "secret",
    tls: { files: {}, texts: {} },
  }],
  ["members that another map has", kubeconfig("", "<<: { token: secret }"), { token: "secret" }],
  ["a file with a token", kubeconfig("", "tokenFile: token"), { tokenFile: "/etc/kubernetes/token" }],
];

for (const [name, text, access] of configs) {
  Deno.test(`findApiServer() reads a kubeconfig with ${name}`, async () => {
    const found = await find({ kubeconfigFile: "/etc/kubernetes/k.conf" }, {
      files: { "/etc/kubernetes/k.conf": text },
    });
    assertEquals(found.url, "https://192.0.2.1:6443");
    for (const [key, value] of Object.entries(access)) {
      assertEquals(found[key as keyof KubeAccess] as unknown, value);
    }
  });
}

Deno.test("findApiServer() lets -kube-api-url stand over the server of a kubeconfig", async () => {
  const files = { "/k": kubeconfig("", "token: secret") };
  const { url, token } = await find({ kubeconfigFile: "/k", url: "https://api" }, { files });
  assertEquals([url, token], ["https://api", "secret"]);
});

Deno.test("findApiServer() reads KUBECONFIG where this is no pod", async () => {
  const files = { "/k": kubeconfig("", "token: secret") };
  assertEquals((await find({}, { files, environment: { KUBECONFIG: "/k" } })).token, "secret");
});

const refused: [
  name: string,
  options: Parameters<typeof find>[0],
  text: string | undefined,
  message: string,
][] = [
  [
    "nothing at all",
    {},
    undefined,
    "this is no pod of Kubernetes (KUBERNETES_SERVICE_HOST is not set); name it with -kubeconfig-file or -kube-api-url",
  ],
  [
    "a URL without a scheme",
    { url: "user:password@192.0.2.1:6443" },
    undefined,
    '-kube-api-url must begin with https:// or http://, is "192.0.2.1:6443"',
  ],
  [
    "a file that is not there",
    { kubeconfigFile: "/nowhere" },
    undefined,
    "Cannot use the kubeconfig /nowhere: there is no such file or folder",
  ],
  [
    "a file that is no YAML",
    { kubeconfigFile: "/k" },
    "a: [",
    "Cannot use the kubeconfig /k: it is not YAML: Flow sequence in block collection must be sufficiently " +
    "indented and end with a ] at line 1, column 5",
  ],
  ["an empty file", { kubeconfigFile: "/k" }, "", "it has no current-context; name the server"],
  [
    "a token that is a number",
    { kubeconfigFile: "/k" },
    kubeconfig("", "token: 12345"),
    "users.0.user.token: ",
  ],
  ["a file that is a list", { kubeconfigFile: "/k" }, "- a", "Cannot use the kubeconfig /k: it: "],
  [
    "a context that is missing",
    { kubeconfigFile: "/k" },
    kubeconfig("", "", "current-context: other"),
    'it has no context "other"',
  ],
  ["no current context", { kubeconfigFile: "/k" }, kubeconfig("", "", ""), "it has no current-context"],
  [
    "TLS without trust",
    { kubeconfigFile: "/k" },
    kubeconfig("insecure-skip-tls-verify: true", ""),
    "insecure-skip-tls-verify is not supported",
  ],
  [
    "TLS without trust, in the words of YAML 1.1",
    { kubeconfigFile: "/k" },
    kubeconfig("insecure-skip-tls-verify: yes", ""),
    "insecure-skip-tls-verify is not supported",
  ],
  [
    "a program that knows the user",
    { kubeconfigFile: "/k" },
    kubeconfig("", "exec: { command: aws }"),
    "is not supported; use a token or certificate",
  ],
  [
    "a password",
    { kubeconfigFile: "/k" },
    kubeconfig("", "username: admin"),
    "user name and password are not supported",
  ],
  [
    "data that is no base64",
    { kubeconfigFile: "/k" },
    kubeconfig('certificate-authority-data: "%%"', ""),
    "certificate-authority-data is not base64",
  ],
];

for (const [name, options, text, message] of refused) {
  Deno.test(`findApiServer() says what to do about ${name}`, async () => {
    await assertRejects(
      () => find(options, text === undefined ? {} : { files: { "/k": text } }),
      RegistryError,
      message,
    );
  });
}

Deno.test("findApiServer() quotes little of a file that is wrong", async () => {
  const files = { "/k": `a: *${"x".repeat(1_000_000)}` };
  const { message } = await assertRejects(() => find({ kubeconfigFile: "/k" }, { files }), RegistryError);
  assertLess(message.length, 300);
});
