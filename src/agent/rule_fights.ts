import { Damper, type DamperLimits, FIGHT } from "../loop/damper.ts";
import { VITAL } from "../loop/fights.ts";
import type { RuleKind, RuleWishes } from "../firewall/rules.ts";
import type { RulesReport } from "../firewall/traffic_rules.ts";
import { formatPrefix } from "../model/address.ts";

/** flanneld puts its rules back every 5 s, in each family by itself: they harm nobody, and are left alone for long at once. */
const RIVAL: DamperLimits = { ...FIGHT, freeTurns: 6, firstPauseMs: FIGHT.pauseMs };
const LIMITS: Readonly<Record<RuleKind, DamperLimits>> = {
  own: VITAL.slowing,
  flannel: RIVAL,
  earlier: RIVAL,
};
const KINDS = Object.keys(LIMITS) as RuleKind[];

/**
 * Counts how often rules are there again that a look had removed, or others than it had made: two programs that undo
 * each other's work would do so for ever. After some times a minute what is there is left alone for a while.
 */
export class RuleFights {
  readonly #dampers: ReadonlyMap<RuleKind, Damper>;
  /** What was as wished after the last look. */
  #settled: ReadonlySet<RuleKind> = new Set();
  #wishes: RuleWishes | undefined;
  readonly #changedBy: () => string | undefined;
  /** The program that has changed our own rules last. */
  #rival: string | undefined;

  /**
   * @param elapsedMs A clock that nobody sets.
   * @param changedBy The program that has changed rules last, as far as that is known.
   */
  constructor(elapsedMs: () => number, changedBy: () => string | undefined = () => undefined) {
    this.#changedBy = changedBy;
    this.#dampers = new Map(KINDS.map((kind) => [kind, new Damper(LIMITS[kind], elapsedMs)]));
  }

  /** What the next look leaves as it is. */
  get spared(): ReadonlySet<RuleKind> {
    return new Set(KINDS.filter((kind) => {
      const { isFight, waitMs } = this.#dampers.get(kind)!;
      // What comes back in a fight is left alone from the first moment.
      return isFight && (waitMs > 0 || this.#settled.has(kind));
    }));
  }

  /** Milliseconds until something is no longer spared that was met; `undefined` where nothing is. */
  get waitMs(): number | undefined {
    const waits = KINDS.filter((kind) => !this.#settled.has(kind))
      .map((kind) => this.#dampers.get(kind)!.waitMs).filter((ms) => ms > 0);
    return waits.length === 0 ? undefined : Math.min(...waits);
  }

  /** Takes note of a look. */
  see(wishes: RuleWishes, { met, failures }: RulesReport, spared: ReadonlySet<RuleKind>): void {
    // What is not as wished because other rules are wished now is no other program's doing.
    const before = this.#wishes === wishes ? this.#settled : new Set();
    for (const kind of met) {
      if (!before.has(kind)) continue;
      this.#dampers.get(kind)!.turn();
      if (kind === "own") this.#rival = this.#changedBy();
    }
    this.#wishes = wishes;
    this.#settled = new Set(
      KINDS.filter((kind) => !met.includes(kind) || failures.length === 0 && !spared.has(kind)),
    );
  }

  /** Who undoes what is done here, one sentence each. */
  get warnings(): string[] {
    const wishes = this.#wishes;
    if (wishes === undefined) return [];
    return KINDS.filter((kind) => this.#dampers.get(kind)!.isFight).map((kind) =>
      sentenceOf(kind, wishes, this.#rival)
    );
  }
}

function sentenceOf(kind: RuleKind, wishes: RuleWishes, program: string | undefined): string {
  const { families, isMasquerading, excluded } = wishes;
  const networks = families.map(({ network }) => formatPrefix(network)).join(" and ");
  const times = LIMITS[kind].freeTurns + 1;
  if (kind === "own") {
    const who = program === undefined ? "something else on this host" : `the program ${program}`;
    return `${who} changes Loden's rules for ${networks}: they had to be written anew ${times} ` +
      `times within a minute, and are now once a second at most; find it (a second agent of the same network, or a ` +
      `firewall that loads its rules again and again), and stop it`;
  }
  const rival = kind === "flannel" ? "flanneld" : "an earlier version of Loden";
  const effect = !isMasquerading
    ? "packets of pods take this host's address although -ip-masq is off"
    : kind === "flannel" && excluded.length > 0
    ? "MasqueradeExclude does not hold"
    : "both say the same";
  return `${rival} runs on this host too: its rules for ${networks} came back ${times} times within a minute, and are ` +
    `left alone now (${effect}); stop one of the two`;
}
