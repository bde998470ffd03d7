import { errorText } from "../log/error_text.ts";
import type { Log } from "../log/log.ts";
import { LONGEST_TIMER_MS } from "../loop/pause.ts";
import { Trigger } from "../loop/trigger.ts";
import { inTurns } from "../loop/worker.ts";
import type { LeaseRegistry } from "./registry.ts";

/** While there are any, those who claim what this host claims are looked at this often. */
const LOOK_MS = 5000;

/** So many are looked at: each is a question to the registry. The others count as living. */
const MAX_RIVALS = 20;

/** What the watch works with. */
export interface ContestWatchDeps {
  readonly registry: Pick<LeaseRegistry, "isSilent">;
  /** Hosts that claim what this host claims, as the last pass found them. */
  readonly rivals: () => readonly string[];
  readonly log: Log;
}

/**
 * Tells living rivals from what dead ones have left behind: the node of a machine that is gone, or a lease that has not
 * ended yet. Nothing is shared with a rival that is gone.
 */
export class ContestWatch {
  readonly #deps: ContestWatchDeps;
  #silent: ReadonlySet<string> = new Set();
  readonly #trigger = new Trigger();

  constructor(deps: ContestWatchDeps) {
    this.#deps = deps;
  }

  /** Whether a rival has shown no sign of life when it was looked at last. */
  isSilent(host: string): boolean {
    return this.#silent.has(host);
  }

  /** Says that there may be other rivals. */
  nudge(): void {
    this.#trigger.nudge();
  }

  /** Looks at rivals until `signal` aborts. One that can't be asked for counts as living. */
  async run(options: { readonly signal: AbortSignal }): Promise<void> {
    let rivals: readonly string[] = [];
    const look = async () => {
      rivals = [...new Set(this.#deps.rivals())].slice(0, MAX_RIVALS);
      this.#silent = rivals.length === 0 ? new Set() : await this.#look(rivals, options);
    };
    const periodMs = () => rivals.length === 0 ? LONGEST_TIMER_MS : LOOK_MS;
    await inTurns(look, { trigger: this.#trigger, periodMs })(options);
  }

  async #look(rivals: readonly string[], options: { readonly signal: AbortSignal }): Promise<Set<string>> {
    const silent = new Set<string>();
    for (const host of rivals) {
      try {
        if (await this.#deps.registry.isSilent(host, options)) silent.add(host);
      } catch (error) {
        if (options.signal.aborted) break;
        const reason = errorText(error);
        this.#deps.log.write("debug", "rival not looked at", { host, reason });
      }
    }
    return silent;
  }
}
