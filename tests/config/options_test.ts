import { assert, assertEquals, assertThrows } from "@std/assert";
import { assertSnapshot } from "@std/testing/snapshot";
import { type Flag, variableOf } from "../../src/config/flag.ts";
import { FLAGS } from "../../src/config/flags.ts";
import { helpText, type Options, parseOptions } from "../../src/config/options.ts";
import type { Environment } from "../../src/config/parse_flags.ts";
import { UsageError } from "../../src/config/usage_error.ts";
import { formatPrefix, parseIpv4, parseIpv6 } from "../../src/model/address.ts";

function run(
  argv: readonly string[],
  environment: Environment = {},
): { options: Options; warnings: readonly string[] } {
  const outcome = parseOptions(argv, environment);
  if (outcome.kind !== "run") throw new Error(outcome.kind);
  return outcome;
}

/** Every flag of flanneld 0.28.9, with its default as `flanneld -help` prints it, and a value it takes. */
const FLANNEL_FLAGS: [name: string, initial: unknown, value: string][] = [
  ["etcd-endpoints", "http://127.0.0.1:4001,http://127.0.0.1:2379", "https://etcd:2379"],
  ["etcd-prefix", "/coreos.com/network", "/net"],
  ["etcd-keyfile", "", "/k"],
  ["etcd-certfile", "", "/c"],
  ["etcd-cafile", "", "/a"],
  ["etcd-username", "", "u"],
  ["etcd-password", "", "p"],
  ["iface", [], "eth0"],
  ["iface-regex", [], "eth.*"],
  ["iface-can-reach", "", "192.0.2.1"],
  ["subnet-file", "/run/flannel/subnet.env", "/s"],
  ["public-ip", "", "192.0.2.1"],
  ["public-ipv6", "", "2001:db8::1"],
  ["subnet-lease-renew-margin", 60, "1439"],
  ["ip-masq", false, "true"],
  ["ip-masq-fully-random-disable", false, "true"],
  ["kube-subnet-mgr", false, "true"],
  ["kube-api-url", "", "https://api"],
  ["kube-annotation-prefix", "flannel.alpha.coreos.com", "example.com"],
  ["kubeconfig-file", "", "/k"],
  ["net-config-path", "/etc/kube-flannel/net-conf.json", "/n"],
  ["set-node-network-unavailable", true, "false"],
  ["healthz-ip", "0.0.0.0", "127.0.0.1"],
  ["healthz-port", 0, "10248"],
  ["iptables-resync", 5, "60"],
  ["iptables-forward-rules", true, "false"],
  ["ip-blackhole-route", false, "true"],
  ["v", 0, "4"],
  ["vmodule", "", "a=1"],
  ["log_backtrace_at", "", "a.go:1"],
];

/** Flags that are refused alone. */
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  "etcd-certfile": ["etcd-keyfile"],
  "etcd-keyfile": ["etcd-certfile"],
};

for (const [name, initial, value] of FLANNEL_FLAGS) {
  Deno.test(`parseOptions() takes flannel's -${name} as a flag and as ${variableOf(name)}`, () => {
    assertEquals((FLAGS as readonly Flag[]).find((flag) => flag.name === name)?.default as unknown, initial);
    const others = (NEEDS[name] ?? []).map((other) => `-${other}=x`);
    for (const argv of [[`-${name}=${value}`], [`--${name}=${value}`]]) {
      assertEquals(parseOptions([...argv, ...others], {}).kind, "run");
    }
    const outcome = parseOptions(others, { [variableOf(name)]: value });
    assertEquals(outcome.kind === "run" && outcome.given.get(name), "environment");
  });
}

