import { BackOff } from "../lease/back_off.ts";
import { pause } from "../lease/pause.ts";
import type { Log } from "../log/log.ts";
import { formatAddress, parsePrefix, prefixContains } from "../model/address.ts";
import type { Underlay, UnderlayAddress } from "../model/underlay.ts";
import { UnderlayError } from "../underlay/underlay.ts";
import { errorText } from "./keep_running.ts";

/** Between looks for an underlay that is not there yet: a link or an address can come at any time. */
const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 5000;

/** What an IPv6 link has even when it has lost its addresses. */
const LINK_LOCAL = parsePrefix("fe80::/10");

/** What a follower works with. */
export interface UnderlayFollowerDeps {
  /** Looks at the host and chooses. Throws `UnderlayError` while nothing fits. */
  readonly choose: () => Underlay;
  /** Called after another choice. */
  readonly changed: () => void;
  /** Milliseconds of a clock that never jumps. */
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/** Keeps the choice of the underlay up to date: an address, MTU, link or route that has changed is built upon. */
export class UnderlayFollower {
  readonly #deps: UnderlayFollowerDeps;
  readonly #maxAgeMs: number;
  #current: Underlay;
  #usable: Underlay;
  #lookedMs: number;
  #isStale = false;
  #reason: string | undefined;

  private constructor(deps: UnderlayFollowerDeps, current: Underlay, maxAgeMs: number) {
    this.#deps = deps;
    this.#current = current;
    this.#usable = current;
    this.#maxAgeMs = maxAgeMs;
    this.#lookedMs = deps.elapsedMs();
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
      readonly waiting: (reason: string) => void;
      readonly maxAgeMs: number;
      readonly signal: AbortSignal;
    },
  ): Promise<UnderlayFollower> {
    const { waiting, maxAgeMs, signal } = options;
    const backOff = new BackOff({ firstMs: FIRST_RETRY_MS, lastMs: LAST_RETRY_MS, random: Math.random });
    let last: string | undefined;
    for (;;) {
      try {
        return new UnderlayFollower(deps, deps.choose(), maxAgeMs);
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

  /** Says that the host's links, addresses or routes may have changed. */
  nudge(): void {
    this.#isStale = true;
  }

  /** Chooses anew after a nudge. While nothing fits, the last choice stays: working state is never given up. */
  follow(): void {
    const { log, choose, changed, elapsedMs } = this.#deps;
    const nowMs = elapsedMs();
    if (!this.#isStale && nowMs - this.#lookedMs < this.#maxAgeMs) return;
    this.#lookedMs = nowMs;
    try {
      const chosen = choose();
      this.#isStale = false;
      this.#reason = undefined;
      const lost = lostAddresses(chosen, this.#current);
      const isLost = ({ family }: UnderlayAddress) => lost.some((old) => old.family === family);
      const current = withLost(chosen, lost);
      if (text(current) === text(this.#current)) return;
      this.#current = current;
      this.#usable = { ...chosen, addresses: chosen.addresses.filter((address) => !isLost(address)) };
      log.write("info", "underlay changed", this.facts());
      changed();
    } catch (error) {
      const reason = errorText(error);
      if (reason !== this.#reason) log.write("warn", "underlay not found", { reason });
      this.#reason = reason;
    }
  }

  /** The choice as fields of a log line. */
  facts(): Record<string, unknown> {
    const { linkName, mtuBytes, addresses, shortfalls } = this.#current;
    return {
      underlayLink: linkName,
      underlayMtuBytes: mtuBytes,
      underlayAddresses: addresses.map(({ address }) => formatAddress(address)),
      advertisedAddresses: addresses.map(({ advertised }) => formatAddress(advertised)),
      ...shortfalls !== undefined && { shortfalls },
    };
  }
}

/** Addresses of `last` in whose family `chosen` has none that is as good. */
function lostAddresses(chosen: Underlay, last: Underlay): readonly UnderlayAddress[] {
  return last.addresses.filter(({ family, address }) => {
    const now = chosen.addresses.find((other) => other.family === family);
    if (now === undefined) return true;
    return prefixContains(LINK_LOCAL, now.address) && !prefixContains(LINK_LOCAL, address);
  });
}

/** Puts lost addresses back into a choice, and says that they are lost. */
function withLost(chosen: Underlay, lost: readonly UnderlayAddress[]): Underlay {
  if (lost.length === 0) return chosen;
  const kept = chosen.addresses.filter(({ family }) => !lost.some((old) => old.family === family));
  return {
    ...chosen,
    addresses: [...kept, ...lost].sort((a, b) => a.family - b.family),
    shortfalls: lost.map(({ address }) => `link ${chosen.linkName} has lost ${formatAddress(address)}`),
  };
}

function text(underlay: Underlay): string {
  return JSON.stringify(underlay, (_, value) => typeof value === "bigint" ? value.toString(16) : value);
}
