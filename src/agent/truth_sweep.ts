import { type Address, type Family, type Prefix } from "../model/address.ts";
import { ROUTE, routeDestination } from "../model/rows.ts";
import type { DesiredState } from "../model/state.ts";
import { type AskRoute, isPeerRow, lookAtPeer, underlayOf } from "../reconcile/route_truth.ts";
import type { TruthView } from "../reconcile/truth_look.ts";
import type { Wanted } from "../reconcile/wanted.ts";
import { WantedRows } from "../reconcile/wanted_rows.ts";
import { SECOND_LOOK_MS, TruthFindings } from "./truth_findings.ts";

/** What one turn may take, so that nobody else waits for it. */
const TURN_MS = 10;
/** Peers that are asked for in a turn although nothing has changed. */
const AT_REST = 64;
const REST_MS = 10_000;
/** Peers that are not reached, looked at again in one turn. */
const BAD_AGAIN = 256;

type Routes = DesiredState["routes"];

/**
 * Asks the kernel for the peers of a table of routes: for all in turns after something has changed that counts for all,
 * for new ones at once, for those that are not reached again and again, and for some of the others all the time.
 */
export class TruthSweep {
  readonly #ask: AskRoute;
  readonly #elapsedMs: () => number;
  readonly findings = new TruthFindings();
  #routes: Routes | undefined;
  #rows: WantedRows | undefined;
  /** Of these rows, that was looked at last. */
  #revision = 0;
  /** Keys of routes that have come since, one by one. */
  #come: Uint32Array[] = [];
  /** The subnets that were asked for since what counts for all is as it is. */
  readonly #asked = new Set<Address>();
  #areNewDue = false;
  /** The row that is asked for next, and how many are left of what is asked for now. */
  #cursor = 0;
  #left = 0;
  #restedMs = -Infinity;
  #againMs = -Infinity;

  constructor(ask: AskRoute, elapsedMs: () => number) {
    this.#ask = ask;
    this.#elapsedMs = elapsedMs;
  }

  /** Whether a turn is to follow at once. */
  get isUnderWay(): boolean {
    return this.#left > 0;
  }

