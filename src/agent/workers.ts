import { aborted, LONGEST_TIMER_MS } from "../loop/pause.ts";
import { inTurns, type Worker } from "../loop/worker.ts";
import { Trigger } from "../loop/trigger.ts";
import { NotificationSocket } from "../netlink/notifications.ts";
import type { Culprits } from "../reconcile/culprits.ts";
import { watchKernel } from "../reconcile/kernel_watch.ts";
import type { Observer } from "../reconcile/observe.ts";
import type { Passes } from "../reconcile/passes.ts";
import type { ContestWatch } from "../registry/contest_watch.ts";
import type { Announced } from "../registry/kube/kube_announcer.ts";
import type { EniPathKeeper } from "./eni_path_keeper.ts";
import { watchEniPath } from "./eni_path_watch.ts";
import type { AgentContext, KnownConfig } from "./context.ts";
import type { LeaseParts } from "./lease_parts.ts";
import type { LeftoverKeeper } from "./leftover_keeper.ts";
import type { LinkKeeper } from "./link_keeper.ts";
import type { MacAnnouncer } from "./mac_announcer.ts";
import type { OpenCloud } from "./open_cloud.ts";
import type { OpenPaths } from "./open_paths.ts";
import type { OpenRules } from "./open_rules.ts";
import type { Pass } from "./pass.ts";
import type { PassTrigger } from "./pass_trigger.ts";
import type { TruthKeeper } from "./truth_keeper.ts";
import type { UnderlayParts } from "./underlay_parts.ts";

/**
 * Between looks for another underlay as addresses of other links have changed: the one in use works all the time, and
 * containers have theirs come and go.
 */
const CHOICE_REST_MS = 1000;

/** What the workers of a member work with. */
export interface WorkerParts {
  readonly context: AgentContext;
  readonly known: KnownConfig;
  readonly underlayParts: UnderlayParts;
  readonly leaseParts: LeaseParts;
  /** Asks for a pass. */
  readonly trigger: PassTrigger;
  readonly pass: Pass;
  /** Says what of others' changes is to be looked at. */
  readonly passes: Pick<Passes, "heard">;
  /** Milliseconds until a look is due as a fight with another program goes on, or is over; `undefined` for none. */
  readonly fightMs: () => number | undefined;
  readonly observer: Observer;
  /** Told who changes what is ours. */
  readonly culprits: Culprits;
  readonly filter: OpenRules;
  readonly leftovers: LeftoverKeeper;
  readonly contests: ContestWatch;
  readonly links: LinkKeeper;
  readonly announcer: MacAnnouncer | undefined;
  readonly cloud: OpenCloud | undefined;
  readonly eniPath: EniPathKeeper;
  readonly paths: OpenPaths | undefined;
  readonly truth: TruthKeeper;
  /** What is told to the cluster. */
  readonly announced: () => Announced;
}

