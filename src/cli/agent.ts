import { basename, dirname } from "node:path";
import { holdAgentLock } from "../cni/agent_lock.ts";
import { checkSubnetFile } from "../cni/subnet_file.ts";
import type { Options } from "../config/options.ts";
import { NetlinkClient } from "../netlink/client.ts";
import { Libc } from "../netlink/ffi.ts";
import { legacyTableNames } from "../netlink/legacy_tables.ts";
import { AF_INET, AF_INET6 } from "../model/address.ts";
import { FolderWatch } from "../netlink/folder_watch.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import type { StatusDeps } from "../status/app.ts";
import { serveStatus } from "../status/server.ts";
import { MemoryKeeper, PassTotals } from "./after_pass.ts";
import { AgentWordKeeper } from "./agent_word_keeper.ts";
import { orNothing } from "./best_effort.ts";
import { errorText } from "./keep_running.ts";
import { LeaseCacheKeeper } from "./lease_cache_keeper.ts";
import { readConfigFile, readRegistryConfig } from "./network_config.ts";
import { requirePrivilege } from "./preflight.ts";
import { registryPlace } from "./registry_place.ts";
import { dropStaleConflist } from "./stale_conflist.ts";
import { takePart } from "./take_part.ts";
import type { AgentDeps } from "./workplace.ts";

/** What the CNI plugin is told after the agent. */
const ENDED = "the agent was ended";

/**
 * Runs the agent until `signal` aborts. Everything that it opens is opened here; at the end the descriptors are
 * closed, and links, routes, lease and subnet file stay in place.
 *
 * @throws If it cannot start: one sentence that says what, where, why and what to do.
 */
export async function runAgent(
  options: Options,
  deps: AgentDeps,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const word = new AgentWordKeeper(options.subnetFilePath, { log: deps.log, now: () => new Date() });
  try {
    await run(options, deps, { word, signal });
    word.keep([ENDED]);
  } catch (error) {
    word.keep([signal.aborted ? ENDED : errorText(error)]);
    throw error;
  }
}

async function run(
  options: Options,
  deps: AgentDeps,
  { word, signal }: { readonly word: AgentWordKeeper; readonly signal: AbortSignal },
): Promise<void> {
  const { log } = deps;
  await using stack = new AsyncDisposableStack();

  // First all that can be wrong, before anything is made.
  const file = options.registry.kind === "etcd" ? undefined : await readConfigFile(options, log);
  checkSubnetFile(options.subnetFilePath);
  const lock = orNothing("agent lock not held", log, () => holdAgentLock(options.subnetFilePath));
  if (lock !== undefined) stack.use(lock);
  const libc = stack.use(new Libc());
  giveUpPrograms(libc);
  const transport = stack.use(NetlinkSocket.open(libc));
  const client = new NetlinkClient(transport);
  requirePrivilege(client);
  dropStaleConflist(options, { client, log });
  const folders = stack.use(orNothing("files not watched", log, () => FolderWatch.open(libc)));
  const watchFiles = (path: string, changed: () => void): Disposable | undefined =>
    folders && orNothing("file not watched", log, () => folders.add(dirname(path), basename(path), changed));
  const place = stack.use(await registryPlace(options.registry, { ...deps, watchFiles }));

  let waitingFor = "the agent is starting";
  const waiting = (reason: string) => void (waitingFor = reason);
  const totals = new PassTotals();
  let status: StatusDeps = {
    health: () => ({ isReady: false, reasons: [waitingFor], notes: [] }),
    lastPass: () => undefined,
    underlay: () => undefined,
    ownLease: () => undefined,
    registry: () => ({ name: place.name, heardAtMs: undefined, reason: waitingFor }),
    totals: () => totals,
    pools: () => [],
    rules: () => undefined,
    host: () => undefined,
  };
  stack.use(word.follow(() => status.health().reasons));
  if (options.health !== undefined) {
    stack.use(serveStatus(() => status, { ...options.health, signal }));
  }
  const memory = new MemoryKeeper(() => libc.call.malloc_trim(0n));
  const cacheKeeper = options.leaseCachePath === undefined || place.isOnDisk ? undefined : stack.use(
    new LeaseCacheKeeper(options.leaseCachePath, { log, wrote: (leases) => memory.wrote(leases) }),
  );
  const cache = cacheKeeper?.read(place.name);
  const { config, text } = file !== undefined
    ? { config: file, text: undefined }
    : await readRegistryConfig(options, {
      read: (options) => place.readNetworkConfig!(options),
      source: place.name,
      remembered: cache?.networkConfig,
      waiting,
      log,
    }, { signal });
  const show = (next: StatusDeps) => void (status = next);
  const workplace = {
    options,
    deps,
    memory,
    totals,
    libc,
    transport,
    client,
    folders,
    watchFiles,
    place,
    cacheKeeper,
    show,
    waiting,
  };
  await takePart(workplace, { config, text, cache }, { signal });
  log.write("info", "agent ended, the data path stays", {});
}

/** An agent starts no program, whatever somebody may make it do; but legacy iptables can't be changed otherwise. */
function giveUpPrograms(libc: Libc): void {
  const isLegacy = ([AF_INET, AF_INET6] as const).some((family) => legacyTableNames(libc, family).length > 0);
  if (!isLegacy) Deno.permissions.revokeSync({ name: "run" });
}
