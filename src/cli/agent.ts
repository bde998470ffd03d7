import { basename, dirname } from "node:path";
import type { Backend } from "../backend/backend.ts";
import { vxlanBackend } from "../backend/vxlan.ts";
import { holdAgentLock } from "../cni/agent_lock.ts";
import { checkSubnetFile, formatSubnetFile, previousSubnets } from "../cni/subnet_file.ts";
import type { NetworkConfig } from "../config/network.ts";
import type { Options } from "../config/options.ts";
import { LeaseSet } from "../lease/lease_set.ts";
import { Membership } from "../lease/membership.ts";
import type { Log } from "../log/log.ts";
import { NetlinkClient } from "../netlink/client.ts";
import { Libc } from "../netlink/ffi.ts";
import { FolderWatch } from "../netlink/folder_watch.ts";
import { queryLink } from "../netlink/link.ts";
import { NetlinkSocket, NotificationSocket } from "../netlink/socket.ts";
import { watchKernel } from "../reconcile/kernel_watch.ts";
import { Observer } from "../reconcile/observe.ts";
import { reconcileForever } from "../reconcile/reconciler.ts";
import type { PassReport } from "../reconcile/report.ts";
import { Trigger } from "../reconcile/trigger.ts";
import { wantedState } from "../reconcile/wanted.ts";
import type { StatusDeps } from "../status/app.ts";
import { readiness } from "../status/health.ts";
import { serveStatus } from "../status/server.ts";
import { observeHostNetwork } from "../underlay/host_network.ts";
import { chooseUnderlay } from "../underlay/underlay.ts";
import { MemoryKeeper, PassTotals, tellOfNewFaults } from "./after_pass.ts";
import { AgentWordKeeper } from "./agent_word_keeper.ts";
import { orNothing, refuseRouterAdvertisements } from "./best_effort.ts";
import { hostFacts } from "./host_facts.ts";
import { errorText, keepRunning } from "./keep_running.ts";
import { LeftoverKeeper, USUAL_FOLDERS } from "./leftover_keeper.ts";
import { LeaseCacheKeeper } from "./lease_cache_keeper.ts";
import { readConfigFile, readRegistryConfig } from "./network_config.ts";
import { hasNextHopObjects, randomMac, requirePrivilege } from "./preflight.ts";
import { PodFiles } from "./pod_files.ts";
import { type RegistryPlace, registryPlace } from "./registry_place.ts";
import { notifyReady } from "./sd_notify.ts";
import { dropStaleConflist } from "./stale_conflist.ts";
import { UnderlayFollower } from "./underlay_follower.ts";

/** What the CNI plugin is told after the agent. */
const ENDED = "the agent was ended";

/** What the agent needs of the process that it runs in. */
export interface AgentDeps {
  readonly log: Log;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What a member of the overlay works with, opened and checked. */
interface Workplace {
  readonly options: Options;
  readonly deps: AgentDeps;
  readonly libc: Libc;
  readonly transport: NetlinkSocket;
  readonly client: NetlinkClient;
  readonly folders: FolderWatch | undefined;
  readonly watchFiles: (path: string, changed: () => void) => Disposable | undefined;
  readonly place: RegistryPlace;
  readonly memory: MemoryKeeper;
  readonly totals: PassTotals;
  readonly cacheKeeper: LeaseCacheKeeper | undefined;
  /** Puts what the status endpoints answer from in place of what they had before. */
  readonly show: (status: StatusDeps) => void;
}

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
  const transport = stack.use(NetlinkSocket.open(libc));
  const client = new NetlinkClient(transport);
  requirePrivilege(client);
  dropStaleConflist(options, { client, log });
  const folders = stack.use(orNothing("files not watched", log, () => FolderWatch.open(libc)));
  const watchFiles = (path: string, changed: () => void): Disposable | undefined =>
    folders && orNothing("file not watched", log, () => folders.add(dirname(path), basename(path), changed));
  const place = stack.use(await registryPlace(options.registry, { ...deps, watchFiles }));

  let waitingFor = "the agent is starting";
  const totals = new PassTotals();
  let status: StatusDeps = {
    health: () => ({ isReady: false, reasons: [waitingFor], notes: [] }),
    lastPass: () => undefined,
    underlay: () => undefined,
    ownLease: () => undefined,
    registry: () => ({ name: place.name, heardAtMs: undefined, reason: waitingFor }),
    totals: () => totals,
    pools: () => [],
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
      waiting: (reason) => waitingFor = reason,
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
  };
  await takePart(workplace, { config, text, cache }, { signal });
  log.write("info", "agent ended, the data path stays", {});
}

