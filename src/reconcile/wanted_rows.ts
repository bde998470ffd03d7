import { RowIndex } from "../model/row_index.ts";
import type { DesiredState, StateTables } from "../model/state.ts";
import { Table } from "../model/table.ts";

/** Rows whose changes are kept apart: who was away for longer looks at all. */
const MOST_CHANGES = 1024;
/** The names of the tables. */
export const TABLES = ["neighbours", "fdb", "routes"] as const satisfies readonly (keyof StateTables)[];

interface RowChange {
  readonly revision: number;
  readonly table: keyof StateTables;
  /** The row that has come, or is gone. */
  readonly words: Uint32Array;
}

/**
 * The rows of a state, found by their keys, and changed by what one lease brings: so that an event costs what it changes. The
 * tables are changed in their place.
 */
export class WantedRows {
  readonly #tables: StateTables;
  #indexes: Readonly<Record<keyof StateTables, RowIndex>> | undefined;
  #isUnique = true;
  #revision = 0;
  #changes: RowChange[] = [];

  constructor(state: StateTables) {
    this.#tables = state;
  }

  /** Another number, and a larger one, after each change. */
  get revision(): number {
    return this.#revision;
  }

  /** The row of a table with the key at `at`: -1 for none. `undefined` if keys don't tell rows apart. */
  find(table: keyof StateTables, words: Uint32Array, at: number): number | undefined {
    return this.#index()?.[table].find(words, at);
  }

  /**
   * Takes rows out and puts others in.
   *
   * @returns Whether that was done; nothing was if a row that is to go is not there, or another has the key of one that is to come.
   */
  change(gone: StateTables, come: StateTables): boolean {
    const indexes = this.#index();
    if (indexes === undefined) return false;
    for (const name of TABLES) {
      const leaving = new Set<number>();
      for (const at of rowsOf(gone[name])) {
        const row = indexes[name].find(gone[name].words, at);
        if (row < 0 || leaving.has(row)) return false;
        leaving.add(row);
      }
      for (const at of rowsOf(come[name])) {
        const row = indexes[name].find(come[name].words, at);
        if (row >= 0 && !leaving.has(row)) return false;
      }
    }
    this.#revision++;
    for (const name of TABLES) {
      for (const at of rowsOf(gone[name])) {
        indexes[name].remove(gone[name].words, at);
        this.#note(name, gone[name], at);
      }
      for (const at of rowsOf(come[name])) {
        indexes[name].put(come[name].words, at);
        this.#note(name, come[name], at);
      }
    }
    return true;
  }

  /** A row of each key that has come or is gone since a revision; `undefined` if that is not known any more. */
  since(revision: number): StateTables | undefined {
    const oldest = this.#changes[0]?.revision ?? this.#revision + 1;
    if (revision < this.#revision && revision < oldest - 1) return undefined;
    const changed = emptyLike(this.#tables);
    for (const { revision: at, table, words } of this.#changes) {
      if (at > revision) appendRow(changed[table], words, 0);
    }
    return changed;
  }

  #note(table: keyof StateTables, { words, layout }: Table, at: number): void {
    this.#changes.push({ revision: this.#revision, table, words: words.slice(at, at + layout.words) });
    if (this.#changes.length <= MOST_CHANGES) return;
    // A revision that is not whole is none.
    const cut = this.#changes[MOST_CHANGES / 2]!.revision;
    this.#changes = this.#changes.filter((change) => change.revision > cut);
  }

  #index(): Readonly<Record<keyof StateTables, RowIndex>> | undefined {
    if (this.#indexes !== undefined || !this.#isUnique) return this.#indexes;
    const [neighbours, fdb, routes] = TABLES.map((name) => RowIndex.of(this.#tables[name]));
    if (neighbours === undefined || fdb === undefined || routes === undefined) this.#isUnique = false;
    else this.#indexes = { neighbours, fdb, routes };
    return this.#indexes;
  }
}

/** Appends the row at `at` of some words to a table of its kind. */
export function appendRow(table: Table, words: Uint32Array, at: number): void {
  const to = table.push();
  table.storage.set(words.subarray(at, at + table.layout.words), to);
}

/** Where the rows of a table begin. */
export function* rowsOf({ count, layout }: Table): Generator<number, void, undefined> {
  for (let row = 0; row < count; row++) yield row * layout.words;
}

/** Tables without a row. */
export function emptyLike({ neighbours, fdb, routes }: StateTables): StateTables {
  return {
    neighbours: new Table(neighbours.layout, 1),
    fdb: new Table(fdb.layout, 1),
    routes: new Table(routes.layout, 1),
  };
}

/** The rows of a state that another one has not, by their keys. */
export function rowsBeyond(state: DesiredState, base: StateTables): StateTables {
  const beyond = emptyLike(state);
  for (const name of TABLES) {
    const { words } = state[name];
    const known = RowIndex.of(base[name]);
    for (const at of rowsOf(state[name])) {
      if (known !== undefined && known.find(words, at) >= 0) continue;
      appendRow(beyond[name], words, at);
    }
  }
  return beyond;
}
