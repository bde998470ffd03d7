import { errorText } from "../log/error_text.ts";
import type { DesiredState, ObservedTables, StateTables } from "../model/state.ts";
import type { AttributeReader } from "../netlink/attribute.ts";
import type { MessageReader } from "../netlink/message.ts";
import { NetlinkError } from "../linux/errno.ts";
import { ROUTE } from "../model/rows.ts";
import { Table } from "../model/table.ts";
import { applySteps } from "./apply_steps.ts";
import { findForeign } from "./foreign_routes.ts";
import { type Heard, judgeHeard } from "./heard_rows.ts";
import { observeRows } from "./observe_rows.ts";
import { planLinks, planTables, type TableStep } from "./plan.ts";
import {
  type Applier,
  kernelApplier,
  logPass,
  type ReconcilerDeps,
  runPass,
  usableIndexes,
  vteps,
} from "./reconciler.ts";
import { Failures, type PassReport } from "./report.ts";
import type { Wanted } from "./wanted.ts";
import { appendRow, emptyLike, rowsOf, TABLES, type WantedRows } from "./wanted_rows.ts";

/** Rows that are looked at one by one; of more a whole look is cheaper. */
const MOST_ROWS = 192;

/** What the last pass has left, where nothing was in its way. */
interface Settled {
  readonly report: PassReport;
  readonly wanted: Wanted;
  readonly rows: WantedRows;
  /** Of these rows. */
  readonly revision: number;
  readonly linkIndexes: readonly number[];
  /** Others' routes to the cluster networks. */
  readonly foreign: Table;
}

/**
 * Makes passes: whole ones, and partial ones, which look at some rows only: those that are wanted otherwise than before, and those
 * that somebody has named. They do the same for these rows as a whole pass, by the same plan; whatever could concern more than
 * these rows has them ask for a whole one.
 */
export class Passes {
  readonly #deps: ReconcilerDeps;
  readonly #applier: Applier;
  #settled: Settled | undefined;

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
    this.#applier = kernelApplier(deps);
  }

  /** Looks at everything; `undefined` while it is not known what this host must hold. */
  whole(): PassReport | undefined {
    this.#settled = undefined;
    const wanted = this.#deps.desire({ isFresh: true });
    const revision = wanted?.rows?.revision ?? 0;
    let linkIndexes: readonly number[] = [];
    let observed: ObservedTables | undefined;
    const report = runPass({ ...this.#deps, desire: () => wanted }, {
      ...this.#applier,
      linkIndexes: (state, links) => linkIndexes = this.#applier.linkIndexes(state, links),
      tablesSeen: (tables) => observed = tables,
    });
    if (report === undefined || wanted?.rows === undefined || observed === undefined) return report;
    this.#settle({
      report,
      wanted,
      rows: wanted.rows,
      revision,
      linkIndexes,
      foreign: observed.foreignRoutes,
    });
    return report;
  }

  /**
   * Looks at the rows that are wanted otherwise than at the last pass, and at those that have the keys of `named`.
   *
   * @returns `undefined` if a whole pass is needed: then nothing was done, or more is to be done.
   */
  part(named: StateTables | undefined): PassReport | undefined {
    const settled = this.#settled;
    if (settled === undefined) return undefined;
    this.#settled = undefined;
    const startedAt = this.#deps.now();
    const startedMs = this.#deps.elapsedMs();
    const wanted = this.#deps.desire();
    if (wanted === undefined || !isLike(settled, wanted) || this.#deps.fights?.waitMs !== undefined) {
      return undefined;
    }
    const revision = settled.rows.revision;
    const keys = keysOf(settled, named);
    if (keys === undefined || !this.#areLinksRight(wanted.state, settled.linkIndexes)) return undefined;
    const failures = new Failures();
    const made = this.#bring(wanted, settled, keys, failures);
    if (made === undefined) return undefined;
    const report: PassReport = {
      ...settled.report,
      ...made,
      startedAt,
      durationMs: this.#deps.elapsedMs() - startedMs,
      failures: failures.sentences,
      failureCount: failures.count,
      reach: wanted.reach,
      remoteLeases: wanted.remoteLeases,
      fights: this.#deps.fights?.conditions ?? [],
    };
    logPass(this.#deps.log, report);
    this.#settle({ ...settled, wanted, report, revision });
    return report;
  }

  /** What a notification about a row asks for. Everything, while it is not known what the last pass has left. */
  heard(message: MessageReader, attributes: AttributeReader): Heard {
    const settled = this.#settled;
    if (settled === undefined) return "all";
    const { wanted: { state }, rows, linkIndexes } = settled;
    return judgeHeard(message, attributes, { state, rows, linkIndexes });
  }

  #settle(settled: Settled): void {
    const { report, wanted } = settled;
    const { failureCount, isForwarding, isRemembered, faults, fights } = report;
    if (failureCount > 0 || !isForwarding || isRemembered || fights.length > 0) return;
    // Where others' routes take packets, who comes and goes is to be seen together with these.
    if (faults === wanted.faults) this.#settled = settled;
  }

  /** Whether the links are as at the last pass, and as they must be. */
  #areLinksRight(state: DesiredState, before: readonly number[]): boolean {
    const { observer } = this.#deps;
    const links = observer.links(state.links);
    const indexes = usableIndexes(links);
    return indexes.length === before.length &&
      indexes.every((index, slot) => index !== 0 && index === before[slot]) &&
      planLinks(state, links, observer.addresses(vteps(state, links))).length === 0;
  }

  /** Brings some rows to what is wanted; `undefined` if that says more than these rows. */
  #bring(
    wanted: Wanted,
    { rows, linkIndexes, foreign }: Settled,
    keys: StateTables,
    failures: Failures,
  ): { readonly planned: number; readonly applied: number } | undefined {
    const { client, fights, foreignFaults } = this.#deps;
    const { state } = wanted;
    const desired = desiredRows(rows, state, keys);
    if (findForeign(desired.tables.routes, foreign, linkIndexes).length > 0) return undefined;
    let observed: StateTables | undefined;
    try {
      observed = observeRows(client, keys, linkIndexes);
    } catch (error) {
      // A whole look says what is the matter, if it meets it too.
      if (!(error instanceof NetlinkError)) throw error;
      this.#deps.log.write("debug", "rows not read one by one", { reason: errorText(error) });
    }
    if (observed === undefined) return undefined;
    const tables = { ...observed, foreignRoutes: new Table(ROUTE, 1) };
    fights?.begin(state);
    fights?.linksMade(linkIndexes, false);
    const steps = planTables({ ...state, ...desired.tables }, tables)
      .map((step) => ofWhole(step, state, desired));
    const made = applySteps(this.#deps, this.#applier.table, steps, {
      desire: wanted,
      linkIndexes,
      unread: new Set(),
      scene: {
        state,
        observed: tables,
        describeForeign: (foreign, row) => foreignFaults.describe(foreign, row),
      },
      failures,
    });
    fights?.end(state);
    return made;
  }
}

