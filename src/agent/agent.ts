import { basename, dirname } from "node:path";
import type { Options } from "../config/options.ts";
import { inTurns, type Worker, Workers } from "../loop/worker.ts";
import { severityOf } from "../model/condition.ts";
import { NetlinkClient } from "../netlink/client.ts";
import { Libc } from "../linux/libc.ts";
import { ownProcess } from "../linux/own_process.ts";
import { legacyTableNames } from "../linux/legacy_tables.ts";
import { AF_INET, AF_INET6 } from "../model/address.ts";
import { raiseDescriptorLimit } from "../linux/descriptor_limit.ts";
import { FolderWatch } from "../linux/folder_watch.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import type { AgentFacts, StatusDeps } from "../status/facts.ts";
import { keepServing, type KeptStatusServer } from "../status/server.ts";
import { AgentClaims } from "./agent_claim.ts";
import { AgentDoor } from "./agent_door.ts";
import { AgentStart, openConfigWatch, openNetworkGuard } from "./agent_start.ts";
import { AgentStateFile } from "./agent_state_file.ts";
import { orWarn } from "./best_effort.ts";
import { errorText } from "../log/error_text.ts";
import { CountedLog } from "../log/counted_log.ts";
import type { Log } from "../log/log.ts";
import { LeaseCacheKeeper } from "./lease_cache_keeper.ts";
import { logConditions } from "./log_condition.ts";
import { MemoryKeeper } from "./memory_keeper.ts";
import { type ReadConfig, readConfigAside, readConfigFile, readRegistryConfig } from "./network_config.ts";
import { PatientFiles } from "./patient_files.ts";
import { PassTotals } from "./pass_totals.ts";
import { requirePrivilege } from "./preflight.ts";
import { credentialReader } from "./read_credential.ts";
import { registryPlace } from "./registry_place.ts";
import type { ConfigWatch } from "./config_watch.ts";
import { NotedFlagsKeeper } from "./noted_flags.ts";
import { dropStaleConflist } from "./stale_conflist.ts";
import { SelfReport } from "./self_report.ts";
import { Uncaught } from "./uncaught.ts";
import { runMember } from "./member.ts";
import type { AgentContext, AgentDeps } from "./context.ts";

/** How often it is looked whether there is something new to say of this host. */
const LOOK_MS = 1000;
/** How often it is looked whether watched folders are the same: of what is mounted over one nothing is heard. */
const FOLDER_LOOK_MS = 5000;
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
  const log = new CountedLog(deps.log);
  const { subnetFilePath } = options;
  const stateFile = new AgentStateFile(subnetFilePath, { now: () => new Date() });
  const noted = new NotedFlagsKeeper(subnetFilePath, deps.noted);
  using libc = new Libc();
  orWarn("limit of descriptors not raised", log, () => raiseDescriptorLimit(libc));
  using uncaught = new Uncaught(globalThis, { log });
  using claims = new AgentClaims({ libc, log, subnetFilePath });
  // What is said beside the subnet file of another agent is the other's.
  const last = (sentence: string) => {
    if (claims.takeLastWord()) {
      stateFile.keep([{ code: "agent-ended", sentence }]);
      // There is no board any more.
      for (const { sentence } of stateFile.conditions) {
        log.write("warn", "end not told", { reason: sentence });
      }
    }
  };
  try {
    await run(options, { ...deps, log }, { libc, claims, stateFile, noted, uncaught, signal });
    last(ENDED);
  } catch (error) {
    last(signal.aborted ? ENDED : errorText(error));
    throw error;
  }
}

/** What hears of changes to files. */
function folderWorkers(folders: FolderWatch | undefined): readonly Worker[] {
  if (folders === undefined) return [];
  return [
    { name: "file watch", run: (options) => folders.run(options) },
    { name: "folder look", run: inTurns(() => void folders.recheck(), { periodMs: FOLDER_LOOK_MS }) },
  ];
}

/** What an agent is run with. */
interface Run {
  readonly libc: Libc;
  readonly claims: AgentClaims;
  readonly stateFile: AgentStateFile;
  readonly noted: NotedFlagsKeeper;
  readonly uncaught: Uncaught;
  readonly signal: AbortSignal;
}

