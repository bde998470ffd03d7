import type { AddressMove, PlacedAddress, Proof } from "../host/address_proof.ts";
import { BackOff } from "../lease/back_off.ts";
import { LONGEST_TIMER_MS, pause } from "../lease/pause.ts";
import type { Log } from "../log/log.ts";
import { formatAddress } from "../model/address.ts";
import type { Underlay, UnderlayAddress } from "../model/underlay.ts";
import { Trigger } from "../reconcile/trigger.ts";
import { isLinkLocal } from "../underlay/addresses.ts";
import { lostAddresses, withLost } from "../underlay/lost.ts";
import type { Standing } from "../underlay/scene.ts";
import { type UnderlayChoice, UnderlayError } from "../underlay/underlay.ts";
import { errorText } from "./keep_running.ts";

/** Between looks for an underlay that is not there yet: a link or an address can come at any time. */
const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 5000;
/** Between looks after nudges: what changes comes in bursts, and pods' links make noise. */
const LOOK_MS = 50;

/** What a follower works with. */
export interface UnderlayFollowerDeps {
  /** Looks at the host and chooses. Throws `UnderlayError` while nothing fits. */
  readonly choose: (standing: Standing) => UnderlayChoice;
  /** Asks peers whether other addresses are as good as those in use. Throws the signal's reason once it aborts. */
  readonly prove: (
    moves: readonly AddressMove[],
    options: { readonly signal: AbortSignal },
  ) => Promise<Proof>;
  /** Called after another choice. */
  readonly changed: (what: { readonly isAddressOther: boolean }) => void;
  /** Milliseconds of a clock that never jumps. */
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/** Addresses that are to take the place of those in use, and what peers say to that. */
interface Trial {
  readonly moves: readonly AddressMove[];
  readonly reason: string;
  /** Ends the asking. */
  readonly controller: AbortController;
  /** `due` to be asked for, `asking`, or done. */
  state: "due" | "asking" | "done";
  /** What was last found out; absent before. */
  proof?: Proof;
  provedMs: number;
}

/**
 * Keeps the choice of the underlay up to date: an address, MTU, link or route that has changed is built upon. Where the
 * addresses in use still work, others take their place only after a peer has answered from those, or nobody answers
 * from either.
 */
export class UnderlayFollower {
  readonly #deps: UnderlayFollowerDeps;
  readonly #maxAgeMs: number;
  readonly #lookMs: number;
  readonly #trigger = new Trigger();
  #current: Underlay;
  #usable: Underlay;
  #carriers: ReadonlySet<number>;
  /** What each way of the flags led to first. */
  readonly #first = new Map<string, Underlay>();
  #trial: Trial | undefined;
  #lookedMs: number;
  #isStale = false;
  #reason: string | undefined;

  private constructor(
    deps: UnderlayFollowerDeps,
    { underlay, carriers }: UnderlayChoice,
    { maxAgeMs, lookMs = LOOK_MS }: { readonly maxAgeMs: number; readonly lookMs?: number },
  ) {
    this.#deps = deps;
    this.#current = underlay;
    this.#usable = underlay;
    this.#carriers = carriers;
    this.#maxAgeMs = maxAgeMs;
    this.#lookMs = lookMs;
    this.#lookedMs = deps.elapsedMs();
    this.#remember(underlay);
  }

