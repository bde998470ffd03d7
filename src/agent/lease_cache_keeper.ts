import { isFile } from "../file/read_file.ts";
import { dirname } from "node:path";
import { makeFolder } from "../file/make_folder.ts";
import { replaceFile } from "../file/replace_file.ts";
import { readText } from "../file/read_text.ts";
import {
  formatLeaseCache,
  type LeaseCache,
  MAX_CACHE_BYTES,
  parseLeaseCache,
} from "../registry/lease_cache.ts";
import type { LeaseSet } from "../registry/lease_set.ts";
import { fileReason } from "../file/file_reason.ts";
import type { Log } from "../log/log.ts";
import { LONGEST_TIMER_MS, pause } from "../loop/pause.ts";
import { Trigger } from "../loop/trigger.ts";
import { inTurns } from "../loop/worker.ts";
import type { Condition } from "../model/condition.ts";
import type { Lease } from "../model/lease.ts";
import { KeptFile } from "./kept_file.ts";

/** A change is written this long after it came, with all that came since. */
const WRITE_DELAY_MS = 5000;
/** The file is written whole: while changes go on, the rest after each time is longer, up to this. */
const LONGEST_REST_MS = 60_000 - WRITE_DELAY_MS;
/** The longest time until it is tried again where it could not be written; without a change for so long, all is quiet. */
const QUIET_MS = 60_000;
/** It names the hosts of the cluster: no other user reads it. */
const MODE = 0o600;

/** Keeps on disk what the registry said last, so that a start needs no registry. */
export class LeaseCacheKeeper implements Disposable {
  readonly #path: string;
  readonly #log: Log;
  readonly #trigger = new Trigger();
  #version: unknown;
  /** What is to be written; absent while the file says all. */
  #waiting: (() => LeaseCache | undefined) | undefined;
  readonly #file: KeptFile;

  constructor(path: string, deps: { readonly log: Log }) {
    this.#path = path;
    this.#file = new KeptFile(`the lease cache ${path}`);
    this.#log = deps.log;
  }

  /** What was written last of `registry`; nothing if there is nothing of use, which the log says. */
  read(registry: string): LeaseCache | undefined {
    let reason: string;
    try {
      const cache = parseLeaseCache(readText(this.#path, MAX_CACHE_BYTES));
      if (cache.registry === registry) return cache;
      reason = `it is of ${cache.registry}, and leases are in ${registry} now`;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      reason = error instanceof SyntaxError ? error.message : fileReason(error);
    }
    this.#log.write("warn", "lease cache not used", { path: this.#path, reason });
    return undefined;
  }

  /** That the file can't be written, if so. */
  get conditions(): readonly Condition[] {
    return this.#file.conditions;
  }

  /**
   * Sees to it that the file says within a minute, mostly after seconds, what `cache` returns then; `version` tells whether
   * that has changed. A file that is gone is written again.
   */
  keep(version: unknown, cache: () => LeaseCache | undefined): void {
    if (version === this.#version && (this.#waiting !== undefined || isFile(this.#path))) return;
    this.#version = version;
    if (this.#waiting === undefined) this.#trigger.nudge();
    this.#waiting = cache;
  }

  /** Writes what has changed, until `signal` aborts: soon, and less and less often while changes go on. */
  async run(options: { readonly signal: AbortSignal }): Promise<void> {
    let restMs = 0;
    let isWritten = true;
    const write = async () => {
      isWritten = true;
      if (this.#waiting === undefined) {
        restMs = 0;
        return true;
      }
      await pause(WRITE_DELAY_MS, options);
      if (options.signal.aborted) return true;
      isWritten = this.#write();
      if (isWritten) restMs = Math.min(2 * restMs + WRITE_DELAY_MS, LONGEST_REST_MS);
      return isWritten;
    };
    await inTurns(write, {
      trigger: this.#trigger,
      periodMs: () => this.#waiting === undefined && restMs === 0 ? LONGEST_TIMER_MS : QUIET_MS,
      restMs: () => isWritten ? restMs : 0,
    })(options);
  }

  /** Sees to it that the file says within a minute what `leases` and the own lease are then, if they have changed. */
  keepLeases(
    leases: LeaseSet,
    own: () => Lease | undefined,
    origin: Pick<LeaseCache, "registry" | "networkConfig">,
  ): void {
    const published = own()?.parts.map(({ backendData }) => backendData);
    this.keep(`${leases.version} ${JSON.stringify(published)}`, () => {
      const [ownNow, all] = [own(), leases.all];
      return ownNow && all && { ...origin, own: ownNow, leases: all };
    });
  }

  /** Writes at once what waits to be written. */
  [Symbol.dispose](): void {
    this.#write();
  }

  /** Writes what waits to be written. Reports whether nothing waits any more. */
  #write(): boolean {
    const cache = this.#waiting?.();
    const isWritten = cache === undefined || this.#file.write(() => {
      makeFolder(dirname(this.#path));
      replaceFile(this.#path, formatLeaseCache(cache), MODE);
    });
    if (isWritten) this.#waiting = undefined;
    return isWritten;
  }
}
