import { errorText } from "../log/error_text.ts";
import type { Desires, Wanted } from "./wanted.ts";
import type { Log } from "../log/log.ts";
import type { Family } from "../model/address.ts";
import type { DesiredState, ObservedLink, ObservedTables } from "../model/state.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { applyLinkStep, applyTableStep } from "./apply.ts";
import { applySteps, type ApplyTable, type StepDeps, type StepKind } from "./apply_steps.ts";
import type { Observer } from "./observe.ts";
import {
  describeLinkStep,
  linkNameOf,
  type LinkStep,
  planLinks,
  planTables,
  type TableStep,
} from "./plan.ts";
import { Failures, type PassReport } from "./report.ts";
import { findForeign, type ForeignHit, isTakable } from "./foreign_routes.ts";
import type { ForeignFaults } from "./foreign_faults.ts";
import { linkFacts } from "./repair_lines.ts";
import type { StepScene } from "./state_fights.ts";

/** What a pass needs of the world. */
export interface ReconcilerDeps extends StepDeps {
  /** What this host must hold; `undefined` while that is not known, and then nothing is touched. */
  readonly desire: Desires;
  readonly client: NetlinkClient;
  readonly observer: Observer;
  /** Whether others' routes to peers' subnets give way, as to flannel; not if absent. */
  readonly takesForeign?: boolean;
  /** Finds words for others' routes that stand in the way of ours. */
  readonly foreignFaults: ForeignFaults;
  /** Called after a VTEP was created, before anything uses it. */
  readonly linkCreated: (name: string) => void;
  /** Says who has a UDP port that a VTEP can't have, as a phrase; nobody is named if absent. */
  readonly portOwner?: (port: number) => string;
  readonly now: () => Date;
  /** Milliseconds of a clock that never jumps. */
  readonly elapsedMs: () => number;
}

/** Who carries the steps of a pass out. */
export interface Applier {
  /** @throws {Error} If it can't be done. */
  readonly link: (step: LinkStep) => void;
  readonly table: ApplyTable;
  /** The kernel's index of each link once the steps on links are done; 0 where none can carry a route. */
  readonly linkIndexes: (state: DesiredState, observed: readonly (ObservedLink | undefined)[]) => number[];
  /** Told what the steps on tables were planned for, before the first of them. */
  readonly tablesSeen?: (observed: ObservedTables) => void;
}

/** What must change in the tables, and the foreign routes that stay in the way. */
function lookAtTables(
  { observer, takesForeign = false, foreignFaults, fights }: ReconcilerDeps,
  state: DesiredState,
  linkIndexes: readonly number[],
  unread?: Parameters<Observer["tables"]>[2],
): {
  readonly steps: readonly TableStep[];
  readonly scene: StepScene;
  readonly staying: readonly ForeignHit[];
  /** Those of them that come back each time that they are taken over. */
  readonly left: ReadonlySet<ForeignHit>;
} {
  const observed = observer.tables(state, linkIndexes, unread);
  const scene: StepScene = {
    state,
    observed,
    describeForeign: (foreign, row) => foreignFaults.describe(foreign, row),
  };
  const { foreignRoutes } = observed;
  const foreign = findForeign(state.routes, foreignRoutes, linkIndexes);
  const takable = takesForeign ? foreign.filter((hit) => isTakable(foreignRoutes, hit)) : [];
  const left = fights?.leftForeign(takable, scene) ?? new Set();
  const taken = new Set(takable.filter((hit) => !left.has(hit)));
  const steps = planTables(state, observed, { foreign, taken });
  return { steps, scene, staying: foreign.filter((hit) => !taken.has(hit)), left };
}

/**
 * Runs one pass: desire, observe, plan, apply, report. Links first, then the tables that hang on them: the kernel
 * empties tables without a word when a link changes, so they are read after it.
 *
 * A step that fails does not stop the others; the next pass plans it again. Nothing is touched while `desire` is
 * unknown, as before the first snapshot.
 */
export function reconcileOnce(deps: ReconcilerDeps): PassReport | undefined {
  return runPass(deps, kernelApplier(deps));
}

/** Has the kernel carry the steps out. */
export function kernelApplier({ client, portOwner, linkCreated }: ReconcilerDeps): Applier {
  return {
    link: (step) => {
      applyLinkStep(client, step, portOwner);
      if (step.kind === "create link") linkCreated(step.link.name);
    },
    table: (step, links, linkIndexes, failures) => applyTableStep(client, step, links, linkIndexes, failures),
    linkIndexes: (_, observed) => usableIndexes(observed),
  };
}