  /**
   * Waits until there is an underlay: at boot the network may come after the agent.
   *
   * @param options.waiting Told why there is none yet.
   * @param options.maxAgeMs A choice is made anew after this long, whether or not something was heard.
   * @param options.lookMs Between looks after nudges.
   * @throws What `choose` throws but `UnderlayError`, or the signal's reason.
   */
  static async open(
    deps: UnderlayFollowerDeps,
    options: {
      readonly waiting: (reason: string) => void;
      readonly maxAgeMs: number;
      readonly lookMs?: number;
      readonly signal: AbortSignal;
    },
  ): Promise<UnderlayFollower> {
    const { waiting, signal } = options;
    const backOff = new BackOff({ firstMs: FIRST_RETRY_MS, lastMs: LAST_RETRY_MS, random: Math.random });
    let last: string | undefined;
    for (;;) {
      try {
        return new UnderlayFollower(deps, deps.choose({}), options);
      } catch (error) {
        if (!(error instanceof UnderlayError)) throw error;
        const reason = errorText(error);
        if (reason !== last) deps.log.write("warn", "underlay not found", { reason });
        last = reason;
        waiting(reason);
      }
      await pause(backOff.next(), { signal });
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
    const trial = this.#trial;
    if (trial?.proof !== "worse") return this.#current.caution;
    const [from, to] = (["from", "to"] as const).map((end) =>
      trial.moves.map((move) => placeText(move[end]))
    );
    const words = `${
      to!.join(" and ")
    } would carry the overlay (${trial.reason}), but no peer answers from there`;
    return `${words}: ${from!.join(" and ")} stays`;
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
    stack.defer(() => this.#drop());
    for (;;) {
      await this.#trigger.next(LONGEST_TIMER_MS, { signal });
      this.follow();
      if (this.#trial?.state === "due") void this.#ask(this.#trial);
      await pause(this.#lookMs, { signal });
    }
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
      const chosen = this.#weigh(choice, nowMs);
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
      const reason = errorText(error);
      if (reason !== this.#reason) log.write("warn", "underlay not found", { reason });
      this.#reason = reason;
      this.#drop();
    }
  }

  /** The choice, or while its addresses are not proved what is in use. */
  #weigh({ underlay, stays }: UnderlayChoice, nowMs: number): Underlay {
    const moves = stays === undefined ? [] : movesOf(stays, underlay);
    const last = this.#trial;
    if (stays === undefined || moves.length === 0) {
      this.#drop();
      return underlay;
    }
    if (last === undefined || text(last.moves) !== text(moves)) {
      this.#drop();
      const { reason = "" } = underlay;
      this.#trial = { moves, reason, controller: new AbortController(), state: "due", provedMs: nowMs };
      this.#trigger.nudge();
      return stays;
    }
    if (last.state === "done") {
      if (last.proof !== "worse") {
        this.#drop();
        return underlay;
      }
      if (nowMs - last.provedMs >= this.#maxAgeMs) {
        last.state = "due";
        this.#trigger.nudge();
      }
    }
    return stays;
  }

  async #ask(trial: Trial): Promise<void> {
    const { prove, elapsedMs, log } = this.#deps;
    const { signal } = trial.controller;
    trial.state = "asking";
    let proof: Proof = "silent";
    try {
      proof = await prove(trial.moves, { signal });
    } catch (error) {
      if (!signal.aborted) log.write("error", "addresses not proved", { reason: errorText(error) });
    }
    if (signal.aborted) return;
    const isNews = proof !== trial.proof;
    Object.assign(trial, { state: "done", proof, provedMs: elapsedMs() } satisfies Partial<Trial>);
    if (isNews && proof === "worse") log.write("warn", "underlay not changed", { reason: this.note });
    this.nudge();
  }

  /** Ends a trial: there is nothing to prove any more. */
  #drop(): void {
    this.#trial?.controller.abort();
    this.#trial = undefined;
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

/** What `stays` has and `chosen` has another address for, in each family. */
function movesOf(stays: Underlay, chosen: Underlay): AddressMove[] {
  return stays.addresses.flatMap(({ family, address }) => {
    const now = chosen.addresses.find((other) => other.family === family);
    if (now === undefined || now.address === address) return [];
    return [{
      from: { address, linkName: stays.linkName },
      to: { address: now.address, linkName: chosen.linkName },
    }];
  });
}

function addressText({ addresses }: Underlay): string {
  return addresses.map(({ address }) => formatAddress(address)).join();
}

function placeText({ address, linkName }: PlacedAddress): string {
  return `${formatAddress(address)} on ${linkName}`;
}

/** What two choices, or trials, are compared by. */
function text(value: Underlay | readonly AddressMove[]): string {
  return JSON.stringify(value, (key, value) => {
    if (key === "reason" || key === "chosenBy") return undefined;
    return typeof value === "bigint" ? value.toString(16) : value;
  });
}
