import { makeBackend } from "../backend/make_backend.ts";
import { formatSubnetFile, previousSubnets } from "../cni/subnet_file.ts";
import type { NetworkConfig } from "../config/network.ts";
import { ContestWatch } from "../lease/contest_watch.ts";
import { LeaseSet } from "../lease/lease_set.ts";
import { Membership } from "../lease/membership.ts";
import { queryLink } from "../netlink/link.ts";
import { NotificationSocket } from "../netlink/socket.ts";
import { watchKernel } from "../reconcile/kernel_watch.ts";
import { ForeignFaults } from "../reconcile/foreign_faults.ts";
import { reconcileForever } from "../reconcile/reconciler.ts";
import type { Finding } from "../model/finding.ts";
import type { Lease } from "../model/lease.ts";
import type { PassReport } from "../reconcile/report.ts";
import { Trigger } from "../reconcile/trigger.ts";
import { wantedState } from "../reconcile/wanted.ts";
import { claimsOf } from "./agent_claim.ts";
import { machineOf } from "./best_effort.ts";
import { BootKeeper } from "./boot_keeper.ts";
import { FormerKeeper } from "./former_keeper.ts";
import { GroundKeeper } from "./ground_keeper.ts";
import { keepRunning } from "./keep_running.ts";
import { leaseRequest } from "./lease_request.ts";
import { LeaseCacheKeeper } from "./lease_cache_keeper.ts";
import { randomMac } from "./preflight.ts";
import { HostKeeper } from "./host_keeper.ts";
import { openMacAnnouncer } from "./mac_announcer.ts";
import { openPods, subnetsOf } from "./open_pods.ts";
import { openRules } from "./open_rules.ts";
import { openSegment } from "./open_segment.ts";
import { openUnderlay } from "./open_underlay.ts";
import { PassEnd } from "./pass_end.ts";
import { PodFiles } from "./pod_files.ts";
import type { RegistryContext, RegistryPlace } from "./registry_place.ts";
import { notifyReady } from "./sd_notify.ts";
import { statusOf } from "./agent_status.ts";
import type { Workplace } from "./workplace.ts";

/**
 * Holds this host's place in the overlay until `signal` aborts.
 *
 * @returns Whether it has; else the network was not to be applied, nothing was touched, and the configuration has
 * changed.
 */
