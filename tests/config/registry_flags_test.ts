import { assertEquals, assertThrows } from "@std/assert";
import { parseOptions } from "../../src/config/options.ts";
import type { RegistryOptions } from "../../src/config/registry_flags.ts";
import { UsageError } from "../../src/config/usage_error.ts";

function registryFrom(argv: readonly string[], environment: Record<string, string> = {}): RegistryOptions {
  const outcome = parseOptions(argv, environment);
  if (outcome.kind !== "run") throw new Error("nothing would run");
  return outcome.options.registry;
}

const KUBE: RegistryOptions = {
  kind: "kube",
  apiUrl: "",
  kubeconfigFile: "",
  annotationPrefix: "flannel.alpha.coreos.com/",
  clearsCondition: true,
};
const ETCD: RegistryOptions = {
  kind: "etcd",
  endpoints: ["http://192.0.2.1:2379"],
  prefix: "/coreos.com/network",
  tls: {},
};

const read: [argv: string[], registry: RegistryOptions, why: string][] = [
  [["-kube-subnet-mgr"], KUBE, "flannel's manifest says so"],
  [["-kube-subnet-mgr", "-etcd-endpoints=nonsense"], KUBE, "etcd's flags are of no interest then"],
  [
    ["-kube-subnet-mgr", "-set-node-network-unavailable=false"],
    { ...KUBE, clearsCondition: false },
    "it is turned off",
  ],
  [
    ["-kube-subnet-mgr", "-kube-annotation-prefix=example.com/blue"],
    { ...KUBE, annotationPrefix: "example.com/blue-" },
    "the prefix is completed",
  ],
  [["-local-registry=/r.db"], { kind: "local", path: "/r.db" }, "the lab does"],
  [["-etcd-endpoints=http://192.0.2.1:2379"], ETCD, "etcd is what flannel takes without other word"],
  [
    ["-etcd-endpoints= http://192.0.2.1:2379/ ,https://[2001:db8::1]:2379,", "-etcd-prefix=/net/"],
    { ...ETCD, endpoints: ["http://192.0.2.1:2379", "https://[2001:db8::1]:2379"], prefix: "/net" },
    "blanks and slashes at ends do not matter",
  ],
  [
    ["-etcd-endpoints=http://192.0.2.1:2379", "-etcd-cafile=/a", "-etcd-certfile=/c", "-etcd-keyfile=/k"],
    { ...ETCD, tls: { caFile: "/a", certFile: "/c", keyFile: "/k" } },
    "TLS both ways",
  ],
  [
    ["-etcd-endpoints=http://192.0.2.1:2379", "-etcd-cafile=/a"],
    { ...ETCD, tls: { caFile: "/a" } },
    "the CA alone will do",
  ],
  [
    ["-etcd-endpoints=http://192.0.2.1:2379", "-etcd-username=u", "-etcd-password=p"],
    { ...ETCD, user: { name: "u", password: "p" } },
    "a user and a password",
  ],
  [
    ["-etcd-endpoints=http://192.0.2.1:2379", "-etcd-username=u"],
    ETCD,
    "etcd's client takes both or nothing",
  ],
  [
    ["-etcd-endpoints=http://192.0.2.1:2379", "-etcd-password=p"],
    ETCD,
    "etcd's client takes both or nothing",
  ],
  [
    ["-etcd-endpoints=192.0.2.1:2379,[2001:db8::1]:2379,etcd-0.etcd:2379"],
    { ...ETCD, endpoints: ["http://192.0.2.1:2379", "http://[2001:db8::1]:2379", "http://etcd-0.etcd:2379"] },
    "etcd's client takes addresses without a scheme",
  ],
  [
    ["-etcd-endpoints=192.0.2.1:2379", "-etcd-certfile=/c", "-etcd-keyfile=/k"],
    { ...ETCD, endpoints: ["https://192.0.2.1:2379"], tls: { certFile: "/c", keyFile: "/k" } },
    "and speaks TLS where it has certificates",
  ],
  [
    ["-etcd-endpoints=192.0.2.1:2379,http://192.0.2.2:2379", "-etcd-cafile=/a"],
    { ...ETCD, endpoints: ["https://192.0.2.1:2379", "http://192.0.2.2:2379"], tls: { caFile: "/a" } },
    "a scheme that is there counts",
  ],
  [
    ["-etcd-endpoints=HTTP://ETCD.example:2379,Https://192.0.2.2:2379,http://localhost:2379/v3,https://e:2379/a?b#c"],
    {
      ...ETCD,
      endpoints: [
        "http://etcd.example:2379",
        "https://192.0.2.2:2379",
        "http://localhost:2379",
        "https://e:2379",
      ],
    },
    "of a URL etcd's client takes scheme, host and port",
  ],
  [
    ["-etcd-endpoints=http://root:hunter2@192.0.2.1:2379"],
    ETCD,
    "etcd's client heeds no user in a URL",
  ],
  [
    ["-etcd-endpoints=http://192.0.2.1:2379,HTTP://192.0.2.1:2379/"],
    { ...ETCD, endpoints: ["http://192.0.2.1:2379", "http://192.0.2.1:2379"] },
    "one may be there twice",
  ],
];

