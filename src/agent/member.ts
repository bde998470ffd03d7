import { announced, factsOf } from "./agent_status.ts";
import { usesSegment, usesTunnel } from "../overlay/backend/backend.ts";
import type { Prefix } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import { socketOwner } from "../linux/socket_owner.ts";
import type { Worker } from "../loop/worker.ts";
import { Culprits } from "../reconcile/culprits.ts";
import type { PassReport } from "../reconcile/report.ts";
import { StateFights } from "../reconcile/state_fights.ts";
import { Passes } from "../reconcile/passes.ts";
import type { Observer } from "../reconcile/observe.ts";
import { incomingVxlan } from "../reconcile/incoming_vxlan.ts";
import { isGatewayOn, truthKernel } from "../reconcile/truth_look.ts";
import type { Desires, Wanted } from "../reconcile/wanted.ts";
import { ContestWatch } from "../registry/contest_watch.ts";
import type { AgentFacts } from "../status/facts.ts";
import { cutOff } from "../status/cut_off.ts";
import { hostBlame } from "./blame.ts";
import type { AgentContext, KnownConfig } from "./context.ts";
import { EniPathKeeper } from "./eni_path_keeper.ts";
import { type LeaseParts, openLeaseParts } from "./lease_parts.ts";
import { forwardScene } from "./forward_scene.ts";
import { LinkKeeper } from "./link_keeper.ts";
import { type MacAnnouncer, openMacAnnouncer } from "./mac_announcer.ts";
import { type OpenCloud, openCloud } from "./open_cloud.ts";
import { type OpenPaths, openPaths, toldElsewhere } from "./open_paths.ts";
import { openPods } from "./open_pods.ts";
import { type OpenRules, openRules } from "./open_rules.ts";
import { Pass } from "./pass.ts";
import { PassTrigger } from "./pass_trigger.ts";
import type { PlanParts } from "./plan/stage_plans.ts";
import { reconcilerDeps } from "./reconciler_deps.ts";
import { rivalsIn } from "./rivals.ts";
import { passStages } from "./stages.ts";
import { type TruthDeps, TruthKeeper } from "./truth_keeper.ts";
import { type LateParts, openUnderlayParts, type UnderlayParts } from "./underlay_parts.ts";
import { workersOf } from "./workers.ts";

/** Parts of a member that know each other: what one has to say, another hears when it is there. */
interface Member {
  readonly context: AgentContext;
  readonly known: KnownConfig;
  readonly underlayParts: UnderlayParts;
  readonly leaseParts: LeaseParts;
  readonly trigger: PassTrigger;
  readonly announcer: MacAnnouncer | undefined;
  readonly cloud: OpenCloud | undefined;
  readonly eniPath: EniPathKeeper;
  readonly paths: OpenPaths | undefined;
  readonly late: LateParts;
}

/**
 * Is a member of the overlay until `signal` aborts.
 *
 * @returns Whether it was; else the network was not to be applied, nothing was touched, and the configuration has
 * changed.
 */