Deno.test("parseOptions() has flannel's defaults, and says nothing when nothing is given", () => {
  assertEquals(parseOptions([], {}), {
    kind: "run",
    options: {
      isReleasingStale: false,
      iface: [],
      ifaceRegex: [],
      backendOverrides: [],
      masquerade: false,
      isFullyRandom: true,
      forwardRules: true,
      rulesResyncMs: 5000,
      hasBlackholeRoute: false,
      takesForeignRoutes: false,
      vxlanTxChecksum: "auto",
      pathProbes: { lowersMtu: false, mode: "auto", port: 8475, budget: 3 },
      writesUnmanagedFiles: true,
      networkConfigPath: "/etc/kube-flannel/net-conf.json",
      subnetFilePath: "/run/flannel/subnet.env",
      registry: {
        kind: "etcd",
        endpoints: ["http://127.0.0.1:4001", "http://127.0.0.1:2379"],
        prefix: "/coreos.com/network",
        tls: {},
      },
      leaseCachePath: "/run/flannel/leases.json",
      machineIdPath: "/etc/machine-id",
      leaseRenewMarginMs: 3_600_000,
      resyncMs: 30_000,
      logFormat: "auto",
      logLevel: "info",
    },
    warnings: [],
    given: new Map(),
  });
});

const read: [argv: string[], options: Partial<Options>, why: string][] = [
  [["-iface-can-reach=2001:db8::1"], { ifaceCanReach: parseIpv6("2001:db8::1") }, "either family will do"],
  [["-public-ip=::ffff:192.0.2.1"], { publicIp: parseIpv4("192.0.2.1") }, "Go takes IPv4-mapped text"],
  [["-cni-conf=/c"], {
    conflist: {
      path: "/c",
      sourcePath: "/etc/kube-flannel/cni-conf.json",
      isSourceOptional: true,
      isRendered: true,
    },
  }, "the usual source, which need not be there"],
  [["-cni-conf=/c", "-cni-conf-from=/s"], {
    conflist: { path: "/c", sourcePath: "/s", isSourceOptional: false, isRendered: true },
  }, "a source that is named must be there"],
  [["-cni-conf=/c", "-cni-conf-from=/s", "-cni-conf-render=false"], {
    conflist: { path: "/c", sourcePath: "/s", isSourceOptional: false, isRendered: false },
  }, "the conflist as it is"],
  [["-cni-bin-dir=/b"], { pluginFolder: "/b" }, "the plugin is put back there"],
  [["-cni-release-stale"], { isReleasingStale: true }, "what vanished pods hold is released"],
  [["-public-ipv6=2001:db8::1"], { publicIpv6: parseIpv6("2001:db8::1") }, "IPv6 has a flag of its own"],
  [
    ["-healthz-port=80"],
    { health: { hostname: "0.0.0.0", port: 80, names: [] } },
    "the default address is every one",
  ],
  [
    ["-healthz-port=80", "-healthz-name=n1.example.com", "-healthz-name=n1.example.net"],
    { health: { hostname: "0.0.0.0", port: 80, names: ["n1.example.com", "n1.example.net"] } },
    "a host may have other names than it knows of",
  ],
  [
    ["-healthz-port=80", "-healthz-ip="],
    { health: { hostname: "0.0.0.0", port: 80, names: [] } },
    "Go takes nothing for all",
  ],
  [["-v=1"], { logLevel: "debug" }, "1 is verbose"],
  [["-v=-1"], { logLevel: "info" }, "below is not"],
  [
    ["-resync=5", "-subnet-lease-renew-margin=1"],
    { resyncMs: 5000, leaseRenewMarginMs: 60_000 },
    "units change",
  ],
  [["-log-format=json"], { logFormat: "json" }, "a program reads it"],
];

for (const [argv, options, why] of read) {
  Deno.test(`parseOptions() reads \`${argv.join(" ")}\`: ${why}`, () => {
    const found = run(argv).options;
    for (const [key, value] of Object.entries(options)) {
      assertEquals(found[key as keyof Options] as unknown, value);
    }
  });
}

for (const port of ["0", "-1"]) {
  Deno.test(`parseOptions() serves no health at -healthz-port=${port}, as flannel`, () => {
    assertEquals(run([`-healthz-port=${port}`]).options.health, undefined);
  });
}

