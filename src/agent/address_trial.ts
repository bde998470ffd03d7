import type { AddressMove, PlacedAddress, Proof } from "../host/address_proof.ts";
import { errorText } from "../log/error_text.ts";
import type { Log } from "../log/log.ts";
import { formatAddress } from "../model/address.ts";
import type { Underlay } from "../model/underlay.ts";
import type { UnderlayChoice } from "../overlay/underlay/underlay.ts";

/** What a trial works with. */
export interface AddressTrialDeps {
  /** Asks peers whether other addresses are as good as those in use. Throws the signal's reason once it aborts. */
  readonly prove: (
    moves: readonly AddressMove[],
    options: { readonly signal: AbortSignal },
  ) => Promise<Proof>;
  /** Called when peers are to be asked. */
  readonly due: () => void;
  /** Called when they were: it is to be chosen anew. */
  readonly done: () => void;
  /** Peers are asked again after this long. */
  readonly maxAgeMs: number;
  /** Milliseconds of a clock that never jumps. */
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/** Addresses that are to take the place of those in use, and what peers say to that. */
interface Moves {
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
 * Holds other addresses back while those in use still work: they take their place only after a peer has answered from
 * there, or none answers from either.
 */
export class AddressTrial {
  readonly #deps: AddressTrialDeps;
  #trial: Moves | undefined;

  constructor(deps: AddressTrialDeps) {
    this.#deps = deps;
  }

  /** What would be chosen if a peer answered from there, as a sentence; `undefined` if there is nothing to tell. */
  get note(): string | undefined {
    const trial = this.#trial;
    if (trial?.proof !== "worse") return undefined;
    const [from, to] = (["from", "to"] as const).map((end) =>
      trial.moves.map((move) => placeText(move[end])).join(" and ")
    );
    return `${to} would carry the overlay (${trial.reason}), but no peer answers from there: ${from} stays`;
  }

  /** The choice, or while its addresses are not proved what is in use. */
  weigh({ underlay, stays }: UnderlayChoice): Underlay {
    const { due, maxAgeMs, elapsedMs } = this.#deps;
    const moves = stays === undefined ? [] : movesOf(stays, underlay);
    if (stays === undefined || moves.length === 0) {
      this.end();
      return underlay;
    }
    const last = this.#trial;
    const nowMs = elapsedMs();
    if (last === undefined || textOf(last.moves) !== textOf(moves)) {
      this.end();
      const { reason = "" } = underlay;
      this.#trial = { moves, reason, controller: new AbortController(), state: "due", provedMs: nowMs };
      due();
      return stays;
    }
    if (last.state === "done") {
      if (last.proof !== "worse") {
        this.end();
        return underlay;
      }
      if (nowMs - last.provedMs >= maxAgeMs) {
        last.state = "due";
        due();
      }
    }
    return stays;
  }

  /** Asks peers, if that is due. */
  ask(): void {
    if (this.#trial?.state === "due") void this.#ask(this.#trial);
  }

  /** Ends it: there is nothing to prove any more. */
  end(): void {
    this.#trial?.controller.abort();
    this.#trial = undefined;
  }

  async #ask(trial: Moves): Promise<void> {
    const { prove, done, elapsedMs, log } = this.#deps;
    const { signal } = trial.controller;
    trial.state = "asking";
    let proof: Proof = "silent";
    try {
      proof = await prove(trial.moves, { signal });
    } catch (error) {
      if (!signal.aborted) log.write("error", "addresses not proved", { reason: errorText(error) });
    }
    if (signal.aborted) return;
    Object.assign(trial, { state: "done", proof, provedMs: elapsedMs() } satisfies Partial<Moves>);
    done();
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

/** What two trials are compared by. */
function textOf(moves: readonly AddressMove[]): string {
  return moves.map(({ from, to }) => `${placeText(from)} to ${placeText(to)}`).join();
}

function placeText({ address, linkName }: PlacedAddress): string {
  return `${formatAddress(address)} on ${linkName}`;
}
