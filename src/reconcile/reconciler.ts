import type { Wanted } from "./wanted.ts";
import { pause } from "../lease/pause.ts";
import type { Log } from "../log/log.ts";
import { AF_INET, type Family, familyOf } from "../model/address.ts";
import { FDB, NEIGHBOUR, ROUTE, routeDestination } from "../model/rows.ts";
import type { DesiredState, ObservedLink } from "../model/state.ts";
import type { Table } from "../model/table.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { applyLinkStep, applyTableStep } from "./apply.ts";
import type { Observer } from "./observe.ts";
import {
  describeLinkStep,
  type LinkStep,
  planLinks,
  planTables,
  type TableName,
  type TableStep,
} from "./plan.ts";
import { Failures, type PassReport } from "./report.ts";
import { findForeign, type ForeignHit, isTakable } from "./foreign_routes.ts";
import type { ForeignFaults } from "./foreign_faults.ts";
import type { Trigger } from "./trigger.ts";

/** What a pass needs of the world. */
export interface ReconcilerDeps {
  /** What this host must hold; `undefined` while that is not known, and then nothing is touched. */
  readonly desire: () => Wanted | undefined;
  readonly client: NetlinkClient;
  readonly observer: Observer;
  /** Whether others' routes to peers' subnets give way, as to flannel; not if absent. */
  readonly takesForeign?: boolean;
  /** Finds words for others' routes that stand in the way of ours. */
  readonly foreignFaults: ForeignFaults;
  /** Called after a VTEP was created, before anything uses it. */
  readonly linkCreated: (name: string) => void;
  readonly report: (report: PassReport) => void;
  readonly now: () => Date;
  /** Milliseconds of a clock that never jumps. */
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/** A pass that failed is tried again after this long, doubled each time up to the resync period. */
const FIRST_RETRY_MS = 100;

const SLOT_WORD: Readonly<Record<TableName, number>> = {
  neighbours: NEIGHBOUR.slot,
  fdb: FDB.slot,
  routes: ROUTE.slot,
};

const FAMILY_WORD = {
  neighbours: NEIGHBOUR.family,
  routes: ROUTE.family,
} as const;

/** What is there, and what must change: the drift of this moment. Changes nothing. */
export interface Drift {
  readonly links: readonly LinkStep[];
  readonly tables: readonly TableStep[];
}

/**
 * Reads what this host holds and compares it with what it must hold.
 *
 * @throws {NetlinkError} If the kernel could not be read.
 */
export function observeDrift(
  deps: Pick<ReconcilerDeps, "observer" | "takesForeign">,
  state: DesiredState,
): Drift {
  const links = deps.observer.links(state.links);
  const linkIndexes = usableIndexes(links);
  return {
    links: planLinks(state, links, deps.observer.addresses(vteps(state, links))),
    tables: lookAtTables(deps, state, linkIndexes).steps,
  };
}

/** What must change in the tables, and the foreign routes that stay in the way. */
function lookAtTables(
  { observer, takesForeign = false }: Pick<ReconcilerDeps, "observer" | "takesForeign">,
  state: DesiredState,
  linkIndexes: readonly number[],
  unread?: Parameters<Observer["tables"]>[2],
): {
  readonly steps: readonly TableStep[];
  readonly foreignRoutes: Table;
  readonly staying: readonly ForeignHit[];
} {
  const observed = observer.tables(state, linkIndexes, unread);
  const { foreignRoutes } = observed;
  const foreign = findForeign(state.routes, foreignRoutes, linkIndexes);
  const steps = planTables(state, observed, { foreign, takesForeign });
  return {
    steps,
    foreignRoutes,
    staying: foreign.filter((hit) => !takesForeign || !isTakable(foreignRoutes, hit)),
  };
}

/**
 * Runs one pass: desire, observe, plan, apply, report. Links first, then the tables that hang on them: the kernel
 * empties tables without a word when a link changes, so they are read after it.
 *
 * A step that fails does not stop the others; the next pass plans it again. Nothing is touched while `desire` is
 * unknown, as before the first snapshot.
 */
export function reconcileOnce(deps: ReconcilerDeps): PassReport | undefined {
  const startedAt = deps.now();
  const startedMs = deps.elapsedMs();
  const desire = deps.desire();
  if (desire === undefined) return undefined;
  const failures = new Failures();
  let planned = 0;
  let isForwarding = false;
  let { faults } = desire;
  let cutOff = 0;
  try {
    const links = reconcileLinks(deps, desire.state, failures);
    planned += links.planned;
    isForwarding = links.isForwarding;
    const tables = reconcileTables(deps, desire, failures);
    planned += tables.planned;
    ({ faults, cutOff } = tables);
  } catch (error) {
    failures.add(error instanceof Error ? error.message : String(error));
  }
  const report: PassReport = {
    startedAt,
    durationMs: deps.elapsedMs() - startedMs,
    planned,
    failures: failures.sentences,
    failureCount: failures.count,
    isForwarding,
    faults,
    // Of those whose packets another route takes nobody is reached.
    reached: Math.max(0, desire.reached - cutOff),
    doubts: desire.doubts,
    remoteLeases: desire.remoteLeases,
    otherBackends: desire.otherBackends,
    isRemembered: desire.isRemembered,
  };
  logPass(deps.log, report);
  deps.report(report);
  return report;
}

/**
 * Brings the links to their desired state. Packets can be forwarded when those of one family are as they must be: the
 * other family's faults are told, and stand in nobody's way.
 */
function reconcileLinks(
  deps: ReconcilerDeps,
  state: DesiredState,
  failures: Failures,
): { readonly planned: number; readonly isForwarding: boolean } {
  const links = deps.observer.links(state.links);
  const steps = planLinks(state, links, deps.observer.addresses(vteps(state, links)));
  const failed = new Set<string>();
  for (const step of steps) {
    const action = describeLinkStep(step);
    try {
      applyLinkStep(deps.client, step);
      if (step.kind === "create link") deps.linkCreated(step.link.name);
      deps.log.write("info", "link changed", { action, ...("why" in step ? { found: step.why } : {}) });
    } catch (error) {
      failed.add("link" in step ? step.link.name : step.name);
      failures.add(error instanceof Error ? error.message : String(error));
    }
  }
  const own = state.links.filter(({ kind }) => kind === "vxlan");
  const carriers = own.length > 0 ? own : state.links;
  const isForwarding = carriers.length === 0 || carriers.some(({ name }) => !failed.has(name));
  return { planned: steps.length, isForwarding };
}

/** The kernel's index of each link; 0 where none can carry a route, as while it is down. */
function usableIndexes(links: readonly (ObservedLink | undefined)[]): number[] {
  return links.map((link) => link?.isUp ? link.linkIndex : 0);
}

/** Only links of our own are looked at closely. */
function vteps(
  state: DesiredState,
  links: readonly (ObservedLink | undefined)[],
): (ObservedLink | undefined)[] {
  return links.filter((_, slot) => state.links[slot]!.kind === "vxlan");
}

/** Brings the tables to their desired state. */
function reconcileTables(
  deps: ReconcilerDeps,
  desire: Wanted,
  failures: Failures,
): { readonly planned: number; readonly faults: Wanted["faults"]; readonly cutOff: number } {
  const { state, isRemembered } = desire;
  const linkIndexes = usableIndexes(deps.observer.links(state.links));
  if (failures.count === 0) {
    const lost = state.links.filter((_, slot) => linkIndexes[slot] === 0);
    for (const { name } of lost) failures.add(`Cannot route over link ${name}: it went away during the pass`);
  }
  const unread = new Set<Family>();
  const { steps, foreignRoutes, staying } = lookAtTables(deps, state, linkIndexes, (family, error) => {
    unread.add(family);
    failures.add(error instanceof Error ? error.message : String(error));
  });
  let planned = 0;
  for (const whole of steps) {
    // The kernel may know better: an earlier process may have ended before it noted what it did last.
    const due = isRemembered && whole.operation !== "add" ? onlyCovering(whole, desire) : whole;
    if (due.indices.length === 0) continue;
    const step = ofReadFamilies(onPresentLinks(due, linkIndexes), state, unread);
    planned += step.indices.length;
    applyTableStep(deps.client, step, state.links, linkIndexes, failures);
    const { table, operation, indices } = step;
    deps.log.write("info", "table changed", { table, operation, rows: indices.length });
  }
  return { planned, ...deps.foreignFaults.join(desire, foreignRoutes, staying) };
}

/**
 * Of what there is too much of, only the routes that take what this host needs itself: by such a route it may be cut off
 * from the registry, so that it would never hear more than it remembers.
 */
function onlyCovering(step: TableStep, { isCovering }: Wanted): TableStep {
  const { words, layout } = step.rows;
  const isDue = (at: number) => isCovering?.(routeDestination(words, at)) ?? false;
  const isDeletion = step.table === "routes" && step.operation === "delete";
  return { ...step, indices: step.indices.filter((row) => isDeletion && isDue(row * layout.words)) };
}

/** The step without the rows of links that are not there or down; why they are is a failure already. */
function onPresentLinks(step: TableStep, linkIndexes: readonly number[]): TableStep {
  if (!linkIndexes.includes(0)) return step;
  const { words, layout } = step.rows;
  const slotWord = SLOT_WORD[step.table];
  return {
    ...step,
    indices: step.indices.filter((row) => linkIndexes[words[row * layout.words + slotWord]!] !== 0),
  };
}

/** The step without the rows of families that could not be read: nobody knows what is there of those. */
function ofReadFamilies(step: TableStep, { links }: DesiredState, unread: ReadonlySet<Family>): TableStep {
  if (unread.size === 0) return step;
  const { words, layout } = step.rows;
  const familyAt = (at: number) => {
    if (step.table !== "fdb") return words[at + FAMILY_WORD[step.table]] as Family;
    const link = links[words[at + FDB.slot]!];
    return link?.kind === "vxlan" ? familyOf(link.local) : AF_INET;
  };
  return { ...step, indices: step.indices.filter((row) => !unread.has(familyAt(row * layout.words))) };
}

function logPass(log: Log, report: PassReport): void {
  const { planned, failureCount, durationMs, remoteLeases } = report;
  const facts = {
    planned,
    failures: failureCount,
    durationMs: Math.round(durationMs * 10) / 10,
    remoteLeases,
  };
  log.write("debug", "pass ended", facts);
  for (const reason of report.failures) log.write("warn", "step failed", { reason });
}

/**
 * Runs passes until `signal` aborts: on every nudge, and at least once every `resyncMs`; sooner while something has
 * failed, in the pass or, as `isDone` tells, in what follows it.
 *
 * After a pass it waits as long as the pass took, so that a flood of nudges takes at most half a core.
 */
export async function reconcileForever(
  deps: ReconcilerDeps,
  trigger: Trigger,
  options: { resyncMs: number; isDone?: () => boolean; signal: AbortSignal },
): Promise<void> {
  const { resyncMs, isDone = () => true, signal } = options;
  let retryMs = FIRST_RETRY_MS;
  while (!signal.aborted) {
    const report = reconcileOnce(deps);
    const isWhole = report === undefined || report.failureCount === 0 && isDone();
    const waitMs = isWhole ? resyncMs : Math.min(retryMs, resyncMs);
    retryMs = isWhole ? FIRST_RETRY_MS : waitMs * 2;
    try {
      await pause(report?.durationMs ?? 0, { signal });
      await trigger.next(waitMs, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