const refused: [argv: string[], environment: Environment, message: string, why: string][] = [
  [["-public-ip=host"], {}, 'Cannot read -public-ip: must be an IPv4 address, is "host"', "it is a name"],
  [
    ["-public-ip=::1"],
    {},
    'must be an IPv4 address, is "::1"; write -public-ipv6=::1',
    "it is the other family",
  ],
  [["-public-ip=192.0.2.1/24"], {}, "; the prefix length is too much: 192.0.2.1", '"ip address" prints it'],
  [["-public-ipv6=192.0.2.1"], {}, "; write -public-ip=192.0.2.1", "it is the other family"],
  [
    [],
    { FLANNELD_PUBLIC_IP: "host" },
    "Cannot read FLANNELD_PUBLIC_IP: must be an IPv4",
    "flannel exits on it too",
  ],
  [["-iface-can-reach=eth0"], {}, "Cannot read -iface-can-reach: must be an address", "it is a link"],
  [
    ["-healthz-port=65536"],
    {},
    'Cannot read -healthz-port: must be 65535 or less, is "65536"',
    "ports end there",
  ],
  [["-subnet-lease-renew-margin=1440"], {}, "must be 1 to 1439", "a lease lasts a day"],
  [["-resync=0"], {}, "must be 1 to 3600", "a loop must rest"],
  [["-vxlan-tx-checksum=maybe"], {}, "must be one of auto, on, off", "it is no word of it"],
  [
    ["-masquerade-exclude=10.1.0.0/8"],
    {},
    'Cannot read -masquerade-exclude: must be a prefix as 192.0.2.0/24, is "10.1.0.0/8"; write "10.0.0.0/8"',
    "one of the two is mistaken",
  ],
  [
    [],
    { FLANNELD_MASQUERADE_EXCLUDE: "10.0.0.1" },
    'FLANNELD_MASQUERADE_EXCLUDE: must be a prefix as 192.0.2.0/24, is "10.0.0.1"; the prefix length is missing',
    "it is an address",
  ],
  [
    [`-masquerade-exclude=${Array(257).fill("10.0.0.0/8").join()}`],
    {},
    "Cannot read -masquerade-exclude: must be at most 256 prefixes",
    "there are too many",
  ],
  [
    [],
    { FLANNELD_LOG_FORMAT: "xml" },
    "Cannot read FLANNELD_LOG_FORMAT: must be one of auto, json, text",
    "it is new",
  ],
];

for (const [argv, environment, message, why] of refused) {
  const given = [...argv, ...Object.entries(environment).map((pair) => pair.join("="))].join(" ");
  Deno.test(`parseOptions() refuses \`${given}\` because ${why}`, () => {
    assertThrows(() => parseOptions(argv, environment), UsageError, message);
  });
}

const later: [argv: string[], environment: Environment, warnings: number, why: string][] = [
  [["-vmodule=a=1"], {}, 1, "flannel's log library is not here"],
  [["-vmodule=a=1", "-log_backtrace_at=b:2"], {}, 2, "each flag has a line"],
  [[], { FLANNELD_VMODULE: "a=1" }, 1, "a variable asks too"],
  [["-vmodule="], {}, 0, "nothing is asked"],
  [["-kube-subnet-mgr", "-etcd-prefix=/net"], {}, 0, "this version has both registries"],
  [["-ip-masq", "-ip-blackhole-route", "-iptables-resync=9"], {}, 0, "this version does that"],
  [["-subnet-lease-renew-margin=5", "-v=2"], {}, 0, "this version does that"],
  [["-iptables-resync=0"], {}, 1, "another pause is taken"],
  [["-iptables-resync=3600"], {}, 0, "it is done"],
  [["-cni-conf=/etc/cni/net.d/10-flannel.conf"], {}, 1, "no runtime reads a list there"],
  [["-cni-conf=/etc/cni/net.d/10-flannel.conflist"], {}, 0, "every runtime does"],
  [["-etcd-password=p"], {}, 1, "there is no user"],
  [["-etcd-username=u"], {}, 1, "there is no password"],
  [["-etcd-username=u", "-etcd-password=p"], {}, 0, "both are there"],
  [["-etcd-password=p", "-kube-subnet-mgr"], {}, 0, "etcd is not asked"],
];

for (const [argv, environment, warnings, why] of later) {
  const given = [...argv, ...Object.entries(environment).map((pair) => pair.join("="))].join(" ");
  Deno.test(`parseOptions() warns ${warnings} times of \`${given}\`: ${why}`, () => {
    assertEquals(run(argv, environment).warnings.length, warnings);
  });
}

Deno.test("parseOptions() names the variable that asks for what is not here", () => {
  assertEquals(run([], { FLANNELD_VMODULE: "a=1" }).warnings, [
    "FLANNELD_VMODULE has no effect: it belongs to flannel's log library",
  ]);
});

