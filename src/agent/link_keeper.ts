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

/** Reads what the kernel counts on the links that the overlay is on, and says what packets are lost there. */
export class LinkKeeper {
  readonly #deps: LinkKeeperDeps;
  readonly #losses = new LinkLosses();

  constructor(deps: LinkKeeperDeps) {
    this.#deps = deps;
  }

  /** What is counted now, of the links that are there. */
  readonly read = (): readonly LinkFigures[] => {
    const { client, links } = this.#deps;
    return links().filter(({ link }) => link !== 0).flatMap(({ link, role }) => {
      const counters = readCounters(client, link);
      return counters === undefined ? [] : [{ role, counters }];
    });
  };

  /** Looks, and logs what has come to be lost since the last look. */
  look(): void {
    const { elapsedMs, log } = this.#deps;
    try {
      for (const loss of this.#losses.see(this.read(), elapsedMs())) {
        log.write("warn", "packets lost", { ...loss });
      }
    } catch (error) {
      log.write("debug", "counters of links not read", { reason: errorText(error) });
    }
  }
}
