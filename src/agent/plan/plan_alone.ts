import { statIfThere } from "../../file/read_file.ts";
import { Libc } from "../../linux/libc.ts";
import { SILENT } from "../../log/log.ts";
import { LinkedAbort } from "../../loop/linked_abort.ts";
import { Trigger } from "../../loop/trigger.ts";
import { Workers } from "../../loop/worker.ts";
import type { Condition } from "../../model/condition.ts";
import type { HostPlan } from "../../model/host_plan.ts";
import { NetlinkClient } from "../../netlink/client.ts";
import { NetlinkSocket } from "../../netlink/socket.ts";
import type { Options } from "../../config/options.ts";
import type { LeaseCache } from "../../registry/lease_cache.ts";
import { AgentClaims, claimsOf } from "../agent_claim.ts";
import type { AgentContext, KnownConfig } from "../context.ts";
import { EniPathKeeper } from "../eni_path_keeper.ts";
import { LeaseCacheKeeper } from "../lease_cache_keeper.ts";
import { type LeaseParts, openLeaseParts } from "../lease_parts.ts";
import { reconcilerDeps } from "../reconciler_deps.ts";
import { MemoryKeeper } from "../memory_keeper.ts";
import { parseConfig, type ReadConfig, readConfigAside, readConfigFile } from "../network_config.ts";
import { clusterMisfitOf, NetworkGuard, type NetworkPlace, refusal } from "../network_guard.ts";
import { networkPlace } from "../agent_start.ts";
import { openCloud } from "../open_cloud.ts";
import { openPods } from "../open_pods.ts";
import { openRules } from "../open_rules.ts";
import { PassTotals } from "../pass_totals.ts";
import { PatientFiles } from "../patient_files.ts";
import { requirePrivilege } from "../preflight.ts";
import { credentialReader } from "../read_credential.ts";
import { type RegistryPlace, registryPlace } from "../registry_place.ts";
import { type LateParts, openUnderlayParts } from "../underlay_parts.ts";
import { previousSubnets } from "../../pods/subnet_file.ts";
import { planHost } from "./plan_host.ts";
import { readOnlyPlace } from "./read_only_registry.ts";

/** What a plan without an agent is made with. */
export interface AloneDeps {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whether every change is listed. */
  readonly isWhole: boolean;
}

/** What the registry may take to say all; what the host may take to have an underlay. */
const REGISTRY_MS = 10_000;
const UNDERLAY_MS = 3000;

/** What is opened for a plan. */
interface Place {
  readonly libc: Libc;
  readonly transport: NetlinkSocket;
  readonly client: NetlinkClient;
  readonly place: RegistryPlace;
  /** Asked to be looked at when a lease, or who else there is, has become known. */
  readonly news: Trigger;
}

/**
 * What an agent of these options would do if it were started now, by its own code. The registry is read, and not written;
 * where it does not answer, the lease cache counts, as it does for the agent.
 *
 * @throws {Error} If there can be no plan, with the reason.
 */
export async function planAlone(
  options: Options,
  deps: AloneDeps,
  { signal }: { readonly signal: AbortSignal },
): Promise<HostPlan> {
  await using stack = new AsyncDisposableStack();
  const libc = stack.use(new Libc());
  const transport = stack.use(NetlinkSocket.open(libc));
  const client = new NetlinkClient(transport);
  requirePrivilege(client);
  const news = new Trigger();
  const place = readOnlyPlace(stack.use(await openPlace(options, deps, libc)), () => news.nudge());
  const cache = options.leaseCachePath === undefined || place.isOnDisk
    ? undefined
    : new LeaseCacheKeeper(options.leaseCachePath, { log: SILENT }).read(place.name);
  const opened: Place = { libc, transport, client, place, news };
  const read = await readConfig(options, cache, opened, { signal });
  const claims = new AgentClaims({
    libc,
    log: SILENT,
    subnetFilePath: options.subnetFilePath,
    isLooking: true,
  });
  const rival = claims.take(claimsOf(read.config));
  if (rival !== undefined) throw new Error(`the agent would do nothing: ${rival}`);
  return await planConfig(options, deps, { ...opened, claims, cache, read, stack }, { signal });
}

async function openPlace(
  { registry }: Options,
  { environment }: AloneDeps,
  libc: Libc,
): Promise<RegistryPlace> {
  // A file that is not there would be made.
  if (registry.kind === "local" && statIfThere(registry.path) === undefined) {
    throw new Error(`the lease registry ${registry.path} does not exist, so this host has no lease yet`);
  }
  const readCredential = credentialReader(new PatientFiles(libc));
  return await registryPlace(registry, {
    log: SILENT,
    environment,
    watchFiles: () => undefined,
    readCredential,
  });
}

/** The configuration, as the registry or a file has it; as it was, where the registry does not answer. */
async function readConfig(
  options: Options,
  cache: LeaseCache | undefined,
  { libc, place }: Place,
  { signal }: { readonly signal: AbortSignal },
): Promise<ReadConfig> {
  const { readNetworkConfig } = place;
  if (readNetworkConfig === undefined) {
    return readConfigFile(
      options,
      SILENT,
      await readConfigAside(options.networkConfigPath, new PatientFiles(libc)),
    );
  }
  using abort = new LinkedAbort(signal);
  abort.limit(REGISTRY_MS);
  const { source } = networkPlace(options, place);
  const parsed = (text: string) => ({ config: parseConfig(text, source, options, SILENT), text });
  try {
    return parsed(await readNetworkConfig({ signal: abort.signal }));
  } catch (error) {
    signal.throwIfAborted();
    if (cache?.networkConfig === undefined) throw error;
    return parsed(cache.networkConfig);
  }
}

