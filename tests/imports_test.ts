import { assertEquals, assertGreater } from "@std/assert";

const SRC = new URL("../src/", import.meta.url);
const TESTS = new URL("./", import.meta.url);

/** Rooms from the ground up. A file may import its own room and lower floors. */
const FLOORS: readonly (readonly string[])[] = [
  ["model", "log"],
  ["loop", "file", "linux", "core", "config"],
  ["netlink"],
  ["rtnetlink", "nftables"],
  ["overlay", "registry", "firewall", "host", "cloud", "pods", "path"],
  ["reconcile", "plugin", "leftovers"],
  ["status"],
  ["agent"],
  ["command", "lab"],
];
const IMPORT = /(?:from|import|import\()\s*"(\.[^"]+)"/g;
/** An import or an export of a whole module: not one that is made when it is needed. */
const STATIC_IMPORT = /^(?:import|export)\s[^;]*?from\s+"([^"]+)";$/gm;
const MAX_LINES = 320;

/** Source files without a test file of their own name, by the test that covers them. */
const COVERED: Readonly<Record<string, readonly string[]>> = {
  "core/dump_test.ts": ["core/window.ts"],
  "netns/passes_test.ts": [
    "reconcile/apply_steps.ts",
    "reconcile/heard_rows.ts",
    "reconcile/observe_rows.ts",
    "reconcile/passes.ts",
  ],
  "reconcile/wanted_random_test.ts": ["reconcile/wanted_rows.ts"],
  "registry/lease_set_random_test.ts": ["registry/remote_index.ts"],
  "netns/doctor_faults_test.ts": ["command/doctor/forward_play.ts", "nftables/verdict_map.ts"],
  "command/doctor/check_test.ts": [
    "command/doctor/doctor.ts",
    "command/doctor/finding.ts",
    "command/doctor/usage.ts",
  ],
  "command/doctor/judges_test.ts": [
    "command/doctor/agent_checks.ts",
    "command/doctor/firewall_checks.ts",
    "command/doctor/kernel_checks.ts",
    "command/doctor/lease_checks.ts",
    "command/doctor/limit_checks.ts",
    "command/doctor/link_checks.ts",
    "command/doctor/manager_checks.ts",
    "command/doctor/pod_checks.ts",
  ],
  "command/doctor/registry_checks_test.ts": [
    "command/doctor/conflists.ts",
    "command/doctor/follow.ts",
    "command/doctor/host_files.ts",
    "command/doctor/place.ts",
  ],
  "netns/explain_test.ts": [
    "command/explain/explanation.ts",
    "command/explain/facts.ts",
    "command/explain/judge.ts",
    "command/explain/judge_filters.ts",
    "command/explain/judge_mtu.ts",
    "command/explain/judge_route.ts",
    "command/explain/judge_tunnel.ts",
    "command/explain/read_facts.ts",
    "command/explain/route_words.ts",
    "command/explain/service.ts",
    "command/explain/way_reader.ts",
    "rtnetlink/neighbour_entry.ts",
  ],
  "netns/explain_rules_test.ts": ["command/explain/judge_changes.ts", "nftables/writing.ts"],
  "netns/explain_frame_test.ts": [
    "command/explain/filter_facts.ts",
    "command/explain/frame_filters.ts",
    "command/explain/link_facts.ts",
    "command/explain/pod_port.ts",
    "command/explain/traffic_facts.ts",
    "rtnetlink/bridge_port.ts",
    "rtnetlink/traffic_control.ts",
  ],
  "netns/packet_walk_test.ts": [
    "nftables/compare.ts",
    "nftables/match.ts",
    "nftables/packet.ts",
    "nftables/packet_walk.ts",
    "nftables/raw_rule.ts",
    "nftables/rule_book.ts",
    "nftables/rule_set.ts",
    "nftables/rule_words.ts",
    "nftables/tracking.ts",
    "nftables/xt_match.ts",
  ],
  "command/explain/live_judge_test.ts": ["command/explain/drop_words.ts"],
  "command/explain/explain_test.ts": [
    "command/explain/lease_schema.ts",
    "command/explain/usage.ts",
  ],
  "netns/explain_live_test.ts": [
    "command/explain/live.ts",
    "command/explain/live_heard.ts",
    "command/explain/live_report.ts",
    "command/explain/pod_netns.ts",
    "rtnetlink/netns_id.ts",
    "linux/trace_fs.ts",
  ],
  "command/support_bundle/collect_test.ts": [
    "command/support_bundle/host_entries.ts",
    "command/support_bundle/kernel_entries.ts",
    "command/support_bundle/known_secrets.ts",
    "command/support_bundle/support_bundle.ts",
    "command/support_bundle/usage.ts",
  ],
  "netns/culprits_test.ts": ["reconcile/culprits.ts"],
  "netns/incoming_test.ts": ["firewall/incoming.ts", "reconcile/incoming_vxlan.ts"],
  "agent/forward_words_test.ts": ["nftables/place_words.ts"],
  "netns/xfrm_policy_test.ts": ["rtnetlink/xfrm_policy.ts"],
  "netns/forwarded_test.ts": ["firewall/forwarded.ts", "firewall/lazy_book.ts", "firewall/outer_marks.ts"],
  "faults/ready_test.ts": [
    "agent/forward_keeper.ts",
    "agent/truth_findings.ts",
    "agent/truth_keeper.ts",
    "agent/truth_sweep.ts",
    "model/truth_reasons.ts",
    "reconcile/route_names.ts",
    "reconcile/route_truth.ts",
    "reconcile/truth_look.ts",
    "reconcile/truth_words.ts",
  ],
  "netns/log_lines_test.ts": ["reconcile/repair_lines.ts"],
  "netns/link_losses_test.ts": ["agent/link_keeper.ts", "rtnetlink/link_counters.ts"],
  "status/metrics_test.ts": ["status/figure_metrics.ts", "status/path_metrics.ts"],
  "reconcile/reconciler_test.ts": ["reconcile/drift.ts"],
  "netns/plan_doors_test.ts": ["agent/plan/dry_doors.ts"],
  "netns/plan_legacy_test.ts": ["firewall/legacy_words.ts"],
  "netns/plan_command_test.ts": ["agent/plan/plan_alone.ts", "agent/plan/read_only_registry.ts"],
  "faults/plan_test.ts": [
    "agent/plan/plan_host.ts",
    "command/plan/plan.ts",
    "command/plan/usage.ts",
    "reconcile/drift_words.ts",
  ],
  "netns/route_query_test.ts": [
    "rtnetlink/route_query.ts",
    "rtnetlink/route_walk.ts",
    "rtnetlink/rule_text.ts",
  ],
  "overlay/backend/host_gw_test.ts": ["overlay/backend/direct_route.ts", "overlay/backend/push_route.ts"],
  "overlay/backend/make_backend_test.ts": [
    "overlay/backend/alloc.ts",
    "overlay/backend/backend.ts",
    "overlay/backend/blackhole.ts",
  ],
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
  "config/options_test.ts": [
    "config/flags.ts",
    "config/host_flags.ts",
    "config/later_flags.ts",
    "config/path_flags.ts",
  ],
  "config/parse_flags_test.ts": ["config/flag.ts", "config/usage_error.ts"],
  "registry/http/json_sieve_test.ts": ["registry/http/byte_buffer.ts", "registry/http/json_value_end.ts"],
  "log/connection_reason_test.ts": ["registry/http/http_door.ts"],
  "registry/http/tls_pair_test.ts": [
    "registry/http/connection_error.ts",
    "registry/http/key_kind.ts",
    "registry/http/pem.ts",
  ],
  "registry/kube/kube_config_test.ts": ["registry/kube/kube_config_form.ts"],
  "registry/kube/kube_feed_test.ts": [
    "registry/kube/kube_event.ts",
    "registry/kube/kube_known.ts",
    "registry/kube/kube_list.ts",
    "registry/kube/kube_version.ts",
    "registry/kube/kube_watch.ts",
  ],
  "registry/kube/registry_test.ts": [
    "registry/kube/kube.ts",
    "registry/kube/kube_announcer.ts",
    "registry/kube/kube_client.ts",
    "registry/kube/kube_own_node.ts",
    "registry/kube/kube_reason.ts",
    "registry/http/chunks.ts",
  ],
  "registry/etcd/etcd_acquire_test.ts": ["registry/etcd/etcd_own.ts"],
  "registry/etcd/etcd_test.ts": ["registry/http/http_door.ts"],
  "registry/lease_set_test.ts": [
    "registry/overlap.ts",
    "registry/part_check.ts",
    "registry/remote_leases.ts",
  ],
  "pods/subnet_file_test.ts": ["file/replace_file.ts", "file/write_if_other.ts"],
  "pods/install_file_test.ts": ["file/read_file.ts"],
  "command/install_cni_test.ts": ["pods/install_places.ts"],
  "plugin/verbs_test.ts": [
    "pods/cni_error.ts",
    "plugin/plugin.ts",
    "plugin/request.ts",
    "pods/result.ts",
  ],
  "agent/agent_state_file_test.ts": ["pods/agent_state.ts"],
  "agent/pod_files_test.ts": ["agent/conflist_keeper.ts"],
  "agent/underlay_follower_test.ts": ["agent/address_trial.ts", "overlay/underlay/lost.ts"],
  "registry/local/local_file_test.ts": ["registry/local/local_row.ts", "registry/registry_error.ts"],
  "registry/local/local_test.ts": [
    "registry/local/local_changes.ts",
    "registry/local/local_reader.ts",
    "registry/local/shared_file.ts",
  ],
  "agent/patient_files_test.ts": ["linux/read_aside.ts"],
  "command/completion/completion_test.ts": [
    "command/command_table.ts",
    "command/completion/bash.ts",
    "command/completion/fish.ts",
    "command/completion/usage.ts",
    "command/completion/zsh.ts",
  ],
  "command/hand_back/hand_back_test.ts": [
    "command/hand_back/hand_back_report.ts",
    "command/hand_back/hand_back_rules.ts",
    "command/hand_back/usage.ts",
  ],
  "netns/hand_back_agent_test.ts": ["agent/other_agents.ts", "command/hand_back/hand_back_agent.ts"],
  "netns/hand_back_backend_test.ts": ["command/hand_back/hand_back_backend.ts"],
  "netns/hand_back_test.ts": ["command/hand_back/hand_back_env.ts", "command/hand_back/hand_back_wishes.ts"],
  "netns/hand_back_left_test.ts": ["command/hand_back/hand_back_left.ts"],
  "netns/hand_back_lease_test.ts": ["command/hand_back/hand_back_lease.ts"],
  "netns/hand_back_routes_test.ts": ["command/hand_back/hand_back_routes.ts"],
  "netns/hand_back_rules_test.ts": [
    "firewall/flannel_nft.ts",
    "firewall/hand_back.ts",
    "firewall/legacy_hand_back.ts",
  ],
  "command/kubectl/kubectl_test.ts": [
    "command/kubectl/read_cluster.ts",
    "command/kubectl/usage.ts",
  ],
  "command/man/man_test.ts": ["command/man/usage.ts"],
  "command/status/status_test.ts": ["command/status/usage.ts"],
  "command/status/status_text_test.ts": ["command/status/answer.ts"],
  "netns/status_command_test.ts": [
    "command/status/kernel_state.ts",
    "command/status/local_facts.ts",
    "command/status/local_text.ts",
    "command/status/look_text.ts",
  ],
  "command/main_test.ts": [
    "command/agent.ts",
    "command/agent_main.ts",
    "command/command.ts",
    "command/command_of.ts",
    "command/commands.ts",
    "command/output.ts",
    "command/run_command.ts",
  ],
  "command/agent_door_test.ts": [
    "agent/agent_door.ts",
    "linux/unix_listener.ts",
    "status/door_app.ts",
    "status/door_path.ts",
  ],
  "status/app_test.ts": ["status/status_report.ts"],
  "netns/process_test.ts": ["command/signals.ts"],
  "linux/program_test.ts": ["linux/bounded_output.ts"],
  "linux/folder_watch_test.ts": ["linux/poll.ts"],
  "status/http_server_test.ts": [
    "linux/poll_many.ts",
    "linux/socket_address.ts",
    "linux/stream_socket.ts",
    "linux/tcp_listener.ts",
    "status/http_connection.ts",
  ],
  "registry/etcd/etcd_client_test.ts": ["registry/etcd/etcd_refusal.ts", "registry/etcd/etcd_door.ts"],
  "registry/etcd/etcd_follower_test.ts": ["registry/etcd/etcd_proof.ts"],
  "registry/etcd/etcd_silence_test.ts": ["registry/prove_claims.ts"],
  "netlink/fuzz_test.ts": [
    "linux/byte_order.ts",
    "model/rows.ts",
    "model/table.ts",
    "netlink/attribute.ts",
    "netlink/inbox.ts",
    "rtnetlink/link_slots.ts",
    "netlink/message.ts",
  ],
  "nftables/objects_test.ts": [
    "nftables/dump.ts",
    "nftables/expression.ts",
    "nftables/register.ts",
    "nftables/value.ts",
  ],
  "netns/cleanup_node_test.ts": [
    "command/cleanup/cleanup_kernel.ts",
    "command/cleanup/cleanup_node.ts",
    "command/cleanup/cleanup_rules.ts",
    "command/cleanup/cleanup_step.ts",
  ],
  "netns/cleanup_test.ts": [
    "agent/host_facts.ts",
    "command/cleanup/cleanup.ts",
    "command/cleanup/cleanup_stale.ts",
  ],
  "netns/eni_path_test.ts": ["agent/eni_path_keeper.ts", "agent/eni_path_watch.ts", "host/eni_link.ts"],
  "netns/fights_pass_test.ts": ["reconcile/due_rows.ts", "reconcile/state_fights.ts"],
  "rtnetlink/link_test.ts": ["rtnetlink/link_header.ts", "rtnetlink/veth.ts", "rtnetlink/vxlan.ts"],
  "rtnetlink/route_test.ts": ["rtnetlink/route_header.ts"],
  "netns/mac_announcement_test.ts": ["linux/packet_socket.ts"],
  "netns/path_test.ts": ["agent/open_paths.ts"],
  "netns/udp_port_test.ts": ["linux/udp_port.ts"],
  "path/path_door_test.ts": ["path/open_place.ts"],
  "path/path_prober_test.ts": ["path/path_ledger.ts", "path/path_looker.ts"],
  "path/path_sizes_test.ts": ["model/peer_path.ts"],
  "status/path_answers_test.ts": ["status/door_refusal.ts"],
  "netns/overlay_repair_test.ts": ["agent/best_effort.ts"],
  "agent/agent_claim_holder_test.ts": ["linux/unix_sockets.ts"],
  "netns/unix_claim_test.ts": ["linux/unix_claim.ts"],
  "netns/overlay_restart_test.ts": [
    "agent/agent.ts",
    "agent/agent_status.ts",
    "agent/lease_request.ts",
    "agent/open_underlay.ts",
    "agent/open_pods.ts",
    "agent/reconciler_deps.ts",
    "agent/lease_parts.ts",
    "agent/member.ts",
    "agent/stages.ts",
    "agent/underlay_parts.ts",
    "agent/workers.ts",
  ],
  "netns/host_agent_test.ts": ["agent/host_keeper.ts"],
  "agent/rules_keeper_test.ts": ["agent/open_rules.ts"],
  "netns/cni_agent_test.ts": ["agent/stale_conflist.ts"],
  "netns/cni_old_subnet_test.ts": [
    "agent/bridge_changes.ts",
    "agent/bridge_keeper.ts",
    "agent/pod_keeper.ts",
  ],
  "netns/cni_plugin_test.ts": ["plugin/delegate.ts", "linux/file_identity.ts"],
  "netns/host_prerequisites_test.ts": ["host/kernel_features.ts", "host/prerequisites.ts"],
  "netns/host_probe_test.ts": ["linux/udp_socket.ts"],
  "netns/host_tx_checksum_test.ts": ["linux/ethtool.ts"],
  "netns/kernel_watch_test.ts": [
    "agent/preflight.ts",
    "reconcile/kernel_watch.ts",
    "overlay/underlay/host_network.ts",
  ],
  "netns/lab_demo_test.ts": ["lab/demo.ts"],
  "netns/vtep_taken_test.ts": ["reconcile/vni_holder.ts"],
  "netns/lab_test.ts": [
    "lab/agent_process.ts",
    "lab/command.ts",
    "lab/host.ts",
    "lab/lab.ts",
    "lab/netns.ts",
    "lab/pod.ts",
    "lab/sweep.ts",
    "lab/wiring.ts",
  ],
  "cloud/aws/ec2_client_test.ts": ["cloud/aws/read_capped.ts"],
  "agent/open_cloud_test.ts": ["cloud/aws/open_aws_cloud.ts"],
  "cloud/aws/managed_interface_test.ts": ["cloud/aws/interface_calls.ts"],
  "model/reasons_test.ts": ["model/cloud_reasons.ts", "model/path_reasons.ts", "model/process_reasons.ts"],
  "command/doctor/aws_doctor_test.ts": ["cloud/aws/examine.ts", "cloud/aws/open_doctor.ts"],
  "netns/masquerade_forward_test.ts": ["firewall/before_ours.ts", "firewall/plan.ts", "firewall/rule_set.ts"],
  "netns/masquerade_legacy_test.ts": ["firewall/legacy_iptables.ts", "linux/legacy_tables.ts"],
  "netns/masquerade_networks_test.ts": ["firewall/flannel_rules.ts"],
  "netns/masquerade_rivals_test.ts": ["agent/rule_fights.ts"],
  "netns/masquerade_rules_test.ts": ["firewall/rules.ts", "firewall/traffic_rules.ts"],
  "netns/netlink_client_test.ts": ["netlink/client.ts", "linux/errno.ts"],
  "netns/netlink_lookup_test.ts": ["rtnetlink/route_lookup.ts"],
  "netns/netlink_socket_test.ts": ["linux/libc.ts", "netlink/socket.ts"],
  "netns/underlay_segment_test.ts": ["agent/open_ways.ts"],
  "overlay/underlay/reach_test.ts": ["model/reach.ts"],
  "netns/reconcile_test.ts": [
    "reconcile/apply.ts",
    "reconcile/observe.ts",
    "reconcile/plan.ts",
    "reconcile/reconciler.ts",
    "rtnetlink/row_codecs.ts",
    "reconcile/report.ts",
  ],
  "overlay/underlay/underlay_test.ts": [
    "overlay/underlay/ours.ts",
    "overlay/underlay/reason.ts",
    "overlay/underlay/settle.ts",
    "overlay/underlay/ways.ts",
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

/** The source and test files. */
async function everyFile(): Promise<URL[]> {
  return [...await sourceFiles(), ...await sourceFiles(TESTS)];
}

/** The circles in a graph, each as the paths of its files in the order of the imports. */
function circlesOf(imports: ReadonlyMap<string, readonly string[]>): string[] {
  const circles: string[] = [];
  const done = new Set<string>();
  const look = (file: string, way: readonly string[]): void => {
    const at = way.indexOf(file);
    if (at >= 0) {
      circles.push([...way.slice(at), file].map((href) => href.slice(SRC.href.length)).join(" > "));
    }
    if (at >= 0 || done.has(file)) return;
    for (const target of imports.get(file) ?? []) look(target, [...way, file]);
    done.add(file);
  };
  for (const file of imports.keys()) look(file, []);
  return circles;
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
      const isLab = here.room === "command" && there.room === "lab";
      if (there.room !== here.room && there.floor >= here.floor && !isLab) {
        wrong.push(`${file.href.slice(SRC.href.length)} imports ${specifier}`);
      }
    }
  }
  assertGreater(imports, 100, "the imports are seen at all");
  assertEquals(wrong, []);
});

