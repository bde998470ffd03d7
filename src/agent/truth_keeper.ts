import { NetlinkError } from "../linux/errno.ts";
import { DumpInterruptedError } from "../netlink/client.ts";
import { errorText } from "../log/error_text.ts";
import { Trigger } from "../loop/trigger.ts";
import { inTurns } from "../loop/worker.ts";
import { type Address, type Family, familyOf, isOverlapping, type Prefix } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { PassReport } from "../reconcile/report.ts";
import { lookAtOwn } from "../reconcile/route_truth.ts";
import {
  readParts,
  readRules,
  type RuleView,
  type TruthKernel,
  type TruthView,
  truthView,
} from "../reconcile/truth_look.ts";
import type { Wanted } from "../reconcile/wanted.ts";
import { RT_TABLE_LOCAL, RT_TABLE_MAIN } from "../rtnetlink/route_header.ts";
import { type PeerTruth, truthConditions } from "./truth_conditions.ts";
import { SECOND_LOOK_MS, TruthFindings } from "./truth_findings.ts";
import { countPeers, samplePeers, TruthSweep } from "./truth_sweep.ts";

/** A look although nothing has changed. */
const REST_MS = 10_000;
/** The same while something is wrong. */
const BAD_MS = 2000;
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
  readonly #peers: TruthSweep;
  /** Of packets for this host's own pods. */
  readonly #own = new TruthFindings();
  #rules: RuleView | undefined;
  #rulesReadMs = -Infinity;
  #areRulesDue = true;
  #arePartsDue = true;
  /** Addresses of peers' subnets that other tables than main have routes for, by the subnet's. */
  #parts: ReadonlyMap<Address, readonly Address[]> = new Map();
  /** The links at the last look. */
  #links = "";
  #unreadable: string | undefined;
  #isPartPassed = false;
  /** The last whole look. */
  #seen: { readonly view: TruthView; readonly wanted: Wanted; readonly atMs: number } | undefined;

  constructor(deps: TruthDeps) {
    this.#deps = deps;
    this.#peers = new TruthSweep(deps.kernel.ask, deps.elapsedMs);
  }

  /** What is to be known, the cause of others first: nothing that the last pass says in its own words. */
  get conditions(): readonly Condition[] {
    const { wanted, lastPass, cutFamilies } = this.#deps;
    const [now, pass] = [wanted(), lastPass()];
    if (now === undefined || pass === undefined || this.#isSilent(pass)) return [];
    if (this.#unreadable !== undefined) {
      const sentence = `the kernel does not say which routes it takes: ${this.#unreadable}`;
      return [{ code: "ways-unreadable", sentence }];
    }
    const isTaken = pass.faults.some((fault) => fault.taken !== undefined);
    if (!isTaken && this.#peers.findings.size === 0 && this.#own.size === 0) return [];
    return truthConditions({
      peers: this.#confirmedPeers(),
      own: this.#own.confirmed(() => ""),
      counts: countPeers(now.state.routes),
      pass,
      cutFamilies: cutFamilies(),
    });
  }

  /** Why packets for the pods of hosts don't get on, by the host; some of them if there are very many. */
  get peers(): ReadonlyMap<string, string> {
    const taken = this.#deps.lastPass()?.faults.filter(({ taken }) => taken !== undefined) ?? [];
    return new Map([...this.#confirmedPeers(), ...taken].map(({ host, reason }) => [host, reason]));
  }

  #confirmedPeers(): PeerTruth[] {
    const wanted = this.#deps.wanted();
    return this.#peers.findings.confirmed(({ subnet }) => wanted?.hostOf(subnet) ?? "");
  }

  /** Whether the last pass says itself that packets don't get on, or can't say. */
  #isSilent({ isForwarding, failureCount, fights }: PassReport): boolean {
    return this.#deps.isLost() || !isForwarding || failureCount > 0 ||
      fights.some(({ code }) => code === "link-fought");
  }

  /** Says that a pass was made. */
  passed(): void {
    this.#seen = undefined;
    this.#peers.askBadAgain();
    this.#trigger.nudge();
  }

  /** Says that a pass has looked at single rows: what was seen of rules and links stands. */
  partPassed(): void {
    this.#isPartPassed = true;
    this.#trigger.nudge();
  }

  /** Says that a routing policy rule has changed, or that it is not known what has. */
  ruleChanged(): void {
    this.#areRulesDue = true;
    this.#trigger.nudge();
  }

  /** Says that a route of a table has changed; those of main are a pass's business. */
  routeChanged(table: number, destination: Prefix): void {
    if (table === RT_TABLE_MAIN) return;
    const family = familyOf(destination.address);
    const isUsed = table === RT_TABLE_LOCAL ||
      this.#rules?.tables.some((one) => one.table === table && one.family === family);
    if (!isUsed) return;
    const networks = this.#deps.wanted()?.state.networks ?? [];
    const isMet = destination.length === 0 ||
      networks.some((network) => familyOf(network.address) === family && isOverlapping(network, destination));
    if (!isMet) return;
    this.#arePartsDue = true;
    this.#trigger.nudge();
  }

  /** Looks until `signal` aborts. */
  run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    return inTurns(() => this.turn(), {
      trigger: this.#trigger,
      periodMs: () => this.#waitMs,
      // What is to be known soon takes half a core at most.
      restMs: (tookMs) => this.#peers.isUnderWay ? tookMs : PAUSE_MS,
      elapsedMs: this.#deps.elapsedMs,
    })({ signal });
  }

  get #waitMs(): number {
    if (this.#peers.isUnderWay) return 0;
    const found = [this.#peers.findings, this.#own];
    if (found.every(({ size }) => size === 0)) return REST_MS;
    return found.some(({ unconfirmed }) => unconfirmed > 0) ? SECOND_LOOK_MS : BAD_MS;
  }

  /** Looks as long as a turn may take. */
  turn(): void {
    const { wanted, isLost, elapsedMs } = this.#deps;
    const now = wanted();
    if (now === undefined || isLost()) {
      this.#peers.forget();
      this.#own.clear();
      this.#areRulesDue = true;
      return;
    }
    try {
      this.#look(now, elapsedMs());
      this.#unreadable = undefined;
    } catch (error) {
      if (!(error instanceof NetlinkError || error instanceof DumpInterruptedError)) throw error;
      // What was found last stands until the kernel answers again.
      this.#unreadable = errorText(error);
    }
  }

  #look(wanted: Wanted, nowMs: number): void {
    const { kernel, bridge, underlayLinkName } = this.#deps;
    this.#peers.begin(wanted);
    const seen = this.#isPartPassed ? this.#seenLately(wanted, nowMs) : undefined;
    this.#isPartPassed = false;
    if (seen !== undefined) {
      this.#peers.turn(seen, nowMs);
      this.#peers.findings.giveReasons(seen.words);
      return;
    }
    const rules = this.#lookAtRules(wanted, nowMs);
    if (this.#arePartsDue) {
      this.#arePartsDue = false;
      this.#parts = readParts(kernel, wanted, rules);
      this.#peers.askAll();
    }
    const names = { bridgeName: bridge(), underlayName: underlayLinkName() };
    const view = truthView(kernel, wanted, rules, { ...names, parts: this.#parts });
    if (view.digest !== this.#links) this.#peers.askAll();
    this.#links = view.digest;
    this.#seen = { view, wanted, atMs: nowMs };
    this.#peers.turn(view, nowMs);
    this.#lookAtOwn(wanted, view, nowMs);
    for (const found of [this.#own, this.#peers.findings]) found.giveReasons(view.words);
  }

  /** What was seen of rules and links a moment ago, for what is wanted now; `undefined` where that says nothing. */
  #seenLately(wanted: Wanted, nowMs: number): TruthView | undefined {
    const seen = this.#seen;
    if (seen === undefined || this.#areRulesDue || this.#arePartsDue) return undefined;
    if (wanted.rows === undefined || wanted.rows !== seen.wanted.rows || nowMs - seen.atMs >= REST_MS) {
      return undefined;
    }
    return { ...seen.view, scene: { ...seen.view.scene, state: wanted.state } };
  }

  #lookAtRules(wanted: Wanted, nowMs: number): RuleView {
    const { kernel, bridge, underlayLinkName } = this.#deps;
    const isOld = nowMs - this.#rulesReadMs >= RULES_MS;
    if (!this.#areRulesDue && this.#rules !== undefined && !isOld) return this.#rules;
    const names = [...wanted.state.links.map(({ name }) => name), bridge() ?? "", underlayLinkName()];
    const rules = readRules(kernel, wanted, names);
    if (rules.digest !== this.#rules?.digest) this.#arePartsDue = true;
    this.#rules = rules;
    this.#rulesReadMs = nowMs;
    this.#areRulesDue = false;
    return rules;
  }

  /**
   * Packets for the pods of this host, from one peer for each link that peers are reached over: one whose own packets are not
   * led elsewhere, as the kernel may refuse what comes from where it would not answer to.
   */
  #lookAtOwn({ state: { routes }, hostOf }: Wanted, view: TruthView, nowMs: number): void {
    const { findings } = this.#peers;
    const faults = this.#deps.lastPass()?.faults ?? [];
    const taken = new Set(faults.filter(({ taken }) => taken !== undefined).map(({ host }) => host));
    const isLeft = (subnet: Prefix) => findings.has(subnet.address) || taken.has(hostOf(subnet) ?? "");
    const peers = view.isBridgeInUse ? samplePeers(routes, view.scene.linkIndexes, isLeft) : [];
    const found = peers.flatMap((peer) => lookAtOwn(view.scene, peer, this.#deps.kernel.ask) ?? []);
    const subnets = new Set(found.map(({ subnet }) => subnet.address));
    this.#own.keep((subnet) => subnets.has(subnet));
    for (const misled of found) this.#own.note(misled, nowMs);
  }
}
