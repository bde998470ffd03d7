import { basename, dirname } from "node:path";
import type { Backend } from "../backend/backend.ts";
import { vxlanBackend } from "../backend/vxlan.ts";
import { checkSubnetFile, formatSubnetFile, parseSubnetFile } from "../cni/subnet_file.ts";
import { type NetworkConfig, parseNetworkConfig } from "../config/network.ts";
import type { Options } from "../config/options.ts";
import { LeaseSet } from "../lease/lease_set.ts";
import { openLocalRegistry } from "../lease/local.ts";
import { Membership } from "../lease/membership.ts";
import { fileReason } from "../log/file_reason.ts";
import type { Log } from "../log/log.ts";
import { formatAddress, type Prefix } from "../model/address.ts";
import { NetlinkClient } from "../netlink/client.ts";
import { Libc } from "../netlink/ffi.ts";
import { FolderWatch } from "../netlink/folder_watch.ts";
import { queryLink } from "../netlink/link.ts";
import { NotificationSocket, RouteSocket } from "../netlink/socket.ts";
import { watchKernel } from "../reconcile/kernel_watch.ts";
import { Observer } from "../reconcile/observe.ts";
import { reconcileForever } from "../reconcile/reconciler.ts";
import type { PassReport } from "../reconcile/report.ts";
import { Trigger } from "../reconcile/trigger.ts";
import { wantedState } from "../reconcile/wanted.ts";
import { readiness } from "../status/health.ts";
import { serveStatus } from "../status/server.ts";
import { observeHostNetwork } from "../underlay/host_network.ts";
import { chooseUnderlay } from "../underlay/underlay.ts";
import { errorText, keepRunning } from "./keep_running.ts";
import { hasNextHopObjects, randomMac, requirePrivilege } from "./preflight.ts";
import { notifyReady } from "./sd_notify.ts";
import { SubnetFileKeeper } from "./subnet_file_keeper.ts";
import { UnderlayFollower } from "./underlay_follower.ts";

/** Peers left out that the log names at a time, and characters that it takes of each. */
const NAMED_FAULTS = 20;
const MAX_WORDS_LENGTH = 300;
/** Changes in one pass that leave much garbage. */
const LARGE_PASS = 1000;

/** What the agent needs of the process that it runs in. */
export interface AgentDeps {
  readonly log: Log;
  /** `NOTIFY_SOCKET`, where a service manager waits to hear that start-up is over. */
  readonly notifySocket: string | undefined;
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
  const { log } = deps;
  await using stack = new AsyncDisposableStack();

  // First all that can be wrong, before anything is made.
  const config = await readNetworkConfig(options, log);
  checkSubnetFile(options.subnetFilePath);
  const libc = stack.use(new Libc());
  const transport = stack.use(RouteSocket.open(libc));
  const client = new NetlinkClient(transport);
  requirePrivilege(client);
  const networks = config.families.map(({ network }) => network);
  const families = config.families.map(({ family }) => family);
  const underlay = new UnderlayFollower(
    () => chooseUnderlay(observeHostNetwork(client), { ...options, families }),
    { log, changed: () => membership.refresh() },
  );
  const features = { hasNextHopObjects: hasNextHopObjects(client) };
  const backend: Backend = vxlanBackend(config.backend, { networks, ...features });
  const folders = stack.use(orNothing("files not watched", log, () => FolderWatch.open(libc)));
  const watchFiles = (path: string, changed: () => void): Disposable | undefined =>
    folders && orNothing("file not watched", log, () => folders.add(dirname(path), basename(path), changed));
  const registry = stack.use(openLocalRegistry(options.localRegistryPath, {
    now: () => Date.now(),
    elapsedMs: () => performance.now(),
    random: () => crypto.getRandomValues(new BigUint64Array(1))[0]!,
    log,
    watchFiles,
  }, {
    host: formatAddress(underlay.current.addresses[0]!.advertised),
    families: config.families,
    previousSubnets: await previousSubnets(options.subnetFilePath),
  }));

  const trigger = new Trigger();
  const leases = new LeaseSet();
  const seed = { existingMac: (name: string) => queryLink(client, name)?.mac, randomMac: randomMac() };
  const membership: Membership = new Membership({
    registry,
    leases,
    request: (previous) => ({
      backendType: backend.type,
      parts: backend.advertise(underlay.current, previous, seed),
    }),
    changed: () => trigger.nudge(),
    now: () => Date.now(),
    log,
  }, { renewMarginMs: options.leaseRenewMarginMs });

  const subnetFile = new SubnetFileKeeper(options.subnetFilePath, { log });
  watchFiles(options.subnetFilePath, () => trigger.nudge());
  let lastPass: PassReport | undefined;
  const health = () => readiness({ lastPass, lease: membership, subnetFile });
  if (options.health !== undefined) {
    stack.use(serveStatus({
      health,
      lastPass: () => lastPass,
      underlay: () => underlay.current,
      ownLease: () => membership.own,
    }, { ...options.health, signal }));
  }

