import type { Log } from "../log/log.ts";
import { LONGEST_TIMER_MS, pause } from "./pause.ts";
import type { LeaseRegistry } from "./registry.ts";

/** While there are any, those who claim what this host claims are looked at this often. */
const LOOK_MS = 5000;

/** What the watch works with. */
export interface ContestWatchDeps {
  readonly registry: Pick<LeaseRegistry, "isSilent">;
  /** Hosts that claim what this host claims, as the last pass found them. */
  readonly rivals: () => readonly string[];
  readonly log: Log;
}

/**
 * Tells living rivals from what dead ones have left behind: the node of a machine that is gone, or a lease that has not
 * ended yet. With a rival that is gone nobody shares anything.
 */
export class ContestWatch {
  readonly #deps: ContestWatchDeps;
  #silent: ReadonlySet<string> = new Set();
  #wake = Promise.withResolvers<void>();

  constructor(deps: ContestWatchDeps) {
    this.#deps = deps;
  }

  /** Whether a rival has shown no sign of life when it was looked at last. */
  isSilent(host: string): boolean {
    return this.#silent.has(host);
  }

  /** Says that there may be other rivals. */
  nudge(): void {
    this.#wake.resolve();
  }

  /** Looks at rivals until `signal` aborts. Whoever can't be asked for counts as living. */
  async run(options: { readonly signal: AbortSignal }): Promise<void> {
    const { signal } = options;
    while (!signal.aborted) {
      this.#wake = Promise.withResolvers<void>();
      const rivals = this.#deps.rivals();
      this.#silent = rivals.length === 0 ? new Set() : await this.#look(rivals, options);
      if (signal.aborted) return;
      const { promise: woken } = this.#wake;
      await pause(rivals.length === 0 ? LONGEST_TIMER_MS : LOOK_MS, { signal, woken });
    }
  }

  async #look(rivals: readonly string[], options: { readonly signal: AbortSignal }): Promise<Set<string>> {
    const silent = new Set<string>();
    for (const host of rivals) {
      try {
        if (await this.#deps.registry.isSilent(host, options)) silent.add(host);
      } catch (error) {
        if (options.signal.aborted) break;
        const reason = error instanceof Error ? error.message : String(error);
        this.#deps.log.write("debug", "rival not looked at", { host, reason });
      }
    }
    return silent;
  }
}