Deno.test("the registries know what they share, and not each other", async () => {
  const kindOf = (url: URL) => /^registry\/(etcd|kube|local)\//.exec(url.href.slice(SRC.href.length))?.[1];
  const wrong: string[] = [];
  for (const file of await sourceFiles()) {
    const here = kindOf(file);
    if (here === undefined) continue;
    for (const [, specifier] of (await Deno.readTextFile(file)).matchAll(IMPORT)) {
      const there = kindOf(new URL(specifier!, file));
      if (there !== undefined && there !== here) {
        wrong.push(`${file.href.slice(SRC.href.length)} imports ${specifier}`);
      }
    }
  }
  assertEquals(wrong, []);
});

/** A command is tested in its room, and on the real kernel in files that begin with its name; other tests run the program. */
Deno.test("a command's files are imported by its own tests alone", async () => {
  const wrong: string[] = [];
  for (const file of await sourceFiles(TESTS)) {
    const path = file.href.slice(TESTS.href.length);
    if (path.startsWith("command/")) continue;
    for (const [, specifier] of (await Deno.readTextFile(file)).matchAll(IMPORT)) {
      const target = new URL(specifier!, file);
      if (placeOf(target).room !== "command") continue;
      const command = target.href.slice(`${SRC.href}command/`.length).split(/[/.]/)[0];
      if (!path.startsWith(`netns/${command}_`)) wrong.push(`${path} imports ${specifier}`);
    }
  }
  assertEquals(wrong, []);
});

