import { BackOff } from "../loop/back_off.ts";
import { LONGEST_TIMER_MS } from "../loop/pause.ts";
import type { Log } from "../log/log.ts";
import type { Condition } from "../model/condition.ts";
import { formatAddress } from "../model/address.ts";
import type { Underlay, UnderlayAddress } from "../model/underlay.ts";
import { inTurns } from "../loop/worker.ts";
import { Trigger } from "../loop/trigger.ts";
import { isLinkLocal } from "../overlay/underlay/addresses.ts";
import { lostAddresses, withLost } from "../overlay/underlay/lost.ts";
import type { EarlierChoice } from "../overlay/underlay/choice_inputs.ts";
import { type UnderlayChoice, UnderlayError } from "../overlay/underlay/underlay.ts";
import { errorText } from "../log/error_text.ts";
import { AddressTrial, type AddressTrialDeps } from "./address_trial.ts";

/** Between looks after nudges: what changes comes in bursts, and pods' links make noise. */
const LOOK_MS = 50;

/** What a follower works with. */
export interface UnderlayFollowerDeps {
  /** Looks at the host and chooses. Throws `UnderlayError` while nothing fits. */
  readonly choose: (standing: EarlierChoice) => UnderlayChoice;
  /** Asks peers whether other addresses are as good as those in use. Throws the signal's reason once it aborts. */
  readonly prove: AddressTrialDeps["prove"];
  /** Called after another choice. */
  readonly changed: (what: { readonly isAddressOther: boolean }) => void;
  /** Milliseconds of a clock that never jumps. */
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/**
 * Keeps the choice of the underlay up to date: an address, MTU, link or route that has changed is built upon. Where the
 * addresses in use still work, others take their place only after a peer has answered from those, or none answers
 * from either.
 */
export class UnderlayFollower {
  readonly #deps: UnderlayFollowerDeps;
  readonly #maxAgeMs: number;
  readonly #trigger = new Trigger();
  #current: Underlay;
  #usable: Underlay;
  #carriers: ReadonlySet<number>;
  /** What each way of the flags led to first. */
  readonly #first = new Map<string, Underlay>();
  readonly #trial: AddressTrial;
  #lookedMs: number;
  #isStale = false;
  #reason: string | undefined;

