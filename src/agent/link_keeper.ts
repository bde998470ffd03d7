import { errorText } from "../log/error_text.ts";
import type { Log } from "../log/log.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { readCounters } from "../rtnetlink/link_counters.ts";
import type { LinkFigures } from "../status/facts.ts";
import { LinkLosses, type LinkRole } from "./link_losses.ts";

/** A link that the overlay is on, by name or by the kernel's index; 0 is none. */
export interface WatchedLink {
  readonly link: string | number;
  readonly role: LinkRole;
}

/** What the keeper works with. */
export interface LinkKeeperDeps {
  readonly client: NetlinkClient;
  readonly links: () => readonly WatchedLink[];
  /** A clock that nobody sets. */
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/** Between looks, and behind one that has found other links than the one before it. */
const PERIOD_MS = 10_000;
const SOON_MS = 1000;

/** Reads what the kernel counts on the links that the overlay is on, and says what packets are lost there. */
export class LinkKeeper {
  readonly #deps: LinkKeeperDeps;
  readonly #losses = new LinkLosses();
  #seen = "";
  #isSettled = false;

  constructor(deps: LinkKeeperDeps) {
    this.#deps = deps;
  }

  /** What is counted now, of the links that are there; nothing while it can't be read. */
  readonly read = (): readonly LinkFigures[] => {
    try {
      return this.#read();
    } catch (error) {
      this.#deps.log.write("debug", "counters of links not read", { reason: errorText(error) });
      return [];
    }
  };

  #read(): readonly LinkFigures[] {
    const { client, links } = this.#deps;
    return links().filter(({ link }) => link !== 0).flatMap(({ link, role }) => {
      const counters = readCounters(client, link);
      return counters === undefined ? [] : [{ role, counters }];
    });
  }

  /** Milliseconds to the next look. */
  get periodMs(): number {
    return this.#isSettled ? PERIOD_MS : SOON_MS;
  }

  /** Looks, and logs what has come to be lost since the last look. */
  look(): void {
    const { elapsedMs, log } = this.#deps;
    const readings = this.read();
    const seen = readings.map(({ counters }) => counters.linkIndex).join();
    this.#isSettled = seen === this.#seen;
    this.#seen = seen;
    for (const loss of this.#losses.see(readings, elapsedMs())) {
      log.write("warn", "packets lost", { ...loss });
    }
  }
}