/** All that runs on a host while it is in the overlay, beside what `agent.ts` runs from its start. */
export function workersOf(parts: WorkerParts, stack: AsyncDisposableStack): readonly (Worker | undefined)[] {
  const {
    context,
    underlayParts,
    leaseParts,
    trigger,
    pass,
    fightMs,
    filter,
    leftovers,
    contests,
    links,
    announcer,
    cloud,
    eniPath,
  } = parts;
  const { options, elapsedMs } = context;
  const { underlay, ground, podFiles } = underlayParts;
  const { host, ways, membership, registry: { announce, watchCertificates } } = leaseParts;
  const { segment } = ways;
  let wholeMs = -Infinity;
  const untilWholeMs = () => Math.max(0, wholeMs + options.resyncMs - elapsedMs());
  const periodMs = () => Math.min(untilWholeMs(), fightMs() ?? Infinity, eniPath.waitMs ?? Infinity);
  // Parts that come one after the other put no whole pass off.
  const runAsked = () => {
    const scope = trigger.take();
    const isDone = scope === "all" || periodMs() <= 0 ? undefined : pass.runPart(scope);
    if (isDone !== undefined) return isDone;
    wholeMs = elapsedMs();
    return pass.run();
  };
  // A file that could not be written is tried again soon: pods wait for it.
  const runPass = () => runAsked() && podFiles.fault === undefined;
  const choice = new Trigger();
  return [
    { name: "lease", run: (options) => membership.hold(options) },
    { name: "registry watch", run: (options) => membership.follow(options) },
    { name: "contest watch", run: (options) => contests.run(options) },
    announce && { name: "announcer", run: (options) => announce(parts.announced, options) },
    watchCertificates && { name: "certificates", run: (options) => watchCertificates(options) },
    { name: "kernel watch", run: kernelWatch(parts, choice, stack) },
    { name: "underlay", run: (options) => underlay.run(options) },
    {
      name: "underlay choice",
      run: inTurns(() => underlay.nudge(), {
        trigger: choice,
        periodMs: LONGEST_TIMER_MS,
        restMs: CHOICE_REST_MS,
      }),
    },
    { name: "route truth", run: (options) => parts.truth.run(options) },
    filter.forward && { name: "forward truth", run: (options) => filter.forward!.run(options) },
    { name: "registry look-up", run: (options) => ground.run(options) },
    segment && { name: "segment", run: (options) => segment.run(options) },
    { name: "data path", run: once((options) => host.prove(options)) },
    announcer && { name: "MAC announcer", run: (options) => announcer.run(options) },
    cloud && { name: "cloud", run: cloud.run },
    cloud && { name: "way out watch", run: eniPathWatch(parts) },
    { name: "rules", run: filter.keep },
    filter.watch && { name: "rule watch", run: filter.watch },
    { name: "link counters", run: inTurns(() => links.look(), { periodMs: () => links.periodMs }) },
    ...parts.paths?.workers ?? [],
    { name: "leftovers", run: (options) => leftovers.watch(options) },
    { name: "memory", run: (options) => context.memory.run(options) },
    {
      name: "pass",
      run: inTurns(runPass, { trigger, periodMs, restMs: asLong, elapsedMs }),
    },
  ];
}

/** Hears what others do to links, addresses, routes and neighbours. */
function kernelWatch(parts: WorkerParts, choice: Trigger, stack: AsyncDisposableStack): Worker["run"] {
  const { context, known, underlayParts: { underlay }, leaseParts: { host, ways }, trigger, observer } =
    parts;
  const notifications = stack.use(NotificationSocket.open(context.libc));
  return async (options) =>
    await watchKernel({
      notifications,
      trigger,
      judge: (message, attributes) => parts.passes.heard(message, attributes),
      rowChanged: (row) => trigger.rowChanged(row),
      culprits: parts.culprits,
      changeHeard: () => context.totals.repairs.heard(),
      overrun: () => context.totals.overruns++,
      ownPortId: context.transport.portId,
      linkIndexes: () => observer.linkIndexes,
      vtepIndexes: () => observer.vtepIndexes,
      networks: known.config.families.map(({ network }) => network),
      underlayLinkIndex: () => underlay.linkIndex,
      underlayNudged: () => {
        ways.segment?.nudge();
        underlay.nudge();
      },
      choiceNudged: () => choice.nudge(),
      wayChanged: ways.changed,
      ruleChanged: () => parts.truth.ruleChanged(),
      routeChanged: (table, prefix) => parts.truth.routeChanged(table, prefix),
      linkChanged: () => ways.segment?.nudgeBeyond() ?? false,
      isCarrier: (linkIndex) => underlay.isCarrier(linkIndex),
      concerns: (linkIndex) => host.concerns(linkIndex),
    }, options);
}

/** Hears what others do to rules, to the table of pods' answers and to the link that they leave by. */
function eniPathWatch({ context, eniPath, trigger }: WorkerParts): Worker["run"] {
  const { libc, transport } = context;
  return async (options) =>
    await watchEniPath({
      keeper: eniPath,
      open: (groups) => NotificationSocket.open(libc, { groups }),
      ownPortId: transport.portId,
      nudge: () => trigger.nudge(),
    }, options);
}

/** A flood of nudges takes at most half a core. */
const asLong = (tookMs: number): number => tookMs;

/** A run that is not begun again once it has ended well. */
function once(run: Worker["run"]): Worker["run"] {
  return async (options) => {
    await run(options);
    await aborted(options.signal);
  };
}
