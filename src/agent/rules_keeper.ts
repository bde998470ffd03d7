import { inTurns } from "../loop/worker.ts";
import type { LegacyReport } from "../firewall/legacy_iptables.ts";
import type { RuleKind, RuleWishes } from "../firewall/rules.ts";
import type { RulesReport } from "../firewall/traffic_rules.ts";
import { Trigger } from "../loop/trigger.ts";
import type { RuleFacts } from "../status/facts.ts";
import { RuleFights } from "./rule_fights.ts";

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
  /** Told after each look that could make all as wished. */
  readonly kept?: () => void;
  /** Told after each look. */
  readonly looked?: () => void;
  /** Whether others know what becomes of forwarded packets, so that chains that may refuse them need no word. */
  readonly isForwardKnown?: () => boolean;
  /** The program that has changed rules last, as far as that is known. */
  readonly changedBy?: () => string | undefined;
  readonly elapsedMs: () => number;
}

/**
 * Keeps the rules of the packet filter, in a loop of its own: others change theirs all the time, and routes must not
 * wait for it.
 */
export class RulesKeeper {
  readonly #deps: RulesKeeperDeps;
  readonly #trigger = new Trigger();
  readonly #fights: RuleFights;
  #facts: RuleFacts | undefined;
  /** Chains that may refuse forwarded packets, one sentence each. */
  #doubted: readonly string[] = [];

  constructor(deps: RulesKeeperDeps) {
    this.#deps = deps;
    this.#fights = new RuleFights(deps.elapsedMs, deps.changedBy);
  }

  /** What the last look found; `undefined` before the first. */
  get facts(): RuleFacts | undefined {
    const facts = this.#facts;
    if (facts === undefined || this.#doubted.length === 0 || this.#deps.isForwardKnown?.()) return facts;
    return { ...facts, warnings: [...this.#doubted, ...facts.warnings] };
  }

  /** Asks for a look: another program has changed rules, or other rules are wished. */
  nudge(): void {
    this.#trigger.nudge();
  }

  /** Looks on every nudge, and at least once every `resyncMs`, until `signal` aborts. */
  async run(
    { resyncMs, signal }: { readonly resyncMs: number; readonly signal: AbortSignal },
  ): Promise<void> {
    const { elapsedMs } = this.#deps;
    const look = async () => {
      await this.#look();
      return (this.#facts?.failures.length ?? 0) === 0;
    };
    const periodMs = () => Math.min(resyncMs, this.#fights.waitMs ?? resyncMs);
    // A flood of nudges takes at most half a core.
    const restMs = (tookMs: number) => Math.max(SHORTEST_PAUSE_MS, tookMs);
    const pace = { trigger: this.#trigger, periodMs, restMs, elapsedMs };
    await inTurns(look, pace)({ signal });
  }

  async #look(): Promise<void> {
    const { keep, keepLegacy, wishes: wishesNow } = this.#deps;
    const wishes = wishesNow();
    if (wishes === undefined) return;
    const { spared } = this.#fights;
    const report = keep(wishes, spared);
    const { changed, failures, warnings, effective, dropped = [], doubted = [] } = report;
    this.#doubted = doubted;
    this.#fights.see(wishes, report, spared);
    const legacy = await keepLegacy(wishes);
    this.#facts = {
      changes: (this.#facts?.changes ?? 0) + changed,
      isMasquerading: wishes.isMasquerading,
      effective,
      failures: [...failures, ...legacy.failures],
      warnings: [...warnings, ...legacy.warnings, ...this.#fights.warnings],
      ...dropped.length > 0 && { dropped },
    };
    if (this.#facts.failures.length === 0 && !spared.has("own")) this.#deps.kept?.();
    this.#deps.looked?.();
  }
}
