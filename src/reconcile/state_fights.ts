import { type Fight, type FightLimits, Fights, fightText, type Opponent } from "../loop/fights.ts";
import { type Family, familyOf, formatPrefix, type Prefix } from "../model/address.ts";
import type { Condition, ConditionCode } from "../model/condition.ts";
import { FDB, NEIGHBOUR, readAddress, readMac, ROUTE, routeDestination } from "../model/rows.ts";
import type { DesiredState, ObservedTables } from "../model/state.ts";
import type { Table } from "../model/table.ts";
import { describeRow, nameRow } from "./apply.ts";
import { SLOT_WORD } from "./due_rows.ts";
import type { ForeignHit } from "./foreign_routes.ts";
import { linkNameOf, type LinkStep, type TableName, type TableStep } from "./plan.ts";
import type { JoinedFaults } from "./foreign_faults.ts";
import type { PeerFault } from "../overlay/backend/backend.ts";
import type { Wanted } from "./wanted.ts";

/** More rows of one link than this that change at once are one thing: the link's, or all of its table. */
const MOST_ROWS = 32;

/** What is told of a fight. */
interface About {
  readonly code: ConditionCode;
  /** What the other program makes of it. */
  readonly found: string;
  readonly who: Opponent;
  /** Of the peer that is reached by what is fought over. */
  readonly subnet?: Prefix | undefined;
}

/** What a step on a table is judged by. */
export interface StepScene {
  readonly state: DesiredState;
  readonly observed: ObservedTables;
  /** Says what a foreign route is. */
  readonly describeForeign: (foreign: Table, row: number) => string;
}

/**
 * Knows which links and rows another program changes each time that a pass has put them back, and has passes leave these
 * for a while. What a pass changes because other state is wanted than before, because the kernel refused it before, or
 * because the link has changed that it hangs on, is no other program's doing.
 */
export class StateFights {
  readonly #fights: Fights<About>;
  readonly #opponent: (thing: string) => Opponent;
  /** What the last pass was made for, if that came to its end. */
  #settled: DesiredState | undefined;
  #linkIndexes = "";
  #failed: ReadonlySet<string> = new Set();
  /** Of this pass. */
  #failing = new Set<string>();
  #isSame = false;
  #areLinksSame = false;
  #joined: { readonly before: JoinedFaults; readonly key: string; readonly after: JoinedFaults } | undefined;

  /**
   * @param elapsedMs A clock that nobody sets.
   * @param options.opponent Says who has changed a thing last, as far as that is known.
   */
  constructor(
    elapsedMs: () => number,
    options: { readonly limits?: FightLimits; readonly opponent?: (thing: string) => Opponent } = {},
  ) {
    this.#fights = new Fights(elapsedMs, options.limits);
    this.#opponent = options.opponent ?? (() => undefined);
  }

  /** Milliseconds until a pass is due as something is to be put back, or a fight is over; `undefined` for nothing. */
  get waitMs(): number | undefined {
    return this.#fights.waitMs;
  }

  /** The fights of this moment. */
  get conditions(): readonly Condition[] {
    return this.#fights.standing.map((fight) => ({ code: codeOf(fight), sentence: sentenceOf(fight) }));
  }

  /** Begins a pass. */
  begin(state: DesiredState): void {
    this.#isSame = state === this.#settled;
    this.#settled = undefined;
    this.#failed = this.#failing;
    this.#failing = new Set();
    this.#areLinksSame = false;
    this.#fights.look();
  }

  /** Ends a pass that could read all that it had to. */
  end(state: DesiredState): void {
    this.#settled = state;
  }