export async function takePart(
  workplace: Workplace,
  known: { config: NetworkConfig; text: string | undefined; cache: ReturnType<LeaseCacheKeeper["read"]> },
  { signal }: { signal: AbortSignal },
): Promise<boolean> {
  const { options, deps, libc, transport, client, watchFiles, place } = workplace;
  const { config, cache } = known;
  const { log } = deps;
  await using stack = new AsyncDisposableStack();
  const networks = config.families.map(({ network }) => network);
  const families = config.families.map(({ family }) => family);
  const podFiles = new PodFiles(options, { log, environment: deps.environment, program: Deno.execPath() });
  let opened: ReturnType<RegistryPlace["open"]> | undefined;
  const bootKeeper = new BootKeeper(options.subnetFilePath, { libc, log });
  const machine = await machineOf(options.machineIdPath, libc, log);
  const held = await previousSubnets(options.subnetFilePath);
  const ground = new GroundKeeper({
    networks,
    registryHosts: place.hosts,
    registryName: place.name,
    underlayLinkIndex: () => opened === undefined ? 0 : underlay.linkIndex,
    bridgeName: () => podFiles.bridge,
    changed: () => opened && trigger.nudge(),
    log,
  }, held);
  // What was in use in this boot needs no other word.
  const isFirst = bootKeeper.lastAddresses.length === 0;
  const nodeAddresses = isFirst ? await place.readNodeAddresses?.({ signal }) ?? [] : [];
  const underlay = await openUnderlay({
    options,
    config,
    libc,
    client,
    log,
    waiting: workplace.waiting,
    changed: ({ isAddressOther }) => {
      if (isAddressOther) opened?.registry.moved?.();
      trigger.nudge();
      membership.refresh();
      announcer?.nudge();
    },
    publicAddresses: () => opened?.publicAddresses?.() ?? {},
    nodeAddresses: () => opened?.nodeAddresses?.() ?? nodeAddresses,
    observed: (network) => ground.observe(network),
    lastAddresses: () => [
      ...bootKeeper.lastAddresses,
      ...cache?.own.parts.map(({ underlayAddress }) => underlayAddress) ?? [],
    ],
    bridgeName: () => podFiles.bridge,
    // The host's keeper comes after the first choice.
    whyUnfit: (family) => opened && host.whyUnfit(family),
    peers: () =>
      peers().flatMap(({ host, parts }) => parts.map((part) => ({ host, address: part.underlayAddress }))),
  }, { signal });
  const boot = bootKeeper.look(underlay.current);
  const { hasBlackholeRoute } = options;
  const { bootId } = bootKeeper;
  const former = new FormerKeeper(options.subnetFilePath, claimsOf(config), { bootId, client, log });
  const backend = makeBackend(config.backend, { networks, former: former.former, hasBlackholeRoute });
  const context: RegistryContext = {
    families: config.families.map((family) => ({ ...family, ground: () => ground.facts })),
    ownAddresses: () => underlay.current.addresses.map(({ advertised }) => advertised),
    previousSubnets: held,
    token: boot.holding?.registry === place.name ? boot.holding.token : undefined,
    ownChanged: () => {
      underlay.nudge();
      membership.refresh();
    },
    back: () => membership.retry(),
  };
  const trigger = new Trigger();
  const { registry, announce } = opened = stack.use(place.open(context));
  ground.settle();
  const refusal = () => ground.refusal(membership.own);
  const usable = () => refusal() === undefined ? membership.own : undefined;
  const leases = new LeaseSet();
  const peers = () => (membership.own && leases.remote(membership.own, networks)?.leases) ?? NOBODY;
  if (cache !== undefined) leases.remember(cache.leases);
  const host: HostKeeper = new HostKeeper({
    libc,
    client,
    socketFd: transport.fd,
    options,
    backend: config.backend,
    families,
    boot,
    routerLinks: bootKeeper.routerLinks,
    keepBoot: (identity) => {
      const { token } = registry;
      const holding = token === undefined ? undefined : { registry: place.name, token };
      bootKeeper.keep({ ...identity, holding });
    },
    underlay: () => underlay.current,
    usable: () => underlay.usable,
    podsBridge: () => podFiles.bridge,
    fitnessChanged: () => underlay.nudge(),
    own: () => membership.own,
    remote: peers,
    log,
  });
  const announcer = config.backend.type === "alloc"
    ? undefined
    : openMacAnnouncer({ libc, client, underlay: () => underlay.current, log });
  const segment = openSegment(config.backend, {
    client,
    leaseType: backend.leaseType,
    peers,
    isLost: () => underlay.reason !== undefined,
    changed: () => trigger.nudge(),
    maxAgeMs: options.resyncMs,
    log,
  });
  const seed = {
    existingMac: (name: string) => host.knownMac(name),
    randomMac: randomMac(),
    older: () => leases.olderThan(membership.own),
  };
  const request = (previous?: Lease) => {
    underlay.follow();
    const current = segment?.withAdvertised(underlay.current) ?? underlay.current;
    return leaseRequest(backend, current, previous, { families, seed, machine });
  };
  const membership: Membership = new Membership({
    registry,
    leases,
    remembered: cache?.own,
    request: (previous) => request(previous),
    changed: () => {
      trigger.nudge();
      filter.keeper.nudge();
    },
    now: () => Date.now(),
    elapsedMs: () => performance.now(),
    log,
  }, { renewMarginMs: options.leaseRenewMarginMs });

  // Up to here nothing was touched.
  const openFor = (families: RegistryContext["families"]) => place.open({ ...context, families });
  if (!await workplace.guard.admit(opened, { request, openFor }, { signal })) return false;
  host.keepManagersAway();
  for (const path of podFiles.paths) watchFiles(path, () => trigger.nudge());
  const { pods, leftovers } = openPods({
    options,
    libc,
    client,
    podFiles,
    networks,
    leases,
    own: () => membership.own,
    changed: () => trigger.nudge(),
    log,
  });
  const filter = openRules(stack, { options, config, own: usable, former: former.former, libc, log });
  let isServiceManagerTold = false;
  const passEnd: PassEnd = new PassEnd({
    ...workplace,
    membership,
    leases,
    origin: { registry: place.name, networkConfig: known.text },
    leaseType: backend.leaseType,
    keepers: [host, former],
    contestsChanged: () => contests.nudge(),
    forwarding: (own) => {
      const { masquerade } = options;
      const mtuBytes = backend.overlayMtuBytes(underlay.current);
      podFiles.keep(formatSubnetFile({ networks, lease: own, mtuBytes, masquerade }));
      ground.used();
      pods.keep(subnetsOf(own));
      if (!isServiceManagerTold) isServiceManagerTold = notifyReady(libc, deps.environment["NOTIFY_SOCKET"]);
    },
    log,
  });
  const contests = new ContestWatch({ registry, rivals: () => passEnd.rivals, log });
  // What else was found, by whoever looks for it.
  const findings = (): readonly Finding[] => [
    ...workplace.findings(),
    ...passEnd.findings,
    ...ground.findings(membership.own),
    ...pods.findings,
  ];
  const status = statusOf({
    lastPass: () => passEnd.last,
    findings,
    registryName: place.name,
    registry,
    leases,
    membership,
    refusal,
    contests,
    underlay,
    podFiles,
    host,
    rules: filter.keeper,
    leftovers,
    totals: workplace.totals,
  });
  workplace.show(status);

  const wanted = wantedState({
    backend,
    underlay: () => segment?.look(underlay.usable) ?? underlay.usable,
    own: usable,
    remote: (own) => leases.remote(own, networks),
    unreadable: () => registry.faults,
    ground: () => ground.facts,
    networks,
  });
  const notifications = stack.use(NotificationSocket.open(libc));
  // A file that could not be written is tried again soon: pods wait for it.
  const isDone = () => podFiles.fault === undefined;
  const reconciler = {
    client,
    observer: former.observer(),
    takesForeign: options.takesForeignRoutes,
    foreignFaults: new ForeignFaults((linkIndex) => queryLink(client, linkIndex)?.name),
    desire: () => {
      underlay.follow();
      host.check();
      return wanted();
    },
    linkCreated: (name: string) => host.linkCreated(name),
    report: (report: PassReport) => passEnd.report(report),
    now: () => new Date(),
    elapsedMs: () => performance.now(),
    log,
  };

  former.start();
  log.write("info", "agent started", {
    backend: backend.type,
    registry: place.name,
    ...underlay.facts(),
  });
  const loop = (name: string, run: (options: { signal: AbortSignal }) => Promise<void>) =>
    keepRunning(name, run, { signal, log });
  await Promise.all([
    loop("lease", (options) => membership.hold(options)),
    loop("registry watch", (options) => membership.follow(options)),
    loop("contest watch", (options) => contests.run(options)),
    announce &&
    loop("announcer", (options) => announce(() => ({ ...status.health(), alerts: pods.alerts }), options)),
    loop("kernel watch", (options) =>
      watchKernel({
        notifications,
        trigger,
        ownPortId: transport.portId,
        linkIndexes: () => reconciler.observer.linkIndexes,
        networks,
        underlayLinkIndex: () => underlay.linkIndex,
        underlayNudged: () => {
          segment?.nudge();
          underlay.nudge();
        },
        wayChanged: (prefix) => segment?.nudge(prefix) ?? false,
        isCarrier: (linkIndex) => underlay.isCarrier(linkIndex),
        concerns: (linkIndex) => host.concerns(linkIndex),
      }, options)),
    loop("underlay", (options) => underlay.run(options)),
    loop("registry look-up", (options) => ground.run(options)),
    segment && loop("segment", (options) => segment.run(options)),
    host.prove({ signal }),
    announcer && loop("MAC announcer", (options) => announcer.run(options)),
    loop("rules", filter.keep),
    filter.watch && loop("rule watch", filter.watch),
    loop("leftovers", (options) => leftovers.watch(options)),
    loop(
      "reconciler",
      (loopOptions) =>
        reconcileForever(reconciler, trigger, { resyncMs: options.resyncMs, isDone, ...loopOptions }),
    ),
  ]);
  return true;
}

/** While it is not known who else there is. */
const NOBODY: readonly Lease[] = [];
