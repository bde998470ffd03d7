import { dirname } from "node:path";
import { replaceFile } from "../cni/replace_file.ts";
import { formatLeaseCache, type LeaseCache, MAX_CACHE_BYTES, parseLeaseCache } from "../lease/lease_cache.ts";
import type { LeaseSet } from "../lease/lease_set.ts";
import { fileReason } from "../log/file_reason.ts";
import type { Log } from "../log/log.ts";
import type { Lease } from "../model/lease.ts";

/** A change is written this long after it came, with whatever came since. */
const WRITE_DELAY_MS = 5000;
/** It names the hosts of the cluster, and is nobody else's concern. */
const MODE = 0o600;

/** Keeps on disk what the registry said last, so that a start needs no registry. */
export class LeaseCacheKeeper implements Disposable {
  readonly #path: string;
  readonly #log: Log;
  readonly #wrote: (leases: number) => void;
  #written: unknown;
  #waiting: { readonly timer: number; readonly write: () => void } | undefined;
  #fault: string | undefined;

  /** @param deps.wrote Called with the number of leases after each time that they were written. */
  constructor(path: string, deps: { readonly log: Log; readonly wrote?: (leases: number) => void }) {
    this.#path = path;
    this.#log = deps.log;
    this.#wrote = deps.wrote ?? (() => {});
  }

  /** What was written last of `registry`; nothing if there is nothing of use, which the log says. */
  read(registry: string): LeaseCache | undefined {
    let reason: string;
    try {
      const { size } = Deno.statSync(this.#path);
      if (size > MAX_CACHE_BYTES) {
        throw new SyntaxError(`it has ${size} bytes, and at most ${MAX_CACHE_BYTES} are read`);
      }
      const cache = parseLeaseCache(Deno.readTextFileSync(this.#path));
      if (cache.registry === registry) return cache;
      reason = `it is of ${cache.registry}, and leases are in ${registry} now`;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      reason = error instanceof SyntaxError ? error.message : fileReason(error);
    }
    this.#log.write("warn", "lease cache not used", { path: this.#path, reason });
    return undefined;
  }

  /** Sees to it that the file says soon what `cache` returns then; `version` tells whether that has changed. */
  keep(version: unknown, cache: () => LeaseCache | undefined): void {
    if (version === this.#written) return;
    this.#written = version;
    if (this.#waiting !== undefined) return;
    const write = () => {
      this.#waiting = undefined;
      const known = cache();
      if (known !== undefined) this.#write(known);
    };
    this.#waiting = { timer: setTimeout(write, WRITE_DELAY_MS), write };
  }

  /** Sees to it that the file says soon what `leases` and the own lease are then, if they have changed. */
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
    if (this.#waiting === undefined) return;
    clearTimeout(this.#waiting.timer);
    this.#waiting.write();
  }

  #write(cache: LeaseCache): void {
    try {
      Deno.mkdirSync(dirname(this.#path), { recursive: true });
      replaceFile(this.#path, formatLeaseCache(cache), MODE);
      this.#fault = undefined;
      this.#wrote(cache.leases.length);
    } catch (error) {
      const reason = fileReason(error);
      if (reason !== this.#fault) {
        this.#log.write("warn", "lease cache not written", { path: this.#path, reason });
      }
      this.#fault = reason;
    }
  }
}
