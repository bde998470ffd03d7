import type { NetworkConfig } from "../config/network.ts";
import { pause } from "../loop/pause.ts";
import { Trigger } from "../loop/trigger.ts";
import { inTurns } from "../loop/worker.ts";
import type { Prefix } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import { errorText } from "../log/error_text.ts";
import type { ReadConfig } from "./network_config.ts";
import { type Misfit, misfitOf } from "./network_guard.ts";

/** A file may be written in pieces: it is read this long after a change. */
const SETTLE_MS = 100;

/** What a configuration is read with. */
export interface ConfigWatchDeps {
  /** Where it is, for messages. */
  readonly source: string;
  readonly read: (options: { signal: AbortSignal }) => Promise<string>;
  /** Whether that it can't be read says something about it, and not only about the way there. */
  readonly isHere: boolean;
  /** Throws with one sentence if the text is wrong. */
  readonly parse: (text: string) => NetworkConfig;
  /** How often it is read again: while the agent waits for another, and while one is in use. */
  readonly pollMs: { readonly waiting: number; readonly used: number };
  /** A number from 0 to less than 1. */
  readonly random: () => number;
  /** What this host holds. */
  readonly held: () => readonly Prefix[];
  /** Why a network would not be applied, and what to do. */
  readonly refusal: (misfit: Misfit) => string;
}

/**
 * Knows whether the network configuration is still the one in use. One that is in use stays so until the agent is
 * started again, so that a rollout that goes wrong does so on one host; one that could not be applied gives way to the
 * next.
 */
export class ConfigWatch {
  readonly #deps: ConfigWatchDeps;
  #used: ReadConfig;
  #latest: ReadConfig;
  #text: string;
  /** Why the present text can't be used. */
  #fault: string | undefined;
  #isUsed = false;
  readonly #trigger = new Trigger();
  #changed = Promise.withResolvers<void>();

  constructor(first: ReadConfig, deps: ConfigWatchDeps) {
    this.#deps = deps;
    this.#used = this.#latest = first;
    this.#text = first.text;
  }

  /** The last configuration that was right. */
  get latest(): ReadConfig {
    return this.#latest;
  }

  /** Whether that is another one than is in use. */
  get isOther(): boolean {
    return !isSame(this.#latest.config, this.#used.config);
  }

  /** Settles when another configuration was read. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  /** Goes on with the last configuration that was right. */
  use(): ReadConfig {
    return this.#used = this.#latest;
  }

  /** Why what is there now can't be used; `undefined` if it can. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Tells whether the configuration is in use by now, or another would do as well. */
  set isApplied(isUsed: boolean) {
    this.#isUsed = isUsed;
  }

  /** Has it read again soon. */
  nudge(): void {
    this.#trigger.nudge();
  }

  /** That the configuration is another one than is in use, if it is. */
  get conditions(): readonly Condition[] {
    // Before it is in use there is nothing that goes on with it.
    if (!this.#isUsed) {
      return this.#fault === undefined ? [] : [{ code: "network-config-missing", sentence: this.#fault }];
    }
    const sentence = this.#sentence;
    return sentence === undefined ? [] : [{ code: "network-config-changed", sentence }];
  }

  get #sentence(): string | undefined {
    const { source, held, refusal } = this.#deps;
    const goesOn = "this agent goes on with what it read at its start";
    if (this.#fault !== undefined) {
      return `${source} is no longer right, ${goesOn}, and could not start again: ${this.#fault}`;
    }
    if (!this.isOther) return undefined;
    const misfit = misfitOf(this.#latest.config.families, held());
    if (misfit === undefined) {
      return `${source} has changed, and ${goesOn}: a restart of the agent applies it`;
    }
    return `${source} has changed, ${goesOn}, and a restart would not apply it: ${refusal(misfit)}`;
  }

  /** Reads the configuration again when it may have changed, until `signal` aborts. */
  async run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { pollMs, random } = this.#deps;
    // It was read a moment ago.
    let isRead = true;
    const look = async () => {
      if (isRead) {
        isRead = false;
        return;
      }
      await pause(SETTLE_MS, { signal });
      // What was written until now is read now.
      this.#trigger.clear();
      if (!signal.aborted) await this.#look({ signal });
    };
    const periodMs = () => (this.#isUsed ? pollMs.used : pollMs.waiting) * (0.75 + random() / 2);
    await inTurns(look, { trigger: this.#trigger, periodMs })({ signal });
  }

  async #look(options: { readonly signal: AbortSignal }): Promise<void> {
    const { read, parse, isHere } = this.#deps;
    let text: string;
    try {
      text = await read(options);
    } catch (error) {
      if (options.signal.aborted || !isHere) return;
      // The next text is news, also if it is the same as before.
      this.#text = "";
      this.#fault = errorText(error);
      return;
    }
    if (text === this.#text) return;
    this.#text = text;
    try {
      this.#latest = { config: parse(text), text };
      this.#fault = undefined;
    } catch (error) {
      this.#fault = errorText(error);
    }
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

/** Whether two configurations ask for the same. */
function isSame(a: NetworkConfig, b: NetworkConfig): boolean {
  const text = (config: NetworkConfig) =>
    JSON.stringify(config, (_name, value) => typeof value === "bigint" ? value.toString() : value);
  return a === b || text(a) === text(b);
}
