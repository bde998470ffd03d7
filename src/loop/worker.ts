import { errorText } from "../log/error_text.ts";
import type { Log } from "../log/log.ts";
import type { Condition } from "../model/condition.ts";
import { BackOff } from "./back_off.ts";
import { LinkedAbort } from "./linked_abort.ts";
import { pause } from "./pause.ts";
import { Trigger } from "./trigger.ts";

/** A worker that ended by itself is started again after this long at the latest. */
const LAST_RESTART_MS = 10_000;
/** After a turn that is to be taken again, doubled each time up to the period. */
const FIRST_RETRY_MS = 100;

/** One loop of the agent: it runs until it is told to end, and is started again if it fails. */
export interface Worker {
  readonly name: string;
  readonly run: (options: { readonly signal: AbortSignal }) => Promise<void>;
}

/** When a worker takes its turns. */
export interface Pace {
  /** Asks for a turn before the period is over. */
  readonly trigger?: Trigger;
  /** The time from a turn to the next, in milliseconds. */
  readonly periodMs: number | (() => number);
  /** The pause after a turn, however many nudges come; by how long the turn took, if it is a function. None if absent. */
  readonly restMs?: number | ((tookMs: number) => number);
  /** After a turn that did not do all, doubled each time up to the period; it is half of that at least, at random. */
  readonly retryMs?: number;
  /** A number from 0 to less than 1. */
  readonly random?: () => number;
  /** A clock that nobody sets. */
  readonly elapsedMs?: () => number;
}

/**
 * A loop that takes a turn at its start, on every nudge, and at least once a period.
 *
 * @param turn Answers `false` if it could not do all that was to be done: then the next one comes soon.
 */
export function inTurns(
  turn: (options: { readonly signal: AbortSignal }) => unknown,
  {
    trigger = new Trigger(),
    periodMs,
    restMs = 0,
    retryMs = FIRST_RETRY_MS,
    random = Math.random,
    elapsedMs = () => performance.now(),
  }: Pace,
): Worker["run"] {
  return async ({ signal }) => {
    for (let nextRetryMs = retryMs; !signal.aborted;) {
      const startedMs = elapsedMs();
      const isDone = await turn({ signal }) !== false;
      const longestMs = typeof periodMs === "function" ? periodMs() : periodMs;
      const limitMs = isDone ? longestMs : Math.min(nextRetryMs, longestMs);
      nextRetryMs = isDone ? retryMs : limitMs * 2;
      // A thousand hosts that a server has failed don't come back as one.
      const waitMs = isDone ? limitMs : limitMs * (1 + random()) / 2;
      await pause(typeof restMs === "function" ? restMs(elapsedMs() - startedMs) : restMs, { signal });
      if (signal.aborted) return;
      try {
        await trigger.next(waitMs, { signal });
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    }
  };
}

/** A worker that has failed. */
interface Failure {
  readonly reason: string;
  /** When it was started again; absent before. */
  againMs?: number;
}

/** Runs workers, and starts one that fails again: a fault that can pass never ends the process. */
export class Workers {
  readonly #log: Log;
  readonly #elapsedMs: () => number;
  readonly #failures = new Map<string, Failure>();

  /** @param deps.elapsedMs A clock that nobody sets. */
  constructor({ log, elapsedMs = () => performance.now() }: {
    readonly log: Log;
    readonly elapsedMs?: () => number;
  }) {
    this.#log = log;
    this.#elapsedMs = elapsedMs;
  }

  /** Which have failed, and have not run for a while since. */
  get conditions(): readonly Condition[] {
    return [...this.#failures].filter(([, { againMs }]) => !this.#isGood(againMs)).map((
      [name, { reason }],
    ) => ({
      code: "loop-failed",
      sentence: `the loop "${name}" failed: ${reason}; it is started again`,
    }));
  }

  /** Runs one until `signal` aborts. After a run that was good for a while, the first pause is as short as ever. */
  async run({ name, run }: Worker, options: { readonly signal: AbortSignal }): Promise<void> {
    const { signal } = options;
    const backOff = new BackOff({ lastMs: LAST_RESTART_MS });
    while (!signal.aborted) {
      const startedMs = this.#elapsedMs();
      const failed = this.#failures.get(name);
      if (failed !== undefined) failed.againMs = startedMs;
      let reason: string | undefined;
      try {
        await run({ signal });
      } catch (error) {
        reason = errorText(error);
      }
      if (signal.aborted) break;
      if (this.#isGood(startedMs)) backOff.reset();
      if (reason !== undefined) {
        this.#failures.set(name, { reason });
        // Here too, if it is the one that tells.
        this.#log.write("debug", "loop failed", { loop: name, reason });
      }
      await backOff.pause({ signal });
    }
    this.#failures.delete(name);
  }

  /** Runs all of a table until `signal` aborts. One that is absent has nothing to do on this host. */
  async runAll(
    workers: readonly (Worker | undefined)[],
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    await Promise.all(workers.map((worker) => worker && this.run(worker, options)));
  }

  /** Runs one until it is disposed of, or `signal` aborts. */
  start(worker: Worker, { signal }: { readonly signal: AbortSignal }): AsyncDisposable {
    const abort = new LinkedAbort(signal);
    const running = this.run(worker, abort);
    return {
      async [Symbol.asyncDispose]() {
        abort[Symbol.dispose]();
        await running;
      },
    };
  }

  /** Whether a run that has begun then was, or is, long enough. */
  #isGood(startedMs: number | undefined): boolean {
    return startedMs !== undefined && this.#elapsedMs() - startedMs >= LAST_RESTART_MS;
  }
}