async function run(
  options: Options,
  deps: AgentDeps & { readonly log: CountedLog },
  { libc, claims, stateFile, noted, uncaught, signal }: Run,
): Promise<void> {
  const { log } = deps;
  await using stack = new AsyncDisposableStack();
  const workers = new Workers({ log });
  const beside = (name: string, run: Worker["run"]) => stack.use(workers.start({ name, run }, { signal }));

  // First all that can be wrong, before anything is made.
  const files = new PatientFiles(libc);
  const file = options.registry.kind === "etcd" ? undefined : await firstOfFile(options, { files, log });
  giveUpPrograms(libc);
  const transport = stack.use(NetlinkSocket.open(libc));
  const totals = new PassTotals(deps.logLoss, log);
  const client = new NetlinkClient(transport, { refusals: totals.netlinkErrors });
  requirePrivilege(client);
  const folders = stack.use(orWarn("files not watched", log, () => FolderWatch.open(libc)));
  const watchFiles = (path: string, changed: () => void): Disposable | undefined =>
    folders && orWarn("file not watched", log, () => folders.add(dirname(path), basename(path), changed));
  const place = stack.use(
    await registryPlace(options.registry, { ...deps, watchFiles, readCredential: credentialReader(files) }),
  );
  for (const { name, run } of folderWorkers(folders)) beside(name, run);

  const measured = { figures: () => totals, process: () => ownProcess(libc) };
  const report = new SelfReport({ registryName: place.name, totals, measured, log });
  /** Runs what has something to say, too. */
  const keep = (name: string, part: Pick<ConfigWatch, "conditions" | "run"> | undefined) => {
    if (part === undefined) return;
    report.addSource(() => part.conditions);
    beside(name, (options) => part.run(options));
  };
  report.addSource(() => [workers, stateFile, noted, uncaught].flatMap(({ conditions }) => conditions));
  report.addSource(() => logConditions(deps.logLoss, options));
  keep("claims", claims);
  keep("health server", openHealth(options, () => report.current, { libc, stack, signal }));
  const start = new AgentStart({ claims, dropStale: () => dropStaleConflist(options, { client, log }) });
  start.takeSubnetFile();
  keep("door", openDoor(options, { libc, claims, current: () => report.current, stack }));
  beside("conditions", inTurns(() => tell(report, { claims, stateFile, noted }), { periodMs: LOOK_MS }));

  const memory = openMemory(libc);
  const cacheKeeper = stack.use(openLeaseCache(options, { place, log }));
  keep("lease cache", cacheKeeper);
  const { waiting } = report;
  const first = file ?? await firstOfRegistry(options, { place, cacheKeeper, waiting, log }, { signal });
  const held = () => report.facts.ownLease()?.parts.map(({ subnet }) => subnet) ?? [];
  const watch = openConfigWatch(first, { options, place, files, watchFiles, held, log });
  keep("configuration watch", watch);
  const system = { libc, transport, client, watchFiles };
  const process = { ...system, place, memory, totals, cacheKeeper, claims, workers };
  for (let isEnded = false; !isEnded;) {
    report.speakFor();
    const { config, text } = await start.begin(watch, waiting, { signal });
    const cache = cacheKeeper?.read(place.name);
    const guard = openNetworkGuard(config, { options, place, watch, cache, waiting });
    const show = (facts: AgentFacts) => {
      watch.isApplied = true;
      report.speakFor(facts);
    };
    isEnded = await runMember(
      {
        ...deps,
        ...process,
        options,
        guard,
        waiting,
        show,
        conditions: report.ofProcess,
        elapsedMs: () => performance.now(),
      },
      // Of another network the cache says nothing.
      { config, text: file === undefined ? text : undefined, cache: guard.isKnown ? cache : undefined },
      { signal },
    );
  }
  log.write("info", "agent ended, the data path stays", {});
}

/** Looks what is to be known, and tells the plugin what keeps pods from being started. */
function tell(
  report: SelfReport,
  { claims, stateFile, noted }: Pick<Run, "claims" | "stateFile" | "noted">,
): void {
  const conditions = report.look();
  if (!claims.hasSubnetFile) return;
  stateFile.keep(conditions.filter((one) => severityOf(one) === "blocking"));
  // What an agent could not even begin with is of no use to anyone.
  if (report.isSpokenFor) noted.keep();
}

/** What serves the status endpoints; `undefined` where they are not asked for. */
function openHealth(
  { health }: Options,
  current: () => StatusDeps,
  { libc, stack, signal }: {
    readonly libc: Libc;
    readonly stack: AsyncDisposableStack;
    readonly signal: AbortSignal;
  },
): KeptStatusServer | undefined {
  return health && stack.use(keepServing(current, { ...health, libc, signal }));
}

/** What answers the commands of this host. */
function openDoor(
  { subnetFilePath }: Options,
  { libc, claims, current, stack }: Pick<Run, "libc" | "claims"> & {
    readonly current: () => StatusDeps;
    readonly stack: AsyncDisposableStack;
  },
): AgentDoor {
  return stack.use(new AgentDoor({ libc, subnetFilePath, isOurs: () => claims.hasSubnetFile, current }));
}

/** The configuration that a file has. */
async function firstOfFile(
  options: Options,
  { files, log }: { readonly files: PatientFiles; readonly log: Log },
): Promise<ReadConfig> {
  return readConfigFile(options, log, await readConfigAside(options.networkConfigPath, files));
}

function openMemory(libc: Libc): MemoryKeeper {
  return new MemoryKeeper({
    trim: () => libc.call.malloc_trim(0n),
    residentBytes: () => Deno.memoryUsage().rss,
    elapsedMs: () => performance.now(),
  });
}

/** What keeps the lease cache; `undefined` where none is wanted. */
function openLeaseCache(
  { leaseCachePath }: Options,
  { place, log }: Pick<AgentContext, "place" | "log">,
): LeaseCacheKeeper | undefined {
  if (leaseCachePath === undefined || place.isOnDisk) return undefined;
  return new LeaseCacheKeeper(leaseCachePath, { log });
}

/** The configuration that the registry keeps, once it is there. */
async function firstOfRegistry(
  options: Options,
  { place, cacheKeeper, waiting, log }: Pick<AgentContext, "place" | "cacheKeeper" | "waiting" | "log">,
  { signal }: { readonly signal: AbortSignal },
): Promise<ReadConfig> {
  const remembered = cacheKeeper?.read(place.name)?.networkConfig;
  const deps = {
    read: (options: { readonly signal: AbortSignal }) => place.readNetworkConfig!(options),
    source: place.name,
    remembered,
    waiting,
    log,
  };
  return await readRegistryConfig(options, deps, { signal });
}

/** An agent can start no program, also if an attacker controls it; but legacy iptables can't be changed otherwise. */
function giveUpPrograms(libc: Libc): void {
  const isLegacy = ([AF_INET, AF_INET6] as const).some((family) => legacyTableNames(libc, family).length > 0);
  if (!isLegacy) Deno.permissions.revokeSync({ name: "run" });
}
