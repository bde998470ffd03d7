import { assertEquals, assertGreater } from "@std/assert";

const SRC = new URL("../src/", import.meta.url);
const TESTS = new URL("./", import.meta.url);

/** Rooms from the ground up. A file may import its own room and lower floors. */
const FLOORS: readonly (readonly string[])[] = [
  ["model", "log"],
  ["core", "netlink", "cloud", "config"],
  ["lease", "underlay", "backend", "masquerade", "host"],
  ["reconcile"],
  ["status", "doctor", "cni"],
  ["cli", "lab"],
];
const IMPORT = /(?:from|import|import\()\s*"(\.[^"]+)"/g;
const MAX_LINES = 320;

/** Source files without a test file of their own name, by the test that covers them. */
const COVERED: Readonly<Record<string, readonly string[]>> = {
  "backend/host_gw_test.ts": ["backend/direct_route.ts", "backend/push_route.ts"],
  "backend/make_backend_test.ts": ["backend/alloc.ts", "backend/backend.ts", "backend/blackhole.ts"],
  "config/network_test.ts": [
    "config/backend_schema.ts",
    "config/backend_types.ts",
    "config/config_error.ts",
    "config/fold_keys.ts",
    "config/merge_backend.ts",
    "config/network_schema.ts",
    "config/schema_parts.ts",
  ],
  "config/registry_flags_test.ts": ["config/annotation_prefix.ts"],
  "config/options_test.ts": ["config/flags.ts", "config/host_flags.ts", "config/later_flags.ts"],
  "config/parse_flags_test.ts": ["config/flag.ts", "config/usage_error.ts"],
  "lease/back_off_test.ts": ["lease/contact.ts", "lease/pause.ts"],
  "lease/json_sieve_test.ts": ["lease/byte_buffer.ts"],
  "netns/observe_test.ts": ["netlink/link_master.ts"],
  "kube/registry_test.ts": [
    "lease/kube.ts",
    "lease/kube_announcer.ts",
    "lease/kube_client.ts",
    "lease/kube_feed.ts",
    "lease/kube_reason.ts",
    "lease/chunks.ts",
    "lease/linked_abort.ts",
  ],
  "lease/etcd_test.ts": ["lease/http_door.ts"],
  "lease/lease_set_test.ts": ["lease/overlap.ts", "lease/part_check.ts"],
  "cni/subnet_file_test.ts": ["cni/replace_file.ts", "cni/write_if_other.ts"],
  "cni/install_file_test.ts": ["cni/file.ts"],
  "cli/install_cni_test.ts": ["cni/install_places.ts"],
  "cni/verbs_test.ts": [
    "cni/cni_error.ts",
    "cni/plugin.ts",
    "cni/request.ts",
    "cni/result.ts",
  ],
  "cli/agent_word_keeper_test.ts": ["cni/agent_word.ts"],
  "cli/pod_files_test.ts": ["cli/conflist_keeper.ts"],
  "cli/underlay_follower_test.ts": ["underlay/lost.ts"],
  "lease/local_file_test.ts": ["lease/local_row.ts", "lease/registry_error.ts"],
  "lease/local_test.ts": ["lease/local_changes.ts", "lease/local_reader.ts"],
  "netlink/folder_watch_test.ts": ["netlink/poll.ts"],
  "lease/etcd_client_test.ts": ["lease/etcd_refusal.ts"],
  "lease/etcd_silence_test.ts": ["lease/prove_claims.ts"],
  "netlink/fuzz_test.ts": [
    "model/rows.ts",
    "model/table.ts",
    "netlink/attribute.ts",
    "netlink/link_slots.ts",
    "netlink/message.ts",
  ],
  "netlink/nft_test.ts": ["netlink/nft_dump.ts", "netlink/nft_expression.ts", "netlink/nft_value.ts"],
  "netns/cleanup_node_test.ts": [
    "cli/cleanup_kernel.ts",
    "cli/cleanup_node.ts",
    "cli/cleanup_rules.ts",
    "cli/cleanup_step.ts",
    "cni/agent_lock.ts",
  ],
  "netns/cleanup_test.ts": [
    "cli/host_facts.ts",
    "cli/cleanup.ts",
    "cli/cleanup_stale.ts",
    "cni/host_links.ts",
  ],
  "netns/former_test.ts": ["cli/former_keeper.ts"],
  "netlink/link_test.ts": ["netlink/veth.ts"],
  "netns/mac_announcement_test.ts": ["netlink/packet_socket.ts"],
  "netns/overlay_repair_test.ts": ["cli/best_effort.ts"],
  "netns/unix_claim_test.ts": ["netlink/unix_claim.ts"],
  "netns/overlay_restart_test.ts": [
    "cli/agent.ts",
    "cli/agent_status.ts",
    "cli/lease_request.ts",
    "cli/open_underlay.ts",
    "cli/open_pods.ts",
    "cli/pass_end.ts",
    "cli/take_part.ts",
  ],
  "netns/host_agent_test.ts": ["cli/host_keeper.ts", "masquerade/rule_watch.ts"],
  "cli/rules_keeper_test.ts": ["cli/open_rules.ts"],
  "netns/cni_agent_test.ts": ["cli/stale_conflist.ts"],
  "netns/cni_old_subnet_test.ts": ["cli/bridge_keeper.ts", "cli/pod_keeper.ts"],
  "netns/cni_plugin_test.ts": ["cni/delegate.ts", "netlink/file_identity.ts"],
  "netns/host_prerequisites_test.ts": ["host/kernel_features.ts", "host/prerequisites.ts"],
  "netns/host_probe_test.ts": ["netlink/udp_socket.ts"],
  "netns/host_tx_checksum_test.ts": ["netlink/ethtool.ts"],
  "netns/kernel_watch_test.ts": ["cli/preflight.ts", "reconcile/kernel_watch.ts", "underlay/host_network.ts"],
  "netns/lab_demo_test.ts": ["lab/demo.ts"],
  "netns/lab_test.ts": [
    "lab/agent_process.ts",
    "lab/command.ts",
    "lab/host.ts",
    "lab/lab.ts",
    "lab/netns.ts",
    "lab/sweep.ts",
    "lab/wiring.ts",
  ],
  "netns/masquerade_forward_test.ts": ["masquerade/plan.ts", "masquerade/rule_set.ts"],
  "netns/masquerade_legacy_test.ts": ["masquerade/legacy_iptables.ts", "netlink/legacy_tables.ts"],
  "netns/masquerade_networks_test.ts": ["masquerade/flannel_rules.ts"],
  "netns/masquerade_rivals_test.ts": ["cli/rule_fights.ts"],
  "netns/masquerade_rules_test.ts": ["masquerade/rules.ts", "masquerade/traffic_rules.ts"],
  "netns/netlink_client_test.ts": ["netlink/client.ts", "netlink/errno.ts"],
  "netns/netlink_lookup_test.ts": ["netlink/route_lookup.ts"],
  "netns/netlink_socket_test.ts": ["netlink/ffi.ts", "netlink/socket.ts"],
  "netns/underlay_segment_test.ts": ["cli/open_segment.ts"],
  "underlay/reach_test.ts": ["model/reach.ts"],
  "netns/reconcile_test.ts": [
    "reconcile/apply.ts",
    "reconcile/observe.ts",
    "reconcile/plan.ts",
    "reconcile/reconciler.ts",
    "reconcile/report.ts",
    "reconcile/trigger.ts",
  ],
  "underlay/underlay_test.ts": [
    "underlay/ours.ts",
    "underlay/reason.ts",
    "underlay/settle.ts",
    "underlay/ways.ts",
  ],
};

