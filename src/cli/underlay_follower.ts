import type { Log } from "../log/log.ts";
import { formatAddress } from "../model/address.ts";
import type { Underlay } from "../model/underlay.ts";
import { errorText } from "./keep_running.ts";

/** Keeps the choice of the underlay up to date: an address, MTU or link that has changed is built upon. */
export class UnderlayFollower {
  readonly #choose: () => Underlay;
  readonly #deps: { readonly log: Log; readonly changed: () => void };
  #current: Underlay;
  #isStale = false;
  #isLost = false;

  /**
   * @param choose Looks at the host and chooses; throws while nothing fits.
   * @throws What `choose` throws: at start there must be an underlay.
   */
  constructor(choose: () => Underlay, deps: { readonly log: Log; readonly changed: () => void }) {
    this.#choose = choose;
    this.#deps = deps;
    this.#current = choose();
  }

  /** The last choice; keeps its identity while nothing changes. */
  get current(): Underlay {
    return this.#current;
  }

  /** The kernel's index of the chosen link; 0 while no link fits. */
  get linkIndex(): number {
    return this.#isLost ? 0 : this.#current.linkIndex;
  }

  /** Says that the host's links or addresses may have changed. */
  nudge(): void {
    this.#isStale = true;
  }

  /** Chooses anew after a nudge. While nothing fits, the last choice stays: working state is never given up. */
  follow(): void {
    if (!this.#isStale) return;
    const { log, changed } = this.#deps;
    try {
      const chosen = this.#choose();
      this.#isStale = false;
      this.#isLost = false;
      if (text(chosen) === text(this.#current)) return;
      this.#current = chosen;
      log.write("info", "underlay changed", this.facts());
      changed();
    } catch (error) {
      this.#isLost = true;
      log.write("warn", "underlay not found", { reason: errorText(error) });
    }
  }

  /** The choice as fields of a log line. */
  facts(): Record<string, unknown> {
    const { linkName, mtuBytes, addresses } = this.#current;
    return {
      underlayLink: linkName,
      underlayMtuBytes: mtuBytes,
      underlayAddresses: addresses.map(({ address }) => formatAddress(address)),
      advertisedAddresses: addresses.map(({ advertised }) => formatAddress(advertised)),
    };
  }
}

function text(underlay: Underlay): string {
  return JSON.stringify(underlay, (_, value) => typeof value === "bigint" ? value.toString(16) : value);
}
