import { pause } from "../lease/pause.ts";
import type { Log } from "../log/log.ts";
import type { LegacyReport } from "../masquerade/legacy_iptables.ts";
import type { RuleKind, RuleWishes } from "../masquerade/rules.ts";
import type { RulesReport } from "../masquerade/traffic_rules.ts";
import { Trigger } from "../reconcile/trigger.ts";
import type { RuleFacts } from "../status/app.ts";
import { RuleFights } from "./rule_fights.ts";

/** A look that failed is repeated after this long, doubled each time up to the period. */
const FIRST_RETRY_MS = 100;
/** Between looks, however many changes others make: kube-proxy makes them in bursts. */
const SHORTEST_PAUSE_MS = 20;

/** What the keeper works with. */
export interface RulesKeeperDeps {
  /** Makes the rules of nf_tables as wished, but for what is spared. */
  readonly keep: (wishes: RuleWishes, spared: ReadonlySet<RuleKind>) => RulesReport;
  /** The same for legacy iptables. */
  readonly keepLegacy: (wishes: RuleWishes) => Promise<LegacyReport>;
  /** The same object while nothing changes; `undefined` while this host has no subnet: then nothing is touched. */
  readonly wishes: () => RuleWishes | undefined;
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/**
 * Keeps the rules of the packet filter, in a loop of its own: others change theirs all the time, and routes must not
 * wait for it.
 */
export class RulesKeeper {
  readonly #deps: RulesKeeperDeps;
  readonly #trigger = new Trigger();
  readonly #fights: RuleFights;
  #told: ReadonlySet<string> = new Set();
  #facts: RuleFacts | undefined;

  constructor(deps: RulesKeeperDeps) {
    this.#deps = deps;
    this.#fights = new RuleFights(deps.elapsedMs);
  }

  /** What the last look found; `undefined` before the first. */
  get facts(): RuleFacts | undefined {
    return this.#facts;
  }

  /** Asks for a look: somebody has changed rules, or something else is wished. */
  nudge(): void {
    this.#trigger.nudge();
  }

  /** Looks on every nudge, and at least once every `resyncMs`, until `signal` aborts. */
  async run(options: { readonly resyncMs: number; readonly signal: AbortSignal }): Promise<void> {
    const { resyncMs, signal } = options;
    const { elapsedMs } = this.#deps;
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      const startedMs = elapsedMs();
      await this.#look();
      const isWhole = (this.#facts?.failures.length ?? 0) === 0;
      const waitMs = isWhole ? resyncMs : Math.min(retryMs, resyncMs);
      retryMs = isWhole ? FIRST_RETRY_MS : waitMs * 2;
      await pause(Math.max(SHORTEST_PAUSE_MS, elapsedMs() - startedMs), { signal });
      try {
        await this.#trigger.next(Math.min(waitMs, this.#fights.waitMs ?? waitMs), { signal });
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    }
  }

  async #look(): Promise<void> {
    const { keep, keepLegacy, wishes: wishesNow, log } = this.#deps;
    const wishes = wishesNow();
    if (wishes === undefined) return;
    const { spared } = this.#fights;
    const report = keep(wishes, spared);
    const { changed, failures, warnings, effective } = report;
    this.#fights.see(wishes, report, spared);
    const legacy = await keepLegacy(wishes);
    this.#facts = {
      changes: (this.#facts?.changes ?? 0) + changed,
      isMasquerading: wishes.isMasquerading,
      effective,
      failures: [...failures, ...legacy.failures],
      warnings: [...warnings, ...legacy.warnings, ...this.#fights.warnings],
    };
    const told = new Set([...this.#facts.failures, ...this.#facts.warnings]);
    for (const reason of told) {
      if (!this.#told.has(reason)) log.write("warn", "rules not as they must be", { reason });
    }
    this.#told = told;
  }
}