const ruled: [argv: string[], environment: Environment, read: Partial<Options>, why: string][] = [
  [
    ["-ip-masq"],
    {},
    { masquerade: true, isFullyRandom: true },
    "ports are random unless a flag says otherwise",
  ],
  [["-ip-masq-fully-random-disable"], {}, { isFullyRandom: false }, "the flag says otherwise"],
  [["-iptables-forward-rules=false"], {}, { forwardRules: false }, "the default can be turned off"],
  [["-iptables-resync=7"], {}, { rulesResyncMs: 7000 }, "it is in seconds"],
  [["-iptables-resync=0"], {}, { rulesResyncMs: 1000 }, "flannel takes it, and would never rest"],
  [["-iptables-resync=-5"], {}, { rulesResyncMs: 1000 }, "flannel takes it"],
  [["-iptables-resync=86400"], {}, { rulesResyncMs: 3_600_000 }, "flannel takes it"],
  [[], { FLANNELD_IPTABLES_RESYNC: "0" }, { rulesResyncMs: 1000 }, "a variable says it too"],
  [[], { FLANNELD_IP_BLACKHOLE_ROUTE: "1" }, { hasBlackholeRoute: true }, "each flag is a variable"],
  [[], { FLANNELD_VXLAN_TX_CHECKSUM: "off" }, { vxlanTxChecksum: "off" }, "a new flag is one too"],
  [["-take-foreign-routes"], {}, { takesForeignRoutes: true }, "it is off unless asked for"],
  [["-unmanaged-files=false"], {}, { writesUnmanagedFiles: false }, "the default can be turned off"],
];

for (const [argv, environment, read, why] of ruled) {
  const given = [...argv, ...Object.entries(environment).map((pair) => pair.join("="))].join(" ");
  Deno.test(`parseOptions() reads \`${given}\`: ${why}`, () => {
    const { options } = run(argv, environment);
    for (const [key, value] of Object.entries(read)) {
      assertEquals(options[key as keyof Options] as unknown, value, key);
    }
  });
}

const excludes: [argv: string[], environment: Environment, read: string[] | undefined, why: string][] = [
  [[], {}, undefined, "net-conf.json says it"],
  [["-masquerade-exclude=10.0.0.0/8,fd00::/8"], {}, ["10.0.0.0/8", "fd00::/8"], "commas part prefixes"],
  [["-masquerade-exclude=10.0.0.0/8", "-masquerade-exclude", "172.16.0.0/12"], {}, [
    "10.0.0.0/8",
    "172.16.0.0/12",
  ], "it can be repeated"],
  [[], { FLANNELD_MASQUERADE_EXCLUDE: "10.0.0.0/8, 192.0.2.7/32" }, ["10.0.0.0/8", "192.0.2.7/32"], "blanks"],
  [["-masquerade-exclude="], {}, [], "the file's are taken back"],
];

for (const [argv, environment, read, why] of excludes) {
  const given = [...argv, ...Object.entries(environment).map((pair) => pair.join("="))].join(" ");
  Deno.test(`parseOptions() reads excluded prefixes of \`${given}\`: ${why}`, () => {
    assertEquals(run(argv, environment).options.masqueradeExclude?.map(formatPrefix), read);
  });
}

Deno.test("helpText() lists every flag once, in lines that fit", () => {
  const lines = helpText().split("\n");
  for (const { name } of FLAGS) {
    assertEquals(lines.filter((line) => line.startsWith(`  -${name} `)).length, 1, name);
  }
  assertEquals(lines.filter((line) => line.length > 110), []);
});

Deno.test("parseOptions() takes the node's name for a name that its health is asked by", () => {
  const outcome = parseOptions(["-healthz-port=80", "-healthz-name=a"], {
    NODE_NAME: "n1.example.com",
    POD_NAME: "agent-x7k2p",
  });
  assert(outcome.kind === "run");
  assertEquals(outcome.options.health?.names, ["a", "n1.example.com"]);
  assertEquals(outcome.options.health?.podName, "agent-x7k2p");
});

Deno.test("helpText() reads as it did", async (t) => {
  await assertSnapshot(t, helpText());
});