export async function runMember(
  context: AgentContext,
  known: KnownConfig,
  { signal }: { readonly signal: AbortSignal },
): Promise<boolean> {
  const { client, libc, guard, watchFiles, log } = context;
  await using stack = new AsyncDisposableStack();
  const trigger = new PassTrigger();
  const late: LateParts = {};
  const underlayParts = await openUnderlayParts(context, known, { late, trigger }, { signal });
  const nudges = {
    pass: () => trigger.nudge(),
    leases: () => trigger.leasesChanged(),
    rules: () => late.rules?.nudge(),
  };
  const leaseParts = openLeaseParts(context, known, underlayParts, { late, nudges, stack });
  const { underlay, podFiles } = underlayParts;
  const { backend, host, former, registry, request, openFor, usable } = leaseParts;
  const cloud = await openCloud(known.config.backend, {
    ...context,
    underlay,
    pathChanged: nudges.pass,
    isLinkMissing: () => eniPath.isLinkMissing,
  });
  // Others on the segment remember where this host was.
  const announcer = !usesSegment(backend.carriage) && !usesTunnel(backend.carriage)
    ? undefined
    : late.announcer = openMacAnnouncer({ libc, client, underlay: () => underlay.current, log });

  // Up to here nothing was touched.
  if (!await guard.admit(registry, { request, openFor }, { signal })) return false;
  host.keepManagersAway();
  for (const path of podFiles.paths) watchFiles(path, nudges.pass);
  const incoming = () => incomingVxlan(late.wanted?.(), underlay.current.linkName);
  const kernel = truthKernel(client);
  const sceneKernel = {
    link: kernel.link,
    nameOf: (linkIndex: number) => kernel.link(linkIndex)?.name,
    isGatewayOn: (own: Prefix, linkIndex: number) => isGatewayOn(kernel, own, linkIndex),
  };
  const forwarded = () => forwardScene(late.wanted?.(), podFiles.bridge, sceneKernel);
  const ruleSources = { ...context, config: known.config, own: usable, former, incoming, forwarded };
  const filter = openRules(stack, { ...ruleSources, made: nudges.pass });
  late.rules = filter.keeper;
  const networks = [...known.config.families.map(({ network }) => network), ...former.former];
  const eniPath = new EniPathKeeper({ ...context, networks, linkLost: () => cloud?.nudge() });
  const lastPass = () => late.lastPass?.();
  const told = () => late.told?.() ?? { isAll: false, hosts: new Map() };
  const pathParts = {
    context,
    known,
    underlayParts,
    leaseParts,
    lastPass,
    told,
    damageChanged: nudges.pass,
    sizesChanged: nudges.pass,
  };
  const paths = await openPaths(pathParts, stack);
  late.prober = paths?.prober;
  const parts = { context, known, underlayParts, leaseParts };
  const workers = openWorkers({ ...parts, trigger, announcer, cloud, eniPath, paths, late }, filter, stack);
  former.start();
  log.write("info", "agent started", {
    backend: backend.type,
    registry: context.place.name,
    ...underlay.facts(),
  });
  await context.workers.runAll(workers, { signal });
  return true;
}

/** Makes the passes of a member, shows how it is, and puts its workers together. */
function openWorkers(
  member: Member,
  filter: OpenRules,
  stack: AsyncDisposableStack,
): readonly (Worker | undefined)[] {
  const { context, underlayParts, leaseParts } = member;
  const { former, registry: { registry } } = leaseParts;
  const { pods, leftovers } = openMemberPods(member);
  const observer = former.observer();
  const { fights, culprits } = openFights(context);
  const fightMs = () => soonestMs([fights, leaseParts.host, pods, underlayParts.podFiles]);
  const rivals = () => pass.last === undefined ? [] : rivalsIn(pass.last);
  const contests = new ContestWatch({ registry, rivals, log: context.log });
  const blame = hostBlame(context.libc, culprits, context.elapsedMs);
  const deps = { ...reconcilerDeps(member, observer, fights), blame };
  let wanted: Wanted | undefined;
  const desire: Desires = (options) => wanted = deps.desire(options);
  const passes = new Passes({ ...deps, desire });
  member.late.wanted = () => wanted;
  const truth = openTruth(member, { wanted: () => wanted, lastPass: () => pass.last });
  const parts = { ...member, pods, truth, forward: filter.forward };
  const links = openLinks(member, observer);
  const pass = new Pass(
    passStages({
      ...parts,
      areRulesMade: filter.areMade,
      reconcile: () => culprits.answered(() => passes.whole()),
      reconcilePart: (rows) => culprits.answered(() => passes.part(rows)),
      contestsChanged: () => contests.nudge(),
    }),
    { elapsedMs: context.elapsedMs, staged: context.totals.staged },
  );
  const forward = filter.forward ?? NOTHING_TOLD;
  const found = () => conditionsFound(member, pass, { pods, leftovers, truth, forward });
  member.late.lastPass = () => pass.last;
  member.late.told = () => toldElsewhere(found(), { truth, underlayParts });
  const facts = factsOf({
    ...underlayParts,
    ...leaseParts,
    lastPass: () => pass.last,
    conditions: () => [...found(), ...member.paths?.conditions ?? []],
    registryName: context.place.name,
    registry,
    contests,
    rules: filter.keeper,
    leftovers,
    totals: context.totals,
    cloud: member.cloud?.cloud,
    truth,
    links: links.read,
    plan: planner({
      ...parts,
      reconcilerDeps: deps,
      rules: filter.plan,
      conditions: () => facts.conditions(),
    }),
    paths: member.paths,
  });
  context.show(facts);
  return workersOf({
    ...member,
    pass,
    passes,
    fightMs,
    observer,
    culprits,
    filter,
    leftovers,
    contests,
    links,
    truth,
    announced: () => announced(facts.conditions()),
  }, stack);
}