  /** Takes in what a pass was made for: who is gone is forgotten, and who is new is asked for. */
  begin({ state, rows }: Pick<Wanted, "state" | "rows">): void {
    const { routes } = state;
    if (this.#routes === routes && this.#follow()) return;
    this.#routes = routes;
    this.#rows = rows ?? new WantedRows(state);
    this.#revision = this.#rows.revision;
    this.#come = [];
    const subnets = new Set(rowsOf(routes).map((row) => subnetAt(routes, row).address));
    this.findings.keep((subnet) => subnets.has(subnet));
    for (const subnet of this.#asked) if (!subnets.has(subnet)) this.#asked.delete(subnet);
    this.#areNewDue = true;
    this.#left = Math.min(this.#left, routes.count);
  }

  /** Takes in single rows that have come or gone; reports whether these are known. */
  #follow(): boolean {
    const rows = this.#rows!;
    const changed = rows.since(this.#revision)?.routes;
    if (changed === undefined) return false;
    this.#revision = rows.revision;
    for (let at = 0; at < changed.count * ROUTE.words; at += ROUTE.words) {
      const subnet = routeDestination(changed.words, at).address;
      this.#asked.delete(subnet);
      if (rows.find("routes", changed.words, at) === -1) this.findings.delete(subnet);
      else this.#come.push(changed.words.slice(at, at + ROUTE.keyWords));
    }
    this.#left = Math.min(this.#left, this.#routes!.count);
    return true;
  }

  /** Those that are not reached are asked for at the next turn: what took their packets may be gone. */
  askBadAgain(): void {
    this.#againMs = -Infinity;
  }

  /** All are asked for, as what counts for all has changed. */
  askAll(): void {
    this.#asked.clear();
    this.#areNewDue = false;
    this.#come = [];
    this.#left = this.#routes?.count ?? 0;
  }

  forget(): void {
    this.findings.clear();
    this.#asked.clear();
    this.#come = [];
    this.#routes = undefined;
    this.#left = 0;
  }

  /** Asks as long as a turn may take. */
  turn(view: TruthView, nowMs: number): void {
    const routes = this.#routes!;
    const { findings } = this;
    if (this.#left === 0 && nowMs - this.#restedMs >= REST_MS) {
      this.#restedMs = nowMs;
      this.#left = Math.min(AT_REST, routes.count);
    }
    if (nowMs - this.#againMs >= SECOND_LOOK_MS) {
      this.#againMs = nowMs;
      // Very many are proved by going through all.
      if (this.#left === 0 && findings.unconfirmed > BAD_AGAIN) this.#left = routes.count;
      this.#askAgain(view, nowMs);
    }
    if (this.#areNewDue) this.#askNew(view, nowMs);
    this.#askCome(view, nowMs);
    this.#goOn(view, nowMs);
  }

  #askAgain(view: TruthView, nowMs: number): void {
    const again = this.findings.first(BAD_AGAIN);
    if (again.size === 0) return;
    const routes = this.#routes!;
    for (const row of rowsOf(routes)) {
      if (!again.has(subnetAt(routes, row).address)) continue;
      this.#look(view, row, nowMs);
      if (this.#elapsedMs() - nowMs > TURN_MS) return;
    }
  }

  /** Those who were not asked for yet; of many all are. */
  #askNew(view: TruthView, nowMs: number): void {
    const routes = this.#routes!;
    const rows = rowsOf(routes).filter((row) => !this.#asked.has(subnetAt(routes, row).address));
    this.#areNewDue = false;
    if (rows.length > AT_REST) this.askAll();
    else for (const row of rows) this.#look(view, row, nowMs);
  }

  /** Those that have come one by one; of many all are. */
  #askCome(view: TruthView, nowMs: number): void {
    const come = this.#come;
    this.#come = [];
    if (come.length > AT_REST) return this.askAll();
    for (const key of come) {
      const row = this.#rows?.find("routes", key, 0) ?? -1;
      if (row >= 0) this.#look(view, row, nowMs);
    }
  }

  #goOn(view: TruthView, nowMs: number): void {
    const { count } = this.#routes!;
    while (this.#left > 0) {
      if (this.#cursor >= count) this.#cursor = 0;
      this.#look(view, this.#cursor, nowMs);
      this.#cursor++;
      this.#left--;
      if (this.#elapsedMs() - nowMs > TURN_MS) return;
    }
  }

  #look({ scene }: TruthView, row: number, nowMs: number): void {
    const routes = this.#routes!;
    if (!isPeerRow(routes, row)) return;
    const underlayAddress = underlayOf(scene.state, this.#rows!, row);
    const misled = lookAtPeer(scene, row, underlayAddress, this.#ask);
    const subnet = subnetAt(routes, row).address;
    this.#asked.add(subnet);
    if (misled === undefined) this.findings.delete(subnet);
    else this.findings.note(misled, nowMs);
  }
}

function rowsOf({ count }: Routes): number[] {
  return Array.from({ length: count }, (_, row) => row);
}

function subnetAt({ words }: Routes, row: number): Prefix {
  return routeDestination(words, row * ROUTE.words);
}

/** A peer for each link that peers are reached over, in each family; `isLeft` names those that are of no use. */
export function samplePeers(
  routes: Routes,
  linkIndexes: readonly number[],
  isLeft: (subnet: Prefix) => boolean,
): readonly { readonly subnet: Prefix; readonly inputLinkIndex: number }[] {
  const asked = new Set<string>();
  // The first of the table are as good as any.
  return rowsOf(routes).slice(0, AT_REST).flatMap((row) => {
    const subnet = subnetAt(routes, row);
    const inputLinkIndex = linkIndexes[routes.words[row * ROUTE.words + ROUTE.slot]!] ?? 0;
    const key = `${routes.words[row * ROUTE.words]} ${inputLinkIndex}`;
    if (inputLinkIndex === 0 || asked.has(key) || isLeft(subnet)) return [];
    asked.add(key);
    return [{ subnet, inputLinkIndex }];
  });
}

/** How many peers have a subnet of each family. */
export function countPeers(routes: Routes): ReadonlyMap<Family, number> {
  const counts = new Map<Family, number>();
  for (const row of rowsOf(routes)) {
    if (!isPeerRow(routes, row)) continue;
    const family = routes.words[row * ROUTE.words] as Family;
    counts.set(family, (counts.get(family) ?? 0) + 1);
  }
  return counts;
}