const withUsers: [argv: string[], environment: Record<string, string>, warnings: string[]][] = [
  [["-etcd-endpoints=http://root:hunter2@192.0.2.1:2379,http://root@192.0.2.2:2379"], {}, [
    "the user in -etcd-endpoints counts for nothing, as with flannel: name it with -etcd-username and FLANNELD_ETCD_PASSWORD",
  ]],
  [[], { FLANNELD_ETCD_ENDPOINTS: "http://root:hunter2@192.0.2.1:2379" }, [
    "the user in FLANNELD_ETCD_ENDPOINTS counts for nothing, as with flannel: name it with -etcd-username and " +
    "FLANNELD_ETCD_PASSWORD",
  ]],
  [["-kube-subnet-mgr", "-etcd-endpoints=http://root:hunter2@192.0.2.1:2379"], {}, []],
];

for (const [argv, environment, warnings] of withUsers) {
  Deno.test(`parseOptions() warns of a user in a URL: ${argv.join(" ") || "a variable"}`, () => {
    const outcome = parseOptions(argv, environment);
    assertEquals(outcome.kind === "run" && outcome.warnings, warnings);
  });
}

for (const [argv, registry, why] of read) {
  Deno.test(`parseOptions() reads the registry from \`${argv.join(" ")}\`: ${why}`, () => {
    assertEquals(registryFrom(argv), registry);
  });
}

const prefixes: [text: string, complete: string][] = [
  ["flannel.alpha.coreos.com", "flannel.alpha.coreos.com/"],
  ["flannel.alpha.coreos.com/", "flannel.alpha.coreos.com/"],
  ["org.com/x", "org.com/x-"],
  ["org.com/x-", "org.com/x-"],
  ["a_b.c-d/e_f-g", "a_b.c-d/e_f-g-"],
];

for (const [text, annotationPrefix] of prefixes) {
  Deno.test(`parseOptions() completes the annotation prefix ${text} as flannel does`, () => {
    assertEquals(registryFrom(["-kube-subnet-mgr", `-kube-annotation-prefix=${text}`]), {
      ...KUBE,
      annotationPrefix,
    });
  });
}

const refused: [argv: string[], message: string, why: string][] = [
  ...["localhost", "Org.com", "org.com/x/y", "org.com/X", "", "/", "org..com"].map((prefix) =>
    [
      ["-kube-subnet-mgr", `-kube-annotation-prefix=${prefix}`],
      "Cannot read -kube-annotation-prefix: must be a domain in lower case with a dot, and perhaps a slash and a word " +
      `(example.com/blue), is ${JSON.stringify(prefix)}`,
      "no annotation can begin so",
    ] as [string[], string, string]
  ),
  [
    ["-kube-subnet-mgr", "-local-registry=/r.db"],
    "Cannot use two registries: leave out -kube-subnet-mgr or -local-registry",
    "hosts agree in one place",
  ],
  [
    ["-etcd-endpoints=192.0.2.1"],
    'Cannot read -etcd-endpoints: must be URLs as http://192.0.2.1:2379, with commas between, is "192.0.2.1"',
    "scheme and port are missing",
  ],
  [["-etcd-endpoints=2001:db8::1:2379"], 'with commas between, is "2001:db8::1:2379"', "where does it end"],
  [
    ["-etcd-endpoints=htps://user:password@192.0.2.1:2379"],
    'with commas between, is "htps://192.0.2.1:2379"',
    "a password is shown to nobody",
  ],
  [["-etcd-endpoints="], 'with commas between, is ""', "there must be one"],
  [
    ["-etcd-certfile=/c"],
    "Cannot use -etcd-certfile alone: a certificate needs its key; add -etcd-keyfile",
    "TLS would silently be left out",
  ],
  [
    ["-etcd-keyfile=/k"],
    "Cannot use -etcd-keyfile alone: a certificate needs its key; add -etcd-certfile",
    "TLS would silently be left out",
  ],
];

for (const [argv, message, why] of refused) {
  Deno.test(`parseOptions() refuses \`${argv.join(" ")}\` because ${why}`, () => {
    const error = assertThrows(() => registryFrom(argv), UsageError, message);
    assertEquals(error.message.includes("hunter2"), false, "a secret is not repeated");
  });
}

Deno.test("parseOptions() names the variable where that is what can't be read", () => {
  assertThrows(
    () => registryFrom([], { FLANNELD_ETCD_ENDPOINTS: "net" }),
    UsageError,
    "Cannot read FLANNELD_ETCD_ENDPOINTS",
  );
});