/** Runs one pass, whose steps `applier` carries out. */
export function runPass(deps: ReconcilerDeps, applier: Applier): PassReport | undefined {
  const startedAt = deps.now();
  const startedMs = deps.elapsedMs();
  const desire = deps.desire();
  if (desire === undefined) return undefined;
  const { fights } = deps;
  fights?.begin(desire.state);
  const failures = new Failures();
  let planned = 0;
  let applied = 0;
  let isForwarding = false;
  let { faults, reach } = desire;
  let ownTaken: PassReport["ownTaken"] = [];
  try {
    const links = reconcileLinks(deps, applier, desire.state, failures);
    planned += links.planned;
    applied += links.applied;
    isForwarding = links.isForwarding;
    const tables = reconcileTables(deps, applier, desire, {
      failures,
      failedLinks: links.failed,
      hasChangedLinks: links.planned > 0,
    });
    planned += tables.planned;
    applied += tables.applied;
    ({ faults, reach, ownTaken } = tables);
    if (tables.isWhole) fights?.end(desire.state);
  } catch (error) {
    failures.add(errorText(error));
  }
  const report: PassReport = {
    startedAt,
    durationMs: deps.elapsedMs() - startedMs,
    planned,
    applied,
    failures: failures.sentences,
    failureCount: failures.count,
    isForwarding,
    families: desire.families,
    faults,
    reach,
    ownTaken,
    fights: fights?.conditions ?? [],
    doubts: desire.doubts,
    remoteLeases: desire.remoteLeases,
    otherBackends: desire.otherBackends,
    isRemembered: desire.isRemembered,
    ...desire.state.cloud !== undefined && { cloud: desire.state.cloud },
  };
  logPass(deps.log, report);
  return report;
}

/**
 * Brings the links to their desired state. Packets can be forwarded when those of one family are as they must be: the
 * other family's faults are told, and stand in nobody's way.
 */
function reconcileLinks(
  deps: ReconcilerDeps,
  applier: Applier,
  state: DesiredState,
  failures: Failures,
): {
  readonly planned: number;
  readonly applied: number;
  readonly isForwarding: boolean;
  readonly failed: ReadonlySet<string>;
} {
  const links = deps.observer.links(state.links);
  const steps = planLinks(state, links, deps.observer.addresses(vteps(state, links)));
  const failed = new Set<string>();
  let planned = 0;
  let applied = 0;
  for (const step of steps) {
    if (deps.fights?.leavesLink(step, steps)) {
      failed.add(linkNameOf(step));
      continue;
    }
    planned++;
    const action = describeLinkStep(step);
    try {
      applier.link(step);
      applied++;
      deps.stepped?.(kindOf(step), "done", 1);
      deps.log.write("info", "link changed", {
        action,
        ...linkFacts(step, deps.blame),
      });
    } catch (error) {
      failed.add(linkNameOf(step));
      failures.add(errorText(error));
      deps.stepped?.(kindOf(step), "failed", 1);
      deps.fights?.linkFailed(step);
    }
  }
  const own = state.links.filter(({ kind }) => kind === "vxlan");
  const carriers = own.length > 0 ? own : state.links;
  const isForwarding = carriers.length === 0 || carriers.some(({ name }) => !failed.has(name));
  return { planned, applied, isForwarding, failed };
}

function kindOf(step: LinkStep): StepKind {
  return "prefix" in step ? "address" : "link";
}

/** The kernel's index of each link; 0 where none can carry a route, as while it is down. */
export function usableIndexes(links: readonly (ObservedLink | undefined)[]): number[] {
  return links.map((link) => link?.isUp ? link.linkIndex : 0);
}

/** Only links of our own are looked at closely. */
export function vteps(
  state: DesiredState,
  links: readonly (ObservedLink | undefined)[],
): (ObservedLink | undefined)[] {
  return links.filter((_, slot) => state.links[slot]!.kind === "vxlan");
}

/** Brings the tables to their desired state. */
function reconcileTables(
  deps: ReconcilerDeps,
  applier: Applier,
  desire: Wanted,
  { failures, failedLinks, hasChangedLinks }: {
    readonly failures: Failures;
    readonly failedLinks: ReadonlySet<string>;
    readonly hasChangedLinks: boolean;
  },
):
  & { readonly planned: number; readonly applied: number; readonly isWhole: boolean }
  & Pick<PassReport, "faults" | "reach" | "ownTaken"> {
  const { foreignFaults, fights } = deps;
  const { state } = desire;
  const linkIndexes = applier.linkIndexes(state, deps.observer.links(state.links));
  fights?.linksMade(linkIndexes, hasChangedLinks);
  if (failures.count === 0) {
    const lost = state.links.filter(({ name }, slot) => linkIndexes[slot] === 0 && !failedLinks.has(name));
    for (const { name } of lost) failures.add(`Cannot route over link ${name}: it went away during the pass`);
  }
  const unread = new Set<Family>();
  const { steps, scene, staying, left } = lookAtTables(deps, state, linkIndexes, (family, error) => {
    unread.add(family);
    failures.add(errorText(error));
  });
  applier.tablesSeen?.(scene.observed);
  const made = applySteps(deps, applier.table, steps, { desire, linkIndexes, unread, scene, failures });
  const { foreignRoutes } = scene.observed;
  const joined = foreignFaults.join(desire, foreignRoutes, staying, left);
  return {
    ...made,
    isWhole: unread.size === 0,
    ...fights?.join(joined, desire.hostOf) ?? joined,
    ownTaken: foreignFaults.own(desire.ownSubnets, foreignRoutes),
  };
}

/** Says that a pass is over. */
export function logPass(log: Log, report: PassReport): void {
  const { planned, failureCount, durationMs, remoteLeases } = report;
  const facts = {
    planned,
    failures: failureCount,
    durationMs: Math.round(durationMs * 10) / 10,
    remoteLeases,
  };
  log.write("debug", "pass ended", facts);
}