  const wanted = wantedState({
    backend,
    underlay: () => underlay.current,
    own: () => membership.own,
    remote: (own) => leases.remote(own, networks),
    unreadable: () => registry.faults,
  });
  const notifications = stack.use(NotificationSocket.open(libc));
  let isServiceManagerTold = false;
  const rest = restAfterWork();
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
      rest(report);
      tellFaults(report);
      const own = membership.own;
      if (!report.isForwarding || own === undefined) return;
      const { masquerade } = options;
      const mtuBytes = backend.overlayMtuBytes(underlay.current);
      subnetFile.keep(formatSubnetFile({ networks, lease: own, mtuBytes, masquerade }));
      if (!isServiceManagerTold) isServiceManagerTold = notifyReady(libc, deps.notifySocket);
    },
    now: () => new Date(),
    elapsedMs: () => performance.now(),
    log,
  };

  log.write("info", "agent started", { backend: backend.type, ...underlay.facts(), ...features });
  const loop = (name: string, run: (options: { signal: AbortSignal }) => Promise<void>) =>
    keepRunning(name, run, { signal, log });
  await Promise.all([
    loop("lease", (options) => membership.hold(options)),
    loop("registry watch", (options) => membership.follow(options)),
    loop("kernel watch", (options) =>
      watchKernel({
        notifications,
        trigger,
        ownPortId: transport.portId,
        linkIndexes: () => reconciler.observer.linkIndexes,
        underlayLinkIndex: () => underlay.linkIndex,
        underlayNudged: () => underlay.nudge(),
      }, options)),
    folders && loop("file watch", (options) => folders.run(options)),
    loop(
      "reconciler",
      (loopOptions) => reconcileForever(reconciler, trigger, { resyncMs: options.resyncMs, ...loopOptions }),
    ),
  ]);
  log.write("info", "agent ended, the data path stays", {});
}

/** What `open` opens; nothing where the system has no more of it, which only makes the agent slower to notice. */
function orNothing<T>(event: string, log: Log, open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    log.write("warn", event, { reason: errorText(error) });
    return undefined;
  }
}

async function readNetworkConfig(options: Options, log: Log): Promise<NetworkConfig> {
  const path = options.networkConfigPath;
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw new Error(
      `Cannot read the network configuration ${path}: ${
        fileReason(error)
      }; write it, or name another file with ` +
        "-net-config-path",
    );
  }
  const { config, warnings } = parseNetworkConfig(text, {
    source: path,
    overrides: options.backendOverrides,
  });
  for (const reason of warnings) log.write("warn", "configuration doubted", { reason });
  return config;
}

/** The subnets that this host held when it last ran: it gets them again where nobody else has them. */
async function previousSubnets(path: string): Promise<readonly Prefix[]> {
  try {
    return parseSubnetFile(await Deno.readTextFile(path)).subnets;
  } catch {
    return [];
  }
}

/** Says of each peer once that it is left out, and why; `/status` has them all. */
function tellOfNewFaults(log: Log): (report: PassReport) => void {
  let known = new Set<string>();
  let last: PassReport["faults"] | undefined;
  return ({ faults }) => {
    if (faults === last) return;
    last = faults;
    const told = new Set<string>();
    for (const { host, reason } of faults.slice(0, NAMED_FAULTS)) {
      const text = `${host} ${reason}`;
      told.add(text);
      // Both may be another host's words.
      const cut = (words: string) => words.slice(0, MAX_WORDS_LENGTH);
      if (!known.has(text)) log.write("warn", "peer left out", { host: cut(host), reason: cut(reason) });
    }
    known = told;
  };
}

/**
 * Has the memory of a large pass collected once the host has settled: by itself the runtime would keep it for many
 * seconds. It is there only in the binary, which is compiled with V8's `--expose-gc`.
 */
function restAfterWork(): (report: PassReport) => void {
  const { gc } = globalThis as { gc?: (options: { type: "major"; flavor: "last-resort" }) => void };
  let hasWorked = true;
  return ({ planned, failureCount }) => {
    if (planned + failureCount > 0) hasWorked ||= planned >= LARGE_PASS;
    else if (hasWorked) {
      hasWorked = false;
      gc?.({ type: "major", flavor: "last-resort" });
    }
  };
}

/** A router advertisement from a pod must not change this host's routes; not every kernel has IPv6. */
function refuseRouterAdvertisements(libc: Libc, name: string, log: Log): void {
  try {
    libc.writeSysctl(`/proc/sys/net/ipv6/conf/${name}/accept_ra`, "0");
  } catch (error) {
    log.write("debug", "accept_ra not set", { link: name, reason: errorText(error) });
  }
}