/** Holds this host's place in the overlay until `signal` aborts. */
async function takePart(
  workplace: Workplace,
  known: { config: NetworkConfig; text: string | undefined; cache: ReturnType<LeaseCacheKeeper["read"]> },
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const { options, deps, libc, transport, client, folders, watchFiles, place, cacheKeeper } = workplace;
  const { config, cache } = known;
  const { log } = deps;
  await using stack = new AsyncDisposableStack();
  const networks = config.families.map(({ network }) => network);
  const families = config.families.map(({ family }) => family);
  let opened: ReturnType<RegistryPlace["open"]> | undefined;
  const underlay: UnderlayFollower = new UnderlayFollower(
    () => {
      const stronger = opened?.publicAddresses?.();
      return chooseUnderlay(observeHostNetwork(client), { ...options, ...stronger, families });
    },
    { log, changed: () => membership.refresh() },
  );
  const features = { hasNextHopObjects: hasNextHopObjects(client) };
  const backend: Backend = vxlanBackend(config.backend, { networks, ...features });
  const { registry, announce } = opened = stack.use(place.open({
    families: config.families,
    ownAddresses: () => underlay.current.addresses.map(({ advertised }) => advertised),
    previousSubnets: await previousSubnets(options.subnetFilePath),
    ownChanged: () => {
      underlay.nudge();
      membership.refresh();
    },
  }));

  const trigger = new Trigger();
  const leases = new LeaseSet();
  if (cache !== undefined) leases.remember(cache.leases);
  const seed = { existingMac: (name: string) => queryLink(client, name)?.mac, randomMac: randomMac() };
  const membership: Membership = new Membership({
    registry,
    leases,
    remembered: cache?.own,
    request: (previous) => {
      underlay.follow();
      return { backendType: backend.type, parts: backend.advertise(underlay.current, previous, seed) };
    },
    changed: () => trigger.nudge(),
    now: () => Date.now(),
    log,
  }, { renewMarginMs: options.leaseRenewMarginMs });

  const podFiles = new PodFiles(options, { log, environment: deps.environment, program: Deno.execPath() });
  for (const path of podFiles.paths) watchFiles(path, () => trigger.nudge());
  const leftovers = new LeftoverKeeper(USUAL_FOLDERS, {
    host: () => hostFacts(libc, client, dirname(options.subnetFilePath)),
    network: () => podFiles.network,
    log,
    isReleasing: options.isReleasingStale,
  });
  let lastPass: PassReport | undefined;
  const health = () => {
    const { contact } = registry;
    return readiness({ lastPass, lease: membership, podFiles, contact, hasSnapshot: leases.isKnown });
  };
  workplace.show({
    health,
    lastPass: () => lastPass,
    underlay: () => underlay.current,
    ownLease: () => membership.own,
    registry: () => ({
      name: place.name,
      heardAtMs: registry.contact.heardAtMs,
      reason: registry.contact.reason,
    }),
    totals: () => workplace.totals,
    pools: () => leftovers.usage(membership.own?.parts.map(({ subnet }) => subnet) ?? []),
  });

  const wanted = wantedState({
    backend,
    underlay: () => underlay.current,
    own: () => membership.own,
    remote: (own) => leases.remote(own, networks),
    unreadable: () => registry.faults,
  });
  const notifications = stack.use(NotificationSocket.open(libc));
  let isServiceManagerTold = false;
  const tellFaults = tellOfNewFaults(log);
  const reconciler = {
    client,
    observer: new Observer(client, features),
    desire: () => {
      underlay.follow();
      return wanted();
    },
    linkCreated: (name: string) => refuseRouterAdvertisements(libc, name, log),
    report: (report: PassReport) => {
      lastPass = report;
      workplace.memory.passed(report);
      workplace.totals.count(report);
      tellFaults(report);
      const own = membership.own;
      if (!report.isForwarding || own === undefined) return;
      if (!report.isRemembered) {
        cacheKeeper?.keep(
          `${leases.version} ${JSON.stringify(own.parts.map(({ backendData }) => backendData))}`,
          () => {
            const { own } = membership;
            const all = leases.all;
            return own && all && { registry: place.name, networkConfig: known.text, own, leases: all };
          },
        );
      }
      const { masquerade } = options;
      const mtuBytes = backend.overlayMtuBytes(underlay.current);
      podFiles.keep(formatSubnetFile({ networks, lease: own, mtuBytes, masquerade }));
      if (!isServiceManagerTold) isServiceManagerTold = notifyReady(libc, deps.environment["NOTIFY_SOCKET"]);
    },
    now: () => new Date(),
    elapsedMs: () => performance.now(),
    log,
  };

  log.write("info", "agent started", {
    backend: backend.type,
    registry: place.name,
    ...underlay.facts(),
    ...features,
  });
  const loop = (name: string, run: (options: { signal: AbortSignal }) => Promise<void>) =>
    keepRunning(name, run, { signal, log });
  await Promise.all([
    loop("lease", (options) => membership.hold(options)),
    loop("registry watch", (options) => membership.follow(options)),
    announce && loop("announcer", (options) => announce(health, options)),
    loop("kernel watch", (options) =>
      watchKernel({
        notifications,
        trigger,
        ownPortId: transport.portId,
        linkIndexes: () => reconciler.observer.linkIndexes,
        underlayLinkIndex: () => underlay.linkIndex,
        underlayNudged: () => underlay.nudge(),
      }, options)),
    loop("leftovers", (options) => leftovers.watch(options)),
    folders && loop("file watch", (options) => folders.run(options)),
    loop(
      "reconciler",
      (loopOptions) => reconcileForever(reconciler, trigger, { resyncMs: options.resyncMs, ...loopOptions }),
    ),
  ]);
}