/** Keeps what pods of this host are on, and knows what was left of vanished ones. */
function openMemberPods({ context, known, underlayParts, leaseParts, trigger }: Member) {
  const { membership, leases } = leaseParts;
  return openPods({
    ...context,
    podFiles: underlayParts.podFiles,
    networks: known.config.families.map(({ network }) => network),
    held: underlayParts.held,
    leases,
    own: () => membership.own,
    changed: () => trigger.nudge(),
  });
}

/** Knows which routes the kernel takes for packets of the overlay. */
function openTruth(
  { context, underlayParts: { underlay, podFiles }, leaseParts: { ways } }: Member,
  deps: Pick<TruthDeps, "wanted" | "lastPass">,
): TruthKeeper {
  return new TruthKeeper({
    ...deps,
    kernel: truthKernel(context.client),
    isLost: () => underlay.reason !== undefined,
    bridge: () => podFiles.bridge,
    underlayLinkName: () => underlay.current.linkName,
    cutFamilies: () => ways.cutFamilies,
    elapsedMs: context.elapsedMs,
  });
}

/** Where there is nothing to know. */
const NOTHING_TOLD = { conditions: [] };

/** What was found, by each part that looks for it. */
function conditionsFound(
  member: Member,
  pass: Pass,
  { pods, leftovers, truth, forward }: Readonly<
    Record<"pods" | "leftovers" | "truth" | "forward", { readonly conditions: readonly Condition[] }>
  >,
): readonly Condition[] {
  const { context, underlayParts: { ground, bootKeeper, podFiles }, leaseParts, cloud, eniPath } = member;
  return [
    context.conditions(),
    pass.conditions,
    reachConditions(member, pass.last),
    leaseParts.ways.conditions,
    truth.conditions,
    forward.conditions,
    cloud?.cloud.conditions ?? [],
    eniPath.conditions,
    leaseParts.former.conditions,
    ground.conditions(leaseParts.membership.own),
    bootKeeper.conditions,
    leaseParts.registry.conditions?.() ?? [],
    pods.conditions,
    podFiles.conditions,
    leftovers.conditions,
  ].flat();
}

/** Milliseconds until the first look that is due; `undefined` if none is. */
function soonestMs(parts: readonly { readonly waitMs: number | undefined }[]): number | undefined {
  const waits = parts.flatMap(({ waitMs }) => waitMs ?? []);
  return waits.length === 0 ? undefined : Math.min(...waits);
}

/** Reads what the kernel counts on the links that the overlay is on. */
function openLinks(
  { context, underlayParts: { underlay, podFiles } }: Member,
  observer: Observer,
): LinkKeeper {
  return new LinkKeeper({
    ...context,
    links: () => [
      ...observer.vtepIndexes.map((link) => ({ link, role: "vtep" as const })),
      { link: underlay.linkIndex, role: "underlay" },
      { link: podFiles.bridge ?? 0, role: "bridge" },
    ],
  });
}

/** Says what the next pass, and the loops beside it, would do now. What it takes is loaded when it is asked for. */
function planner(parts: Omit<PlanParts, "isStart" | "isReleasing">): NonNullable<AgentFacts["plan"]> {
  const isReleasing = parts.context.options.isReleasingStale;
  return async ({ isWhole }) => {
    const { planHost } = await import("./plan/plan_host.ts");
    return await planHost({ ...parts, isReleasing, isStart: false }, { source: "the agent", isWhole });
  };
}

/** Knows what others change again and again, and who does. */
function openFights({ libc, elapsedMs }: AgentContext): { fights: StateFights; culprits: Culprits } {
  const culprits = new Culprits();
  const opponent = (thing: string) => {
    const portId = culprits.portOf(thing);
    return portId === undefined ? undefined : socketOwner(libc, portId);
  };
  return { fights: new StateFights(elapsedMs, { opponent }), culprits };
}

/** That no other host is reached, and that others' routes take this host's own packets, as the last pass found. */
function reachConditions({ leaseParts }: Member, last: PassReport | undefined): readonly Condition[] {
  if (last === undefined) return [];
  return [...cutOff({ ...last, leaseType: leaseParts.backend.leaseType }), ...last.ownTaken];
}
