import { basename, dirname } from "node:path";
import { isAgentLockHeld } from "../cni/agent_lock.ts";
import { checkSubnetFile } from "../cni/subnet_file.ts";
import type { Options } from "../config/options.ts";
import { NetlinkClient } from "../netlink/client.ts";
import { Libc } from "../netlink/ffi.ts";
import { legacyTableNames } from "../netlink/legacy_tables.ts";
import { AF_INET, AF_INET6 } from "../model/address.ts";
import { FolderWatch } from "../netlink/folder_watch.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import type { StatusDeps } from "../status/app.ts";
import { keepServing } from "../status/server.ts";
import { AgentClaims } from "./agent_claim.ts";
import { AgentStart, openConfigWatch, openNetworkGuard, runBeside } from "./agent_start.ts";
import type { Finding } from "../model/finding.ts";
import { MemoryKeeper, PassTotals } from "./after_pass.ts";
import { AgentWordKeeper } from "./agent_word_keeper.ts";
import { orNothing } from "./best_effort.ts";
import type { ConfigWatch } from "./config_watch.ts";
import { errorText } from "./keep_running.ts";
import { LeaseCacheKeeper } from "./lease_cache_keeper.ts";
import { readConfigFile, readRegistryConfig } from "./network_config.ts";
import { requirePrivilege } from "./preflight.ts";
import { registryPlace } from "./registry_place.ts";
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
  const { log } = deps;
  const { subnetFilePath } = options;
  const word = new AgentWordKeeper(subnetFilePath, { log, now: () => new Date() });
  using libc = new Libc();
  using claims = new AgentClaims({ libc, log, subnetFilePath });
  // What is said beside the subnet file of another agent is the other's.
  const last = (reason: string) => {
    if (claims.hasSubnetFile || !isAgentLockHeld(subnetFilePath)) word.keep([reason]);
  };
  try {
    await run(options, deps, { libc, claims, word, signal });
    last(ENDED);
  } catch (error) {
    last(signal.aborted ? ENDED : errorText(error));
    throw error;
  }
}

/** What an agent is run with. */
interface Run {
  readonly libc: Libc;
  readonly claims: AgentClaims;
  readonly word: AgentWordKeeper;
  readonly signal: AbortSignal;
}

async function run(options: Options, deps: AgentDeps, { libc, claims, word, signal }: Run): Promise<void> {
  const { log } = deps;
  await using stack = new AsyncDisposableStack();

  // First all that can be wrong, before anything is made.
  const file = options.registry.kind === "etcd" ? undefined : await readConfigFile(options, log);
  checkSubnetFile(options.subnetFilePath);
  giveUpPrograms(libc);
  const transport = stack.use(NetlinkSocket.open(libc));
  const client = new NetlinkClient(transport);
  requirePrivilege(client);
  const folders = stack.use(orNothing("files not watched", log, () => FolderWatch.open(libc)));
  const watchFiles = (path: string, changed: () => void): Disposable | undefined =>
    folders && orNothing("file not watched", log, () => folders.add(dirname(path), basename(path), changed));
  const place = stack.use(await registryPlace(options.registry, { ...deps, watchFiles }));
  const beside = (name: string, loop: (options: { signal: AbortSignal }) => Promise<void>) =>
    stack.use(runBeside(name, loop, { signal, log }));
  if (folders !== undefined) beside("file watch", (options) => folders.run(options));

  let waitingFor = "the agent is starting";
  let source: ConfigWatch | undefined;
  const waiting = (reason: string) => void (waitingFor = reason);
  const totals = new PassTotals();
  const starting: StatusDeps = {
    health: () => ({
      isReady: false,
      reasons: [waitingFor, ...source?.fault === undefined ? [] : [source.fault]],
      notes: [],
    }),
    lastPass: () => undefined,
    underlay: () => undefined,
    ownLease: () => undefined,
    registry: () => ({ name: place.name, heardAtMs: undefined, reason: waitingFor }),
    totals: () => totals,
    pools: () => [],
    rules: () => undefined,
    host: () => undefined,
  };
  let status = starting;
  const server = options.health && stack.use(keepServing(() => status, { ...options.health, log, signal }));
  const start = new AgentStart({
    options,
    claims,
    word,
    client,
    log,
    reasons: () => status.health().reasons,
  });
  stack.use(start);
  start.takeSubnetFile();

  const memory = new MemoryKeeper(() => libc.call.malloc_trim(0n));
  const cacheKeeper = options.leaseCachePath === undefined || place.isOnDisk ? undefined : stack.use(
    new LeaseCacheKeeper(options.leaseCachePath, { log, wrote: (leases) => memory.wrote(leases) }),
  );
  const readFirst = async () =>
    await readRegistryConfig(options, {
      read: (options) => place.readNetworkConfig!(options),
      source: place.name,
      remembered: cacheKeeper?.read(place.name)?.networkConfig,
      waiting,
      log,
    }, { signal });
  const held = () => status.ownLease()?.parts.map(({ subnet }) => subnet) ?? [];
  const watch = source = openConfigWatch(file ?? await readFirst(), {
    options,
    place,
    watchFiles,
    held,
    log,
  });
  beside("configuration watch", (options) => watch.run(options));
  const findings = (): readonly Finding[] => [
    ...watch.findings,
    ...server?.fault === undefined ? [] : [{ isBlocking: false, sentence: server.fault }],
  ];
  for (let isEnded = false; !isEnded;) {
    status = starting;
    const { config, text } = await start.begin(watch, waiting, { signal });
    const cache = cacheKeeper?.read(place.name);
    const guard = await openNetworkGuard(config, { options, place, watch, cache, waiting, log });
    const workplace = {
      options,
      deps,
      memory,
      totals,
      libc,
      transport,
      client,
      watchFiles,
      place,
      cacheKeeper,
      guard,
      findings,
      show: (next: StatusDeps) => {
        watch.isApplied = true;
        status = next;
      },
      waiting,
    };
    const known = {
      config,
      text: file === undefined ? text : undefined,
      // Of another network it says nothing.
      cache: guard.isKnown ? cache : undefined,
    };
    isEnded = await takePart(workplace, known, { signal });
  }
  log.write("info", "agent ended, the data path stays", {});
}

/** An agent starts no program, whatever somebody may make it do; but legacy iptables can't be changed otherwise. */
function giveUpPrograms(libc: Libc): void {
  const isLegacy = ([AF_INET, AF_INET6] as const).some((family) => legacyTableNames(libc, family).length > 0);
  if (!isLegacy) Deno.permissions.revokeSync({ name: "run" });
}