Deno.test("no file imports twice from one module", async () => {
  const wrong: string[] = [];
  for (const file of await everyFile()) {
    const seen = new Set<string>();
    for (const [, specifier] of (await Deno.readTextFile(file)).matchAll(STATIC_IMPORT)) {
      if (seen.has(specifier!)) wrong.push(`${file.pathname} imports ${specifier}`);
      seen.add(specifier!);
    }
  }
  assertEquals(wrong, []);
});

Deno.test("no files import each other in a circle", async () => {
  const imports = new Map<string, readonly string[]>();
  for (const file of await sourceFiles()) {
    const targets = (await Deno.readTextFile(file)).matchAll(IMPORT);
    imports.set(file.href, [...targets].map(([, specifier]) => new URL(specifier!, file).href));
  }
  assertEquals(circlesOf(imports), []);
});

Deno.test("timers are set in src/loop alone: what else waits is a worker, a pause or a limit", async () => {
  const wrong: string[] = [];
  for (const file of await sourceFiles()) {
    if (placeOf(file).room === "loop") continue;
    const found = (await Deno.readTextFile(file)).match(/\bset(?:Timeout|Interval)\b/g) ?? [];
    wrong.push(...found.map((name) => `${file.href.slice(SRC.href.length)} calls ${name}()`));
  }
  assertEquals(wrong, []);
});

