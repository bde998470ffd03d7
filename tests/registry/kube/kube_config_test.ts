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
  [
    "nobody to act as",
    kubeconfig("", "token: secret\n    as: ''\n    as-groups: []\n    as-user-extra: {}"),
    {
      token: "secret",
    },
  ],
  ["a file with a token", kubeconfig("", "tokenFile: token"), { tokenFile: "/etc/kubernetes/token" }],
  ["a token and a file with one", kubeconfig("", "token: secret\n    tokenFile: token"), {
    token: "secret",
    tokenFile: "/etc/kubernetes/token",
  }],
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

const schemeless: [server: string, cluster: string, user: string, url: string, why: string][] = [
  [
    "192.0.2.1:6443",
    `certificate-authority-data: ${base64(CA)}`,
    "token: t",
    "https://192.0.2.1:6443",
    "an authority",
  ],
  [
    "192.0.2.1:6443",
    "certificate-authority: ca.crt",
    "token: t",
    "https://192.0.2.1:6443",
    "an authority's file",
  ],
  ["api.internal", "certificate-authority: ca.crt", "token: t", "https://api.internal", "no port either"],
  [
    "[2001:db8::1]:6443",
    "",
    "client-certificate: c.pem\n    client-key: k.pem",
    "https://[2001:db8::1]:6443",
    "a certificate",
  ],
  ["192.0.2.1:8080", "", "token: t", "http://192.0.2.1:8080", "nothing of TLS"],
];

for (const [server, cluster, user, url, why] of schemeless) {
  Deno.test(`findApiServer() takes the server ${server} of a kubeconfig for ${url}, as client-go with ${why}`, async () => {
    const text = kubeconfig(cluster, user).replace(
      "https://192.0.2.1:6443/",
      server.startsWith("[") ? `"${server}"` : server,
    );
    const found = await find({ kubeconfigFile: "/k" }, { files: { "/k": text } });
    assertEquals(found.url, url);
    // As with client-go, no token goes where others can read it.
    if (url.startsWith("http:")) assertEquals([found.token, found.tls], [undefined, {}]);
  });
}

Deno.test("findApiServer() takes -kube-api-url without a scheme, as client-go does", async () => {
  assertEquals((await find({ url: "127.0.0.1:8080" })).url, "http://127.0.0.1:8080");
  const files = { "/k": kubeconfig("certificate-authority: ca.crt", "token: t") };
  assertEquals(
    (await find({ url: "192.0.2.7:6443", kubeconfigFile: "/k" }, { files })).url,
    "https://192.0.2.7:6443",
  );
});

Deno.test("findApiServer() reads a kubeconfig's proxy, and its own name again", async () => {
  const cluster = "tls-server-name: 192.0.2.1\n    proxy-url: http://u:p%40@192.0.2.9:3128";
  const { proxy } = await find({ kubeconfigFile: "/k" }, {
    files: { "/k": kubeconfig(cluster, "token: t") },
  });
  assertEquals(proxy, {
    url: "http://192.0.2.9:3128",
    basicAuth: { username: "u", password: "p@" },
    from: "proxy-url of the kubeconfig",
  });
});

Deno.test("findApiServer() reads a kubeconfig behind a byte order mark", async () => {
  const files = { "/k": `\ufeff${kubeconfig("", "token: secret")}` };
  assertEquals((await find({ kubeconfigFile: "/k" }, { files })).token, "secret");
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
    "a URL of another scheme",
    { url: "ftp://192.0.2.1:6443" },
    undefined,
    '-kube-api-url must begin with https:// or http://, is "ftp://192.0.2.1:6443"',
  ],
  [
    "a kubeconfig whose server is of another scheme",
    { kubeconfigFile: "/k" },
    kubeconfig("", "token: secret").replace("https://192.0.2.1:6443/", "ftp://user:password@192.0.2.1:6443"),
    'the server must begin with https:// or http://, is "ftp://192.0.2.1:6443"',
  ],
  [
    "a kubeconfig whose server has another name",
    { kubeconfigFile: "/k" },
    kubeconfig("tls-server-name: api.internal", "token: secret"),
    "tls-server-name is not supported: name the server as its certificate does, as https://api.internal:6443, and have " +
    "that name looked up (/etc/hosts)",
  ],
  [
    "a kubeconfig with a proxy of another scheme",
    { kubeconfigFile: "/k" },
    kubeconfig("proxy-url: ftp://user:password@192.0.2.9", "token: secret"),
    'proxy-url of the kubeconfig must be a proxy\'s URL as http://192.0.2.1:3128, is "ftp://192.0.2.9"',
  ],
  [
    "a kubeconfig that acts as another",
    { kubeconfigFile: "/k" },
    kubeconfig("", "token: secret\n    as: admin"),
    "acting as another (as: admin) is not supported; use a token or certificate",
  ],
  [
    "a URL with a user and without a scheme",
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
    'users.0.user.token must be text: put it in quotes, as "12345"',
  ],
  [
    "a list that is none",
    { kubeconfigFile: "/k" },
    "clusters: 5",
    "Cannot use the kubeconfig /k: clusters must be a list",
  ],
  [
    "a file that is a list",
    { kubeconfigFile: "/k" },
    "- a",
    "Cannot use the kubeconfig /k: it is no map of clusters, contexts and users",
  ],
  [
    "a file of UTF-16",
    { kubeconfigFile: "/k" },
    `\ufffd\ufffd${[...kubeconfig("", "token: secret")].join("\0")}`,
    "Cannot use the kubeconfig /k: it is not UTF-8 text (UTF-16?); write it as UTF-8",
  ],
  ...["as-groups: [system:masters]", "as-uid: u1", "as-user-extra: { a: [b] }"].map((
    line,
  ): [string, { kubeconfigFile: string }, string, string] => [
    `a kubeconfig with ${line} alone`,
    { kubeconfigFile: "/k" },
    kubeconfig("", `token: secret\n    ${line}`),
    `acting as another (${line.split(":")[0]}) is not supported; use a token or certificate`,
  ]),
  ...["clusters", "contexts", "users"].map((list): [string, { kubeconfigFile: string }, string, string] => [
    `two ${list} of one name`,
    { kubeconfigFile: "/k" },
    `${list}:\n- &a { name: c, context: { cluster: c } }\n- *a`,
    `it has two ${list} of the name "c"; leave one`,
  ]),
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
