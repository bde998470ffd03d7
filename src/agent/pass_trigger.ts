import { Trigger } from "../loop/trigger.ts";
import { FDB, NEIGHBOUR, ROUTE } from "../model/rows.ts";
import type { StateTables } from "../model/state.ts";
import { Table } from "../model/table.ts";
import type { NamedRow } from "../reconcile/heard_rows.ts";
import { appendRow } from "../reconcile/wanted_rows.ts";

/** Rows that are named at most: of more a whole look is cheaper. */
const MOST_ROWS = 256;

/** What the next pass is to look at: everything, or what is wanted otherwise than before and some rows. */
export type PassScope = "all" | StateTables;

/**
 * Collects what asks for a pass. Who nudges asks for a whole one; other hosts' leases and single rows ask for a part, which a
 * whole one holds. A pass that nobody asked for is one whose time has come: it is whole.
 */
export class PassTrigger extends Trigger {
  #isWhole = true;
  #isPart = false;
  #rows: StateTables | undefined;
  #count = 0;

  override nudge(): void {
    this.#isWhole = true;
    super.nudge();
  }

  /** Says that other hosts' leases have changed. */
  leasesChanged(): void {
    this.#isPart = true;
    super.nudge();
  }

  /** Says that a row was changed, or may have been. */
  rowChanged({ table, words }: NamedRow): void {
    if (++this.#count > MOST_ROWS) {
      this.nudge();
      return;
    }
    this.#rows ??= { neighbours: new Table(NEIGHBOUR), fdb: new Table(FDB), routes: new Table(ROUTE) };
    appendRow(this.#rows[table], words, 0);
    this.leasesChanged();
  }

  /** Takes what was asked for since the last time. */
  take(): PassScope {
    const scope = this.#isWhole || !this.#isPart ? "all" : this.#rows ?? NO_ROWS;
    this.#isWhole = false;
    this.#isPart = false;
    this.#rows = undefined;
    this.#count = 0;
    return scope;
  }
}

const NO_ROWS: StateTables = {
  neighbours: new Table(NEIGHBOUR, 1),
  fdb: new Table(FDB, 1),
  routes: new Table(ROUTE, 1),
};