  /** Whether the step is to be left undone for now. */
  leavesLink(step: LinkStep, all: readonly LinkStep[]): boolean {
    if (step.kind === "need link") return false;
    const name = linkNameOf(step);
    const thing = `link ${name}`;
    switch (step.kind) {
      case "delete link":
        return this.#meetLink(thing, step, () => step.why);
      case "create link":
        return this.#meetLink(thing, step, () => "deleted");
      case "repair vxlan":
        return this.#meetLink(`${thing} (vxlan)`, step, () => step.why);
      case "change link":
        return this.#meetLink(`${thing} (${Object.keys(step.change).join()})`, step, () => step.why);
      default: {
        if (this.#fights.isSlowed(thing)) return true;
        // With a link that is set down or made anew its addresses go.
        const isOfLink = all.some((other) => linkNameOf(other) === name && !("prefix" in other));
        const address = `address ${formatPrefix(step.prefix)} of ${name}`;
        const found = () => step.kind === "add address" ? "deleted" : "added";
        return this.#meetLink(address, step, found, !isOfLink);
      }
    }
  }

  /** Takes note that the kernel refused a step. */
  linkFailed(step: LinkStep): void {
    this.#failing.add(linkNameOf(step));
  }

  /** Takes note of what the tables of a pass hang on. */
  linksMade(linkIndexes: readonly number[], hasChanged: boolean): void {
    const indexes = linkIndexes.join();
    this.#areLinksSame = !hasChanged && indexes === this.#linkIndexes;
    this.#linkIndexes = indexes;
  }

  /** Takes note that the kernel refused rows of a table. */
  tableFailed(table: TableName): void {
    this.#failing.add(table);
  }

  /** Which of the routes that are to be taken over are left to who puts them there again and again. */
  leftForeign(
    hits: readonly ForeignHit[],
    { observed: { foreignRoutes }, describeForeign }: StepScene,
  ): ReadonlySet<ForeignHit> {
    const isLeft = hits.length > MOST_ROWS
      ? () => this.#meetMany("routes", "others' routes to the cluster networks", "added")
      : ({ foreignRow }: ForeignHit) => {
        const { words } = foreignRoutes;
        return this.#meetRow(nameRow("routes", words, foreignRow * ROUTE.words, []), "routes", () => ({
          found: `${describeForeign(foreignRoutes, foreignRow)} in its place`,
        }));
      };
    return new Set(hits.filter(isLeft));
  }

  /** The step without the rows that are left as they are for now. */
  due(step: TableStep, scene: StepScene): TableStep {
    // What is wanted anew, as at the start, costs nothing.
    if (!this.#isSame && this.waitMs === undefined) return step;
    const { table, rows, indices, operation } = step;
    const { words, layout } = rows;
    const { links } = scene.state;
    const slotOf = (row: number) => Math.min(words[row * layout.words + SLOT_WORD[table]]!, links.length);
    const counts = new Uint32Array(links.length + 1);
    for (const row of indices) counts[slotOf(row)]!++;
    const many = [...counts].map((count, slot) => {
      if (count <= MOST_ROWS) return "each by itself";
      const name = links[slot]?.name ?? "other links";
      return this.#meetMany(table, `the ${NOUNS[table]} of ${name}`, VERBS[operation]) ? "left" : "due";
    });
    const isLeft = (row: number) => {
      const fate = many[slotOf(row)]!;
      if (fate !== "each by itself") return fate === "left";
      const at = row * layout.words;
      const about = () => ({
        found: findingOf(step, row, scene),
        subnet: rows === scene.state[table] ? subnetOf(table, words, at, scene.state) : undefined,
      });
      return this.#meetRow(nameRow(table, words, at, links), table, about);
    };
    const due = indices.filter((row) => !isLeft(row));
    return due.length === indices.length ? step : { ...step, indices: due };
  }

  /**
   * Who is left out, with the peers that are not reached while what leads to them is left as another program makes it. The answer keeps its identity
   * while nothing changes.
   */
  join(before: JoinedFaults, hostOf: Wanted["hostOf"]): JoinedFaults {
    const faults = this.#fights.standing.flatMap((fight): PeerFault[] => {
      const { about: { subnet }, isLeft } = fight;
      const host = subnet && hostOf(subnet);
      if (subnet === undefined || host === undefined || !isLeft) return [];
      return [{ host, reason: sentenceOf(fight), family: familyOf(subnet.address) }];
    });
    if (faults.length === 0) return before;
    const key = faults.map(({ host, reason }) => `${host} ${reason}`).join("\n");
    const last = this.#joined;
    const isSame = last?.before.faults === before.faults && last.before.reach === before.reach;
    if (isSame && last.key === key) return last.after;
    const reach = before.reach.map((one) => {
      const fought = new Set(
        faults.filter(({ family }) => family === one.family).map(({ host }) => host),
      ).size;
      return { ...one, reached: Math.max(0, one.reached - fought) };
    });
    const after = { faults: [...before.faults, ...faults], reach };
    this.#joined = { before, key, after };
    return after;
  }

  #meetLink(thing: string, step: LinkStep, found: () => string, isUndone = true): boolean {
    const about = () => ({ code: "link-fought", found: found(), who: this.#opponent(thing) } as const);
    return this.#fights.meet(thing, this.#isSame && isUndone && !this.#failed.has(linkNameOf(step)), about);
  }

  #meetMany(table: TableName, thing: string, found: string): boolean {
    const isUndone = this.#isUndone(table);
    // Among many rows nobody sees what is new.
    return this.#isSame && this.#fights.meet(thing, isUndone, () => ({
      code: "link-fought",
      found,
      who: this.#opponent(thing),
    }));
  }

  #meetRow(thing: string, table: TableName, about: () => Omit<About, "code" | "who">): boolean {
    return this.#fights.meet(thing, this.#isUndone(table), () => ({
      code: "state-fought",
      who: this.#opponent(thing),
      ...about(),
    }));
  }

  #isUndone(table: TableName): boolean {
    return this.#isSame && this.#areLinksSame && !this.#failed.has(table);
  }
}