async function planConfig(
  options: Options,
  { environment, isWhole }: AloneDeps,
  { libc, transport, client, place, news, claims, cache, read, stack }: Place & {
    readonly claims: AgentClaims;
    readonly cache: LeaseCache | undefined;
    readonly read: ReadConfig;
    readonly stack: AsyncDisposableStack;
  },
  { signal }: { readonly signal: AbortSignal },
): Promise<HostPlan> {
  const guard = openGuard(options, { read, place, cache });
  let waitsFor: Condition | undefined;
  const context: AgentContext = {
    ...{ options, libc, transport, client, place, environment, claims, guard, log: SILENT },
    watchFiles: () => undefined,
    memory: new MemoryKeeper({ trim: () => {}, residentBytes: () => 0, elapsedMs: () => 0 }),
    totals: new PassTotals(),
    elapsedMs: () => performance.now(),
    cacheKeeper: undefined,
    workers: new Workers({ log: SILENT }),
    conditions: () => [],
    show: () => {},
    waiting: (condition) => void (waitsFor = condition),
  };
  const text = place.readNetworkConfig === undefined ? undefined : read.text;
  const known: KnownConfig = { config: read.config, text, cache: guard.isKnown ? cache : undefined };
  const late: LateParts = {};
  using patience = new LinkedAbort(signal);
  patience.limit(UNDERLAY_MS);
  const trigger = new Trigger();
  const underlayParts = await openUnderlayParts(context, known, { late, trigger }, {
    signal: patience.signal,
  })
    .catch((error) => {
      signal.throwIfAborted();
      throw waitsFor === undefined ? error : new Error(`the agent would wait: ${waitsFor.sentence}`);
    });
  const nudges = { pass: () => news.nudge(), leases: () => news.nudge(), rules: () => {} };
  const leaseParts = openLeaseParts(context, known, underlayParts, { late, nudges, stack });
  await underlayParts.ground.resolve();
  const heard = await hear(leaseParts, news, { signal });
  requireNetwork(options, { read, place, leaseParts });
  const { underlay } = underlayParts;
  const cloud = await openCloud(read.config.backend, {
    ...context,
    underlay,
    pathChanged: () => {},
    isLinkMissing: () => false,
  });
  const networks = read.config.families.map(({ network }) => network);
  const { former, usable, leases, membership } = leaseParts;
  const eniPath = new EniPathKeeper({
    ...context,
    networks: [...networks, ...former.former],
    linkLost: () => {},
  });
  const { pods } = openPods({
    ...{ options, libc, client, networks, leases, log: SILENT },
    podFiles: underlayParts.podFiles,
    held: underlayParts.held,
    own: () => membership.own,
    changed: () => {},
    keepHistory: () => {},
  });
  const rules = openRules(stack, { ...context, config: read.config, own: usable, former });
  const plan = await planHost({
    ...{ context, known, underlayParts, leaseParts, pods, cloud, eniPath },
    reconcilerDeps: reconcilerDeps({ context, known, underlayParts, leaseParts }, former.observer()),
    rules: rules.plan,
    isReleasing: options.isReleasingStale,
    isStart: true,
    conditions: () => [],
  }, { source: "no agent runs: what one would do that is started now", isWhole });
  return { ...plan, notes: [...plan.notes, ...heard] };
}

/** Reads the own lease and who else there is. Answers with what is to be known of that, one sentence each. */
async function hear(
  { membership, leases, registry: { registry } }: LeaseParts,
  news: Trigger,
  { signal }: { readonly signal: AbortSignal },
): Promise<readonly string[]> {
  using patience = new LinkedAbort(signal);
  patience.limit(REGISTRY_MS);
  const options = { signal: patience.signal };
  const loops = [membership.hold(options), membership.follow(options)];
  // The leases of others are asked for once the own one was had, or refused.
  const isHeard = () => leases.isHeard;
  try {
    while (!isHeard()) await news.next(REGISTRY_MS, options);
  } catch {
    signal.throwIfAborted();
  }
  const notes: string[] = [];
  if (!leases.isHeard) {
    const why = registry.contact.reason ?? membership.reason ?? "it has not answered in time";
    notes.push(
      `the registry has not told who else there is: ${why}; what was known last counts, so nothing of others is removed`,
    );
  } else if (membership.reason !== undefined && membership.own !== undefined) {
    notes.push(`the lease is the one of before: ${membership.reason}`);
  }
  patience.abort();
  await Promise.allSettled(loops);
  return notes;
}

function openGuard(
  options: Options,
  { read, place, cache }: {
    readonly read: ReadConfig;
    readonly place: RegistryPlace;
    readonly cache: LeaseCache | undefined;
  },
): NetworkGuard {
  return new NetworkGuard({
    families: read.config.families,
    place: networkPlace(options, place),
    remembered: cache?.own.parts.map(({ subnet }) => subnet) ?? previousSubnets(options.subnetFilePath),
    changed: () => Promise.resolve(),
    isOther: () => false,
    waiting: () => {},
    elapsedMs: () => performance.now(),
  });
}

/** @throws {Error} If the network would not be applied, as the own lease does not lie in it. */
function requireNetwork(
  options: Options,
  { read: { config }, place, leaseParts: { membership, registry } }: {
    readonly read: ReadConfig;
    readonly place: RegistryPlace;
    readonly leaseParts: LeaseParts;
  },
): void {
  const held = membership.own?.parts.map(({ subnet }) => subnet) ?? [];
  const misfit = clusterMisfitOf(config.families, { held, given: registry.givenSubnets?.() ?? held });
  if (misfit === undefined) return;
  const where: NetworkPlace = networkPlace(options, place);
  throw new Error(refusal(misfit, membership.own?.host, where));
}
