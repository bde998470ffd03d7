import { errorText } from "../log/error_text.ts";
import { Trigger } from "../loop/trigger.ts";
import { inTurns } from "../loop/worker.ts";
import { type Address, type Family, familyOf, isOverlapping, type Prefix } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import { ROUTE, routeDestination } from "../model/rows.ts";
import type { DesiredState } from "../model/state.ts";
import type { PassReport } from "../reconcile/report.ts";
import {
  isPeerRow,
  lookAtOwn,
  lookAtPeer,
  type Misled,
  underlayAddresses,
} from "../reconcile/route_truth.ts";
import {
  readParts,
  readRules,
  type RuleView,
  type TruthKernel,
  type TruthView,
  truthView,
} from "../reconcile/truth_look.ts";
import { sayMisled } from "../reconcile/truth_words.ts";
import type { Wanted } from "../reconcile/wanted.ts";
import { RT_TABLE_LOCAL, RT_TABLE_MAIN } from "../rtnetlink/route_header.ts";
import { SECOND_LOOK_MS, TruthFindings } from "./truth_findings.ts";
import { type PeerTruth, truthConditions } from "./truth_conditions.ts";

/** What one turn may take, so that nobody else waits for it. */
const TURN_MS = 10;
/** Peers that are asked for in a turn although nothing has changed. */
const AT_REST = 64;
const REST_MS = 10_000;
/** Peers that are not reached are looked at again this often. */
const BAD_MS = 2000;
/** Those of them in one turn. */
const BAD_AGAIN = 256;
/** Rules are read anew after this long, also if nothing was heard. */
const RULES_MS = 60_000;
/** Between turns, however many changes are heard. */
const PAUSE_MS = 50;
/** What it needs of the agent. */
export interface TruthDeps {
  readonly kernel: TruthKernel;
  /** What the last pass was made for; `undefined` before the first. */
  readonly wanted: () => Wanted | undefined;
  readonly lastPass: () => PassReport | undefined;
  /** Whether no link carries the overlay now, which is told of by itself. */
  readonly isLost: () => boolean;
  /** The bridge that pods are on, by name. */
  readonly bridge: () => string | undefined;
  readonly underlayLinkName: () => string;
  /** The families in which the kernel has no way to any peer, which is told of by itself. */
  readonly cutFamilies: () => ReadonlySet<Family>;
  readonly elapsedMs: () => number;
}

/**
 * Knows whether the kernel would send packets for each peer's pods by Loden's routes, and what comes in to the pods of this
 * host: it is asked. All peers are asked for after rules, tables or links have changed, some of them all the time.
 */
export class TruthKeeper {
  readonly #deps: TruthDeps;
  readonly #trigger = new Trigger();
  #routes: DesiredState["routes"] | undefined;
  #underlays: ReadonlyMap<number, Address> = new Map();
  #rules: RuleView | undefined;
  #rulesReadMs = -Infinity;
  #areRulesDue = true;
  #areNewDue = false;
  #arePartsDue = true;
  #parts: ReadonlyMap<Address, readonly Address[]> = new Map();
  /** The row that is asked for next, and how many are left of what is asked for now. */
  #cursor = 0;
  #left = 0;
  #restedMs = -Infinity;
  /** The subnets that were asked for since rules, tables and links are as they are. */
  readonly #asked = new Set<Address>();
  #againMs = -Infinity;
  readonly #bad = new TruthFindings();
  /** Of packets for this host's own pods. */
  readonly #ownBad = new TruthFindings();
  #links = "";
  #unreadable: string | undefined;

  constructor(deps: TruthDeps) {
    this.#deps = deps;
  }

