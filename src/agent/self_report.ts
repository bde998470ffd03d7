import { Conditions, type StandingCondition } from "../loop/conditions.ts";
import type { Log } from "../log/log.ts";
import type { Condition } from "../model/condition.ts";
import type { AgentFacts, StatusDeps, Totals } from "../status/facts.ts";

/** While nothing else is to be said. */
export const STARTING: Condition = { code: "agent-starting", sentence: "the agent is starting" };

/** What is measured of the process, whether or not it is a member. */
type Measured = Pick<AgentFacts, "figures" | "process">;

/** What the agent says of itself: what it waits for until it is a member of the overlay, then what the member says. */
export class SelfReport {
  readonly #starting: AgentFacts;
  readonly #board: Conditions;
  readonly #sources: (() => readonly Condition[])[] = [];
  readonly #measured: Measured;
  #facts: AgentFacts;
  #waitingFor = STARTING;

  constructor({ registryName, totals, measured = {}, log }: {
    readonly registryName: string;
    readonly totals: Totals;
    readonly measured?: Measured;
    readonly log: Log;
  }) {
    this.#measured = measured;
    this.#board = new Conditions({ log, now: () => new Date(), elapsedMs: () => performance.now() });
    this.#facts = this.#starting = {
      conditions: () => [this.#waitingFor, ...this.ofProcess()],
      lastPass: () => undefined,
      underlay: () => undefined,
      ownLease: () => undefined,
      registry: () => ({ name: registryName, heardAtMs: undefined, reason: this.#waitingFor.sentence }),
      totals: () => totals,
      pools: () => [],
      rules: () => undefined,
      host: () => undefined,
    };
  }

  /** What is found about the process and its configuration, whether or not it is a member. */
  readonly ofProcess = (): readonly Condition[] => this.#sources.flatMap((found) => found());

  /** Asks from now on here too what is to be known of the process. */
  addSource(found: () => readonly Condition[]): void {
    this.#sources.push(found);
  }

  /** Says what the agent waits for. */
  readonly waiting = (condition: Condition): void => {
    this.#waitingFor = condition;
  };

  /** Lets a member speak; without one the agent says what it waits for. */
  speakFor(facts?: AgentFacts): void {
    this.#facts = facts ?? this.#starting;
  }

  /** Whether a member speaks. */
  get isSpokenFor(): boolean {
    return this.#facts !== this.#starting;
  }

  /** What is said now. */
  get facts(): AgentFacts {
    return this.#facts;
  }

  /** The conditions that hold now; logs what is new. */
  readonly look = (): readonly StandingCondition[] => this.#board.see(this.#facts.conditions());

  /** What the status endpoints answer from. */
  get current(): StatusDeps {
    return { ...this.#measured, ...this.#facts, conditions: this.look };
  }
}