const NOUNS: Readonly<Record<TableName, string>> = {
  neighbours: "neighbours",
  fdb: "FDB entries",
  routes: "routes",
};

/** What another program has done to what a step puts back. */
const VERBS: Readonly<Record<TableStep["operation"], string>> = {
  add: "deleted",
  replace: "changed",
  delete: "added",
};

/** What stands in the place of a row. */
function findingOf({ table, operation, rows }: TableStep, row: number, scene: StepScene): string {
  const { state: { links }, observed, describeForeign } = scene;
  const { words, layout } = rows;
  const at = row * layout.words;
  if (operation === "add") return "deleted";
  if (operation === "delete") {
    const isOthers = table === "routes" && rows !== observed.routes;
    return `${
      isOthers ? describeForeign(observed.foreignRoutes, row) : describeRow(table, words, at, links)
    } added`;
  }
  const there = observed[table];
  const isSame = (other: Table, otherRow: number) => {
    const otherAt = otherRow * layout.words;
    return words.subarray(at, at + layout.keyWords).every((word, index) =>
      other.words[otherAt + index] === word
    );
  };
  const rowIn = (other: Table) => {
    for (let each = 0; each < other.count; each++) if (isSame(other, each)) return each;
    return undefined;
  };
  const own = rowIn(there);
  if (own !== undefined) {
    return `${describeRow(table, there.words, own * layout.words, links)} in its place`;
  }
  const foreign = table === "routes" ? rowIn(observed.foreignRoutes) : undefined;
  return foreign === undefined
    ? "changed"
    : `${describeForeign(observed.foreignRoutes, foreign)} in its place`;
}

/** While it is as it must be, nothing is missing. */
function codeOf({ about, isLeft }: Fight<About>): ConditionCode {
  return isLeft ? about.code : "state-fought";
}

/** The subnet of the peer that a row leads to: of a neighbour by its address, which is the subnet's first; of an FDB entry by its MAC. */
function subnetOf(table: TableName, words: Uint32Array, at: number, state: DesiredState): Prefix | undefined {
  if (table === "routes") return routeDestination(words, at);
  if (table === "fdb") {
    const { neighbours } = state;
    const mac = readMac(words, at + FDB.mac);
    for (let row = 0; row < neighbours.count; row++) {
      const other = row * NEIGHBOUR.words;
      if (readMac(neighbours.words, other + NEIGHBOUR.mac) === mac) {
        return subnetOf("neighbours", neighbours.words, other, state);
      }
    }
    return undefined;
  }
  const address = readAddress(words, at + NEIGHBOUR.address, words[at + NEIGHBOUR.family] as Family);
  for (let row = 0; row < state.routes.count; row++) {
    const subnet = routeDestination(state.routes.words, row * ROUTE.words);
    if (subnet.address === address) return subnet;
  }
  return undefined;
}

function sentenceOf({ thing, ...fight }: Fight<About>): string {
  return fightText({ ...fight, thing: thing.replace(/ \(.*/, "") }, fight.about.found, fight.about.who);
}
