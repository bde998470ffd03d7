import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { cleanupHelp, readCleanupOptions } from "../../../src/command/cleanup/cleanup_flags.ts";
import { UsageError } from "../../../src/config/usage_error.ts";

Deno.test("readCleanupOptions() has the places of flannel, host-local and libcni for defaults", () => {
  assertEquals(readCleanupOptions(["--stale"], {}), {
    mode: "stale",
    isDryRun: false,
    dataDir: "/var/lib/cni/flannel",
    networksDir: "/var/lib/cni/networks",
    resultsDir: "/var/lib/cni/results",
    pluginFolders: ["/opt/cni/bin", "/usr/lib/cni"],
    network: "cbr0",
    agentArgs: [],
  });
});

const read: [args: string[], environment: Record<string, string>, found: Record<string, unknown>][] = [
  [["--stale", "--dry-run"], {}, { mode: "stale", isDryRun: true }],
  [["--stale", "--network="], {}, { network: undefined }],
  [["--stale", "--network", "blue", "--data-dir=/d"], {}, { network: "blue", dataDir: "/d" }],
  [["--stale"], { CNI_PATH: "/x:/y" }, { pluginFolders: ["/x", "/y"] }],
  [["--stale", "--cni-path=/z"], { CNI_PATH: "/x:/y" }, { pluginFolders: ["/z"] }],
  [
    ["--node", "-iface", "eth0", "--network=x", "--kube-subnet-mgr", "--etcd-prefix=/p"],
    {},
    { mode: "node", network: "x", agentArgs: ["-iface", "eth0", "--kube-subnet-mgr", "--etcd-prefix=/p"] },
  ],
];
for (const [args, environment, found] of read) {
  Deno.test(`readCleanupOptions() reads ${JSON.stringify([args, environment])}`, () => {
    const options: Record<string, unknown> = { ...readCleanupOptions(args, environment) };
    for (const [name, value] of Object.entries(found)) assertEquals(options[name], value, name);
  });
}

const refused: [args: string[], message: string][] = [
  [[], "Cannot tell what to clean up: add --stale"],
  [["--dry-run"], "Cannot tell what to clean up: add --stale"],
  [["--stale", "--node"], "Cannot do both at once"],
  [["--stale", "--iface=eth0"], 'Cannot read "--iface=eth0": --stale has no such flag'],
  [["--stale", "now"], 'Cannot read "now": it is not a flag'],
  [["--node", "--", "-iface=x"], 'Cannot read "--": it is not a flag'],
  [["--stale", "--data-dir="], "Cannot read -data-dir: must not be empty"],
];
for (const [args, message] of refused) {
  Deno.test(`readCleanupOptions() refuses ${JSON.stringify(args)}`, () => {
    assertThrows(() => readCleanupOptions(args, {}), UsageError, message);
  });
}

Deno.test("readCleanupOptions() takes nothing to delete from the environment", () => {
  assertThrows(() => readCleanupOptions([], { FLANNELD_NODE: "true" }), UsageError, "add --stale");
});

Deno.test("cleanupHelp() is what -help asks for, and names each flag", () => {
  assertEquals(readCleanupOptions(["-help"], {}), undefined);
  for (
    const name of [
      "stale",
      "node",
      "dry-run",
      "data-dir",
      "networks-dir",
      "results-dir",
      "cni-path",
      "network",
    ]
  ) {
    assertStringIncludes(cleanupHelp(), `--${name}`);
  }
});