/** What a file exports that is there at run time: without it, the file is only types. */
const RUNTIME_EXPORT = /^export (?:async )?(?:abstract )?(?:function|const|class|let|enum)\b/m;
/** An import, or the path of a script that a test starts. */
const PATH = /"(\.{1,2}\/[^"]+\.ts)"/g;

interface Place {
  readonly room: string;
  readonly floor: number;
}

function placeOf(file: URL): Place {
  const room = file.href.slice(SRC.href.length).split("/")[0]!;
  return { room, floor: FLOORS.findIndex((rooms) => rooms.includes(room)) };
}

async function sourceFiles(folder = SRC): Promise<URL[]> {
  const files: URL[] = [];
  for await (const entry of Deno.readDir(folder)) {
    if (entry.isDirectory) files.push(...await sourceFiles(new URL(`${entry.name}/`, folder)));
    else if (entry.name.endsWith(".ts")) files.push(new URL(entry.name, folder));
  }
  return files;
}

Deno.test("no file imports a room on its own floor or above", async () => {
  const wrong: string[] = [];
  let imports = 0;
  for (const file of await sourceFiles()) {
    const here = placeOf(file);
    for (const [, specifier] of (await Deno.readTextFile(file)).matchAll(IMPORT)) {
      const target = new URL(specifier!, file);
      if (!target.href.startsWith(SRC.href)) continue;
      imports++;
      const there = placeOf(target);
      // The command line starts the lab, lazily; nothing else looks sideways.
      const isLab = here.room === "cli" && there.room === "lab";
      if (there.room !== here.room && there.floor >= here.floor && !isLab) {
        wrong.push(`${file.href.slice(SRC.href.length)} imports ${specifier}`);
      }
    }
  }
  assertGreater(imports, 100, "the imports are seen at all");
  assertEquals(wrong, []);
});