  /** What is to be known, the cause of others first: nothing that the last pass says in its own words. */
  get conditions(): readonly Condition[] {
    const { wanted, lastPass, cutFamilies } = this.#deps;
    if (this.#unreadable !== undefined) {
      const sentence = `the kernel does not say which routes it takes: ${this.#unreadable}`;
      return [{ code: "ways-unreadable", sentence }];
    }
    const [now, pass] = [wanted(), lastPass()];
    if (now === undefined || pass === undefined || this.#isSilent(pass)) return [];
    if (this.#bad.size === 0 && this.#ownBad.size === 0) return [];
    return truthConditions({
      peers: this.#confirmedPeers(),
      own: this.#ownBad.confirmed(() => ""),
      counts: countsOf(now.state.routes),
      pass,
      cutFamilies: cutFamilies(),
    });
  }

  /** Why packets for the pods of hosts don't get on, by the host; some of them if there are very many. */
  get peers(): ReadonlyMap<string, string> {
    return new Map(this.#confirmedPeers().map(({ host, reason }) => [host, reason]));
  }

  /** Says that a pass was made. */
  passed(): void {
    this.#trigger.nudge();
  }

  /** Says that a routing policy rule has changed. */
  ruleChanged(): void {
    this.#areRulesDue = true;
    this.#trigger.nudge();
  }

  /** Says that a route beside the main table has changed. */
  routeChanged(table: number, destination: Prefix): void {
    if (table === RT_TABLE_MAIN) return;
    const networks = this.#deps.wanted()?.state.networks ?? [];
    const isUsed = table === RT_TABLE_LOCAL ||
      this.#rules?.tables.some((one) => one.table === table && one.family === familyOf(destination.address));
    const isMet = destination.length === 0 ||
      networks.some((network) =>
        typeof network.address === typeof destination.address && isOverlapping(network, destination)
      );
    if (!isUsed || !isMet) return;
    this.#arePartsDue = true;
    this.#trigger.nudge();
  }

  /** Looks until `signal` aborts. */
  run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    return inTurns(() => this.turn(), {
      trigger: this.#trigger,
      periodMs: () => this.#waitMs,
      // What is to be known soon takes half a core at most.
      restMs: (tookMs) => this.#left > 0 ? tookMs : PAUSE_MS,
      elapsedMs: this.#deps.elapsedMs,
    })({ signal });
  }

  /** Whether the last pass says itself that packets don't get on, or can't say. */
  #isSilent({ isForwarding, failureCount, fights }: PassReport): boolean {
    return this.#deps.isLost() || !isForwarding || failureCount > 0 ||
      fights.some(({ code }) => code === "link-fought");
  }

  get #waitMs(): number {
    if (this.#left > 0) return 0;
    if (this.#bad.size === 0 && this.#ownBad.size === 0) return REST_MS;
    return this.#bad.unconfirmed + this.#ownBad.unconfirmed > 0 ? SECOND_LOOK_MS : BAD_MS;
  }

  /** Looks as long as a turn may take. */
  turn(): void {
    const { wanted, isLost, elapsedMs } = this.#deps;
    const now = wanted();
    if (now === undefined || isLost()) {
      this.#forget();
      return;
    }
    try {
      this.#look(now, elapsedMs());
      this.#unreadable = undefined;
    } catch (error) {
      // What was found last stands until the kernel answers again.
      this.#unreadable = errorText(error);
    }
  }

  #forget(): void {
    this.#bad.clear();
    this.#ownBad.clear();
    this.#asked.clear();
    this.#routes = undefined;
    this.#left = 0;
    this.#areRulesDue = true;
  }

  #look(wanted: Wanted, nowMs: number): void {
    const { kernel, bridge } = this.#deps;
    const { routes } = wanted.state;
    if (this.#routes !== routes) this.#begin(wanted);
    const rules = this.#lookAtRules(wanted, nowMs);
    if (this.#arePartsDue) {
      this.#arePartsDue = false;
      const parts = readParts(kernel, { state: wanted.state, subnetLengths: lengthsOf(wanted) }, rules);
      this.#parts = parts;
      this.#askAll();
    }
    const view = truthView(kernel, wanted, rules, { bridgeName: bridge(), parts: this.#parts });
    const links = [...view.scene.linkIndexes.map((one) => `${one} ${view.scene.hasCarrier(one)}`)].join();
    if (links !== this.#links) this.#askAll();
    this.#links = links;
    if (this.#left === 0 && nowMs - this.#restedMs >= REST_MS) {
      this.#restedMs = nowMs;
      this.#left = Math.min(AT_REST, routes.count);
    }
    this.#lookAtOwn(wanted, view, nowMs);
    if (nowMs - this.#againMs >= SECOND_LOOK_MS) {
      this.#againMs = nowMs;
      // Very many are proved by going through all.
      if (this.#left === 0 && this.#bad.unconfirmed > BAD_AGAIN) this.#left = routes.count;
      this.#lookAgain(view, nowMs);
    }
    if (this.#areNewDue) this.#askNew(view, nowMs);
    this.#goOn(view, nowMs);
    for (const found of [this.#ownBad, this.#bad]) found.giveReasons(view.words);
  }

  /** Begins with another table of routes: who is gone from it is forgotten, and who is new in it is asked for. */
  #begin({ state }: Wanted): void {
    const { routes } = state;
    this.#routes = routes;
    this.#underlays = underlayAddresses(state);
    const subnets = new Set(rowsOf(routes).map((row) => subnetOf(routes, row).address));
    this.#bad.keep((subnet) => subnets.has(subnet));
    for (const subnet of this.#asked) if (!subnets.has(subnet)) this.#asked.delete(subnet);
    this.#areNewDue = true;
    this.#left = Math.min(this.#left, routes.count);
  }

  /** All are asked for, as what counts for all has changed. */
  #askAll(): void {
    this.#asked.clear();
    this.#areNewDue = false;
    this.#left = this.#routes!.count;
  }

  #lookAtRules(wanted: Wanted, nowMs: number): RuleView {
    const { kernel, bridge, underlayLinkName } = this.#deps;
    if (!this.#areRulesDue && this.#rules !== undefined && nowMs - this.#rulesReadMs < RULES_MS) {
      return this.#rules;
    }
    const { links } = wanted.state;
    const names = [...links.map(({ name }) => name), bridge() ?? "", underlayLinkName()];
    const rules = readRules(kernel, wanted, names);
    if (rules.digest !== this.#rules?.digest) this.#arePartsDue = true;
    this.#rules = rules;
    this.#rulesReadMs = nowMs;
    this.#areRulesDue = false;
    return rules;
  }

  /** Packets for the pods of this host, from one peer for each link that peers are reached over. */
  #lookAtOwn({ state: { routes } }: Wanted, view: TruthView, nowMs: number): void {
    const asked = new Set<string>();
    const found = new Map<Address, Misled>();
    if (view.isBridgeInUse) {
      // The first of the table are as good as any.
      for (const row of rowsOf(routes).slice(0, AT_REST)) {
        const subnet = subnetOf(routes, row);
        const inputLinkIndex = view.scene.linkIndexes[routes.words[row * ROUTE.words + ROUTE.slot]!] ?? 0;
        const key = `${familyOf(subnet.address)} ${inputLinkIndex}`;
        if (inputLinkIndex === 0 || asked.has(key) || this.#bad.has(subnet.address)) continue;
        asked.add(key);
        const misled = lookAtOwn(view.scene, { subnet, inputLinkIndex }, this.#deps.kernel.ask);
        if (misled !== undefined) found.set(misled.subnet.address, misled);
      }
    }
    this.#ownBad.keep((subnet) => found.has(subnet));
    for (const misled of found.values()) this.#ownBad.note(misled, nowMs);
  }

  /** Those who were not reached at the last look: first the ones that are to be proved so. */
  #lookAgain(view: TruthView, nowMs: number): void {
    const { elapsedMs } = this.#deps;
    const routes = this.#routes!;
    const waiting = this.#bad.first(BAD_AGAIN);
    if (waiting.size === 0) return;
    for (const row of rowsOf(routes)) {
      if (!waiting.has(subnetOf(routes, row).address)) continue;
      this.#ask(view, row, nowMs);
      if (elapsedMs() - nowMs > TURN_MS) break;
    }
  }

  /** Those who were not asked for yet; of many all are. */
  #askNew(view: TruthView, nowMs: number): void {
    const routes = this.#routes!;
    const rows = rowsOf(routes).filter((row) => !this.#asked.has(subnetOf(routes, row).address));
    this.#areNewDue = false;
    if (rows.length > AT_REST) this.#askAll();
    else for (const row of rows) this.#ask(view, row, nowMs);
  }

  #goOn(view: TruthView, nowMs: number): void {
    const { count } = this.#routes!;
    while (this.#left > 0) {
      if (this.#cursor >= count) this.#cursor = 0;
      this.#ask(view, this.#cursor, nowMs);
      this.#cursor++;
      this.#left--;
      if (this.#deps.elapsedMs() - nowMs > TURN_MS) return;
    }
  }

  #ask({ scene }: TruthView, row: number, nowMs: number): void {
    const routes = this.#routes!;
    if (!isPeerRow(routes, row)) return;
    const misled = lookAtPeer(scene, row, this.#underlays.get(row), this.#deps.kernel.ask);
    const subnet = subnetOf(routes, row).address;
    this.#asked.add(subnet);
    if (misled === undefined) this.#bad.delete(subnet);
    else this.#bad.note(misled, nowMs);
  }

  #confirmedPeers(): PeerTruth[] {
    const wanted = this.#deps.wanted();
    return this.#bad.confirmed(({ subnet }) => wanted?.hostOf(subnet) ?? "");
  }
}

function rowsOf({ count }: DesiredState["routes"]): number[] {
  return Array.from({ length: count }, (_, row) => row);
}

function subnetOf({ words }: DesiredState["routes"], row: number): Prefix {
  return routeDestination(words, row * ROUTE.words);
}

/** How many peers have a subnet of each family. */
function countsOf(routes: DesiredState["routes"]): ReadonlyMap<Family, number> {
  const counts = new Map<Family, number>();
  for (const row of rowsOf(routes)) {
    if (!isPeerRow(routes, row)) continue;
    const family = routes.words[row * ROUTE.words] as Family;
    counts.set(family, (counts.get(family) ?? 0) + 1);
  }
  return counts;
}

function lengthsOf({ ownSubnets }: Wanted): ReadonlyMap<Family, number> {
  return new Map(ownSubnets.map(({ address, length }) => [familyOf(address), length]));
}