/** Whether nothing but rows and how many peers there are can be wanted otherwise than before. */
function isLike({ rows, report, wanted: before }: Settled, wanted: Wanted): boolean {
  return wanted.rows === rows && wanted.faults === before.faults && wanted.faults === report.faults &&
    wanted.doubts === before.doubts && wanted.state.cloud === undefined && !wanted.isRemembered;
}

/** The rows to look at, each once; `undefined` if they are not known, or too many. */
function keysOf(
  { rows, revision, wanted }: Settled,
  named: StateTables | undefined,
): StateTables | undefined {
  const changed = rows.since(revision);
  if (changed === undefined) return undefined;
  const keys = emptyLike(wanted.state);
  const seen = new Set<string>();
  for (const name of TABLES) {
    for (const { words, count, layout } of [changed[name], ...named === undefined ? [] : [named[name]]]) {
      for (let at = 0; at < count * layout.words; at += layout.words) {
        const key = `${name} ${words.subarray(at, at + layout.keyWords)}`;
        if (seen.has(key)) continue;
        seen.add(key);
        if (seen.size > MOST_ROWS) return undefined;
        appendRow(keys[name], words, at);
      }
    }
  }
  return keys;
}

/** The wanted rows that have some keys, and which rows of the whole tables they are. */
interface DesiredRows {
  readonly tables: StateTables;
  readonly indices: Readonly<Record<keyof StateTables, number[]>>;
}

function desiredRows(rows: WantedRows, state: StateTables, keys: StateTables): DesiredRows {
  const tables = emptyLike(state);
  const indices: Record<keyof StateTables, number[]> = { neighbours: [], fdb: [], routes: [] };
  for (const name of TABLES) {
    for (const at of rowsOf(keys[name])) {
      const row = rows.find(name, keys[name].words, at) ?? -1;
      if (row < 0) continue;
      appendRow(tables[name], state[name].words, row * state[name].layout.words);
      indices[name].push(row);
    }
  }
  return { tables, indices };
}

/** A step on some wanted rows as one on the whole table, as whole passes have it. */
function ofWhole(step: TableStep, state: StateTables, { tables, indices }: DesiredRows): TableStep {
  const { table } = step;
  if (step.rows !== tables[table]) return step;
  return { ...step, rows: state[table], indices: step.indices.map((row) => indices[table][row]!) };
}