Deno.test("every file is in a room that has a floor", async () => {
  const homeless = (await sourceFiles()).filter((file) => placeOf(file).floor < 0);
  assertEquals(homeless.map(({ href }) => href), []);
});

Deno.test(`no source file has more than ${MAX_LINES} lines`, async () => {
  const long: string[] = [];
  for (const file of await sourceFiles()) {
    const lines = (await Deno.readTextFile(file)).split("\n").length - 1;
    if (lines > MAX_LINES) long.push(`${file.href.slice(SRC.href.length)}: ${lines}`);
  }
  assertEquals(long, []);
});

Deno.test("no test is switched off, and none is the only one to run", async () => {
  const off = /Deno\.test\.(?:ignore|only)|\b(?:ignore|only): true/;
  const wrong: string[] = [];
  const look = async (folder: URL) => {
    for await (const entry of Deno.readDir(folder)) {
      const url = new URL(entry.isDirectory ? `${entry.name}/` : entry.name, folder);
      if (entry.isDirectory) await look(url);
      else if (
        entry.name.endsWith("_test.ts") && off.test((await Deno.readTextFile(url)).replaceAll(off.source, ""))
      ) {
        wrong.push(url.href.slice(TESTS.href.length));
      }
    }
  };
  await look(TESTS);
  assertEquals(wrong, []);
});

Deno.test("every source file has a test file of its name, or a test that covers it", async () => {
  const covered = Object.values(COVERED).flat();
  const without: string[] = [];
  for (const file of await sourceFiles()) {
    const path = file.href.slice(SRC.href.length);
    if (covered.includes(path)) continue;
    if (!RUNTIME_EXPORT.test(await Deno.readTextFile(file))) continue;
    if (await readOrNothing(new URL(path.replace(/\.ts$/, "_test.ts"), TESTS)) === undefined) {
      without.push(path);
    }
  }
  assertEquals(without, []);
});

Deno.test("a test reaches the files it is said to cover", async () => {
  const wrong: string[] = [];
  for (const [test, paths] of Object.entries(COVERED)) {
    const reached = await reachedFrom(new URL(test, TESTS));
    const missed = paths.filter((path) => !reached.has(new URL(path, SRC).href));
    wrong.push(...missed.map((path) => `${test} does not reach ${path}`));
  }
  assertEquals(wrong, []);
});

/** The files that one leads to, itself included. */
async function reachedFrom(start: URL): Promise<Set<string>> {
  const reached = new Set<string>();
  const waiting = [start.href];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (reached.has(next)) continue;
    const text = await readOrNothing(new URL(next));
    if (text === undefined) continue;
    reached.add(next);
    for (const [, path] of text.matchAll(PATH)) waiting.push(new URL(path!, next).href);
  }
  return reached;
}

async function readOrNothing(file: URL): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