Deno.test("every file is in a room that has a floor", async () => {
  const homeless = (await sourceFiles()).filter((file) => placeOf(file).floor < 0);
  assertEquals(homeless.map(({ href }) => href), []);
});

Deno.test("every room that has a floor exists", async () => {
  const rooms = new Set((await sourceFiles()).map((file) => placeOf(file).room));
  assertEquals(FLOORS.flat().filter((room) => !rooms.has(room)), []);
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
  assertEquals(without, [], "give each a test file of its name, or name it in COVERED");
});

Deno.test("every file and folder of command is run by a row of COMMANDS", async () => {
  // What all are run in.
  const shared = [
    "agent_door.ts",
    "agent_flags.ts",
    "agent_main.ts",
    "command.ts",
    "command_flags.ts",
    "command_of.ts",
    "command_table.ts",
    "commands.ts",
    "main.ts",
    "output.ts",
    "run_command.ts",
    "signals.ts",
  ];
  const rows = ["command/commands.ts", "command/agent_main.ts"];
  const main = (await Promise.all(rows.map((path) => Deno.readTextFile(new URL(path, SRC))))).join("");
  const unused: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(new URL("command/", SRC))) {
    const path = isDirectory ? `./${name}/${name}.ts` : `./${name}`;
    if (!shared.includes(name) && !main.includes(`import("${path}")`)) unused.push(name);
  }
  assertEquals(unused, [], "give each a row");
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