  private constructor(
    deps: UnderlayFollowerDeps,
    { underlay, carriers }: UnderlayChoice,
    { maxAgeMs }: { readonly maxAgeMs: number },
  ) {
    this.#deps = deps;
    this.#trial = new AddressTrial({
      ...deps,
      maxAgeMs,
      due: () => this.#trigger.nudge(),
      done: () => this.nudge(),
    });
    this.#current = underlay;
    this.#usable = underlay;
    this.#carriers = carriers;
    this.#maxAgeMs = maxAgeMs;
    this.#lookedMs = deps.elapsedMs();
    this.#remember(underlay);
  }

  /**
   * Waits until there is an underlay: at boot the network may come after the agent.
   *
   * @param options.waiting Told why there is none yet.
   * @param options.maxAgeMs A choice is made anew after this long, whether or not something was heard.
   * @throws What `choose` throws but `UnderlayError`, or the signal's reason.
   */
  static async open(
    deps: UnderlayFollowerDeps,
    options: {
      readonly waiting: (condition: Condition) => void;
      readonly maxAgeMs: number;
      readonly signal: AbortSignal;
    },
  ): Promise<UnderlayFollower> {
    const { waiting, signal } = options;
    const backOff = new BackOff();
    for (;;) {
      try {
        return new UnderlayFollower(deps, deps.choose({}), options);
      } catch (error) {
        if (!(error instanceof UnderlayError)) throw error;
        waiting({ code: "underlay-missing", sentence: error.message });
      }
      await backOff.pause({ signal });
      signal.throwIfAborted();
    }
  }

  /** The last choice, and of a family that has lost its address the last one: what others were told stays true. */
  get current(): Underlay {
    return this.#current;
  }

  /** Without the families that have lost their address: what is built of those is left as it is. */
  get usable(): Underlay {
    return this.#usable;
  }

  /** The kernel's index of the chosen link; 0 while no link fits. */
  get linkIndex(): number {
    return this.#reason === undefined ? this.#current.linkIndex : 0;
  }

  /** Why no link fits any more, as a sentence; `undefined` while one does. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /**
   * What would be chosen if a peer answered from there, or what is to be known of the choice, as a sentence; `undefined` if
   * there is nothing to tell.
   */
  get note(): string | undefined {
    return this.#trial.note ?? this.#current.caution;
  }

  /** Reports whether a change of this link can change the choice, by itself. */
  isCarrier(linkIndex: number): boolean {
    return this.#carriers.has(linkIndex);
  }

  /** Says that the host's links, addresses or routes may have changed. */
  nudge(): void {
    this.#isStale = true;
    this.#trigger.nudge();
  }

  /** Looks soon after each nudge, until `signal` aborts. Without this loop only `follow()` looks, and nothing is proved. */
  async run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    using stack = new DisposableStack();
    stack.defer(() => this.#trial.end());
    const look = () => {
      this.follow();
      this.#trial.ask();
    };
    const pace = { trigger: this.#trigger, periodMs: LONGEST_TIMER_MS, restMs: LOOK_MS };
    await inTurns(look, pace)({ signal });
  }

  /** Chooses anew after a nudge. While nothing fits, the last choice stays: working state is never given up. */
  follow(): void {
    const { log, choose, changed, elapsedMs } = this.#deps;
    const nowMs = elapsedMs();
    if (!this.#isStale && nowMs - this.#lookedMs < this.#maxAgeMs) return;
    this.#lookedMs = nowMs;
    try {
      const choice = choose({ inUse: this.#current, first: [...this.#first.values()] });
      this.#isStale = false;
      this.#reason = undefined;
      this.#carriers = choice.carriers;
      const chosen = this.#trial.weigh(choice);
      const lost = lostAddresses(chosen, this.#current);
      const isLost = ({ family }: UnderlayAddress) => lost.some((old) => old.family === family);
      const current = withLost(chosen, lost);
      this.#remember(chosen);
      if (text(current) === text(this.#current)) {
        // Another way may lead to the same.
        const { chosenBy } = current;
        if (chosenBy !== undefined && chosenBy !== this.#current.chosenBy) {
          this.#current = { ...this.#current, chosenBy };
        }
        return;
      }
      const before = this.#current;
      this.#current = current;
      this.#usable = { ...chosen, addresses: chosen.addresses.filter((address) => !isLost(address)) };
      log.write("info", "underlay changed", this.facts());
      changed({ isAddressOther: addressText(before) !== addressText(current) });
    } catch (error) {
      this.#reason = errorText(error);
      this.#trial.end();
    }
  }

  /** Notes what a way has led to first, in each family. */
  #remember(chosen: Underlay): void {
    const { chosenBy = "" } = chosen;
    const known = this.#first.get(chosenBy)?.addresses ?? [];
    const isNew = ({ family, address }: UnderlayAddress) =>
      !isLinkLocal(address) && !known.some((first) => first.family === family);
    const added = chosen.addresses.filter(isNew);
    if (added.length > 0) this.#first.set(chosenBy, { ...chosen, addresses: [...known, ...added] });
  }

  /** The choice as fields of a log line. */
  facts(): Record<string, unknown> {
    const { linkName, mtuBytes, addresses, shortfalls, reason } = this.#current;
    return {
      underlayLink: linkName,
      underlayMtuBytes: mtuBytes,
      underlayAddresses: addresses.map(({ address }) => formatAddress(address)),
      advertisedAddresses: addresses.map(({ advertised }) => formatAddress(advertised)),
      ...reason !== undefined && { reason },
      ...shortfalls !== undefined && { shortfalls },
    };
  }
}

function addressText({ addresses }: Underlay): string {
  return addresses.map(({ address }) => formatAddress(address)).join();
}

/** What two choices are compared by. */
function text(value: Underlay): string {
  return JSON.stringify(value, (key, value) => {
    if (key === "reason" || key === "chosenBy") return undefined;
    return typeof value === "bigint" ? value.toString(16) : value;
  });
}
