import type { Prefix } from "../model/address.ts";
import type { Lease, LeaseUpdate } from "../model/lease.ts";
import { findClaims, type OwnLease, readOwn, takeLease, type Taker, tokenOf } from "./local_acquire.ts";
import { releaseLeases, renewQuietly } from "./local_changes.ts";
import { LocalFile } from "./local_file.ts";
import { LocalReader } from "./local_reader.ts";
import { LinkedAbort } from "./linked_abort.ts";
import type { LeaseFault } from "./lease_set.ts";
import type { LocalRegistryDeps, LocalRegistryOptions } from "./local_options.ts";
import { isOrphan } from "./own_lease.ts";
import { pause } from "./pause.ts";
import { proveClaims } from "./prove_claims.ts";
import type { LeaseRegistry, LeaseRequest, RegistryContact } from "./registry.ts";
import { isBusy, RegistryError } from "./registry_error.ts";
import { BEAT_MS, silenceMs } from "./silence.ts";

const DEFAULT_TTL_MS = 24 * 60 * 60 * 1000;
/** Changes are heard of at once; how often they are looked for besides, and where nothing is heard of. */
const HEARING_POLL_MS = 1000;
const DEAF_POLL_MS = 100;
const FRESH_MS = 50;
const FRESH_POLL_MS = 5;
/** A write that finds the file held by another process is repeated this often, after a pause of up to this long. */
const WRITE_ATTEMPTS = 60;
const WRITE_PAUSE_MS = 50;
/** The path is looked at this often, to see whether it still leads to the open file. */
const PATH_CHECK_MS = 1000;
/** Once a new file has taken the place of the old one, everybody has this long to write a lease into it. */
const REJOIN_MS = 3000;
/** Looks at a lease that changes while it is taken. */
const TAKE_ATTEMPTS = 10;

/**
 * Opens the registry of this machine: one SQLite file, shared by the agents of several network namespaces.
 *
 * @throws {RegistryError} If the file can't be made, read or written, or is another program's. It is left as it is.
 */
export function openLocalRegistry(
  path: string,
  deps: LocalRegistryDeps,
  options: LocalRegistryOptions,
): LocalRegistry {
  return new LocalRegistry(new LocalFile(path), deps, options);
}

/** Leases in one SQLite file. Whoever notices that a lease has ended releases it. */
export class LocalRegistry implements LeaseRegistry, Disposable {
  readonly #deps: LocalRegistryDeps;
  readonly #options: LocalRegistryOptions;
  #file: LocalFile;
  /** Files that were deleted while they were open; they are not closed, see `LocalFile.successor()`. */
  readonly #replaced: LocalFile[] = [];
  #faults: readonly LeaseFault[] = [];
  #contact: RegistryContact = { heardAtMs: undefined, reason: "the registry was not read yet" };
  /** The subnets of the lease that this process took last. */
  #lastSubnets: readonly Prefix[];
  #own: Lease | undefined;
  readonly #tokens = new Set<string>();
  readonly #living = new Set<string>();
  readonly #closed = new AbortController();
  /** Told of every write of this process, which `PRAGMA data_version` doesn't show. */
  readonly #wakes = new Set<() => void>();

  constructor(file: LocalFile, deps: LocalRegistryDeps, options: LocalRegistryOptions) {
    this.#file = file;
    this.#deps = deps;
    this.#options = options;
    this.#lastSubnets = options.previousSubnets ?? [];
  }

  get host(): string | undefined {
    return this.#own?.host;
  }

  get token(): string | undefined {
    return this.#own && tokenOf(this.#own);
  }

  get contact(): RegistryContact {
    return this.#contact;
  }

  /** Hosts whose rows were left out as a watch last read them, and why. */
  get faults(): readonly LeaseFault[] {
    return this.#faults;
  }

  /** The lease that this host held last, also in an earlier process; it may have ended. */
  async previous(request: LeaseRequest, options: { signal: AbortSignal }): Promise<Lease | undefined> {
    return (await this.#find(request, options)).own;
  }

  /** What is this host's for certain, and what of it is left over from earlier. */
  async #find(
    request: LeaseRequest,
    options: { signal: AbortSignal },
  ): Promise<OwnLease & { readonly orphans: readonly Lease[] }> {
    const look = () => this.#repeated(() => findClaims(this.#file, request, this.#taker()), options);
    const [own, ...others] = await proveClaims(await look(), {
      suits: () => true,
      showsLife: ({ lease }) => lease.expiresAtMs !== undefined,
      ageSeconds: async ({ lease: { host } }) =>
        (await look()).find(({ candidate }) => candidate.lease.host === host)?.candidate.ageSeconds,
      living: this.#living,
      silentMs: this.#silentMs,
      log: this.#deps.log,
    }, options);
    const orphans = others.filter((claim) => isOrphan(claim, own)).map(({ candidate }) => candidate.lease);
    return { own: own?.candidate.lease, isCertain: own?.isDoubtful === false, orphans };
  }

  get #silentMs(): number {
    return silenceMs(this.#options.beatMs ?? BEAT_MS);
  }

  #taker(): Taker {
    const { now, random, log } = this.#deps;
    const { host: name, families, ttlMs = DEFAULT_TTL_MS } = this.#options;
    return {
      name,
      families,
      previousSubnets: this.#lastSubnets,
      tokens: this.#tokens,
      rememberedToken: this.#options.token,
      nowMs: now(),
      ttlMs,
      random,
      log,
    };
  }

  /**
   * Takes a free subnet of each family, or renews the own lease: it keeps its subnets as long as the
   * configuration allows them. Another host's lease is never written.
   *
   * @throws {RegistryError} If no subnet is free, or the file can't be written.
   */
  async acquire(request: LeaseRequest, options: { signal: AbortSignal }): Promise<Lease> {
    const lease = await this.#take(request, options);
    this.#own = lease;
    const token = tokenOf(lease);
    if (token !== undefined) this.#tokens.add(token);
    this.#lastSubnets = lease.parts.map(({ subnet }) => subnet);
    this.#wake();
    return lease;
  }

  async #take(request: LeaseRequest, options: { signal: AbortSignal }): Promise<Lease> {
    for (let attempt = 1; attempt <= TAKE_ATTEMPTS; attempt++) {
      await this.#repeated(() => this.#reopenIfReplaced(), options);
      const { own, isCertain, orphans } = await this.#find(request, options);
      const lease = await this.#repeated(() => {
        this.#reopenIfReplaced();
        return takeLease(this.#file, request, this.#taker(), { own, isCertain });
      }, options);
      if (lease === undefined) continue;
      // Only now, so that this host is never without.
      for (const { host, since = 0 } of orphans) {
        this.#deps.log.write("warn", "own subnet not kept", { host, reason: "this host holds another one" });
        await this.#repeated(() => releaseLeases(this.#file, "host = ? AND since = ?", host, since), options);
      }
      return lease;
    }
    throw new RegistryError(`take a lease in ${this.#file.path}`, "the own lease changes all the time");
  }

  async isSilent(host: string, options: { signal: AbortSignal }): Promise<boolean> {
    const { nowMs, ttlMs } = this.#taker();
    const lease = await this.#repeated(() => readOwn(this.#file, host), options);
    if (lease === undefined) return true;
    if (lease.origin === undefined || lease.expiresAtMs === undefined) return false;
    return nowMs + ttlMs - lease.expiresAtMs >= this.#silentMs;
  }

  /** Ends the own lease, so that its subnets are free for others. */
  async release(options: { signal: AbortSignal }): Promise<void> {
    await this.#repeated(() => {
      this.#reopenIfReplaced();
      releaseLeases(this.#file, "host = ?", this.host ?? this.#options.host);
    }, options);
    this.#wake();
  }

  async *watch(options: { signal: AbortSignal }): AsyncGenerator<LeaseUpdate, void, undefined> {
    const { log, elapsedMs } = this.#deps;
    using abort = new LinkedAbort(options.signal);
    const { signal } = abort;
    const close = () => abort.abort();
    this.#closed.signal.addEventListener("abort", close, { once: true });
    if (this.#closed.signal.aborted) close();
    let file = this.#file;
    let reader = this.#reader();
    let checkedMs = elapsedMs();
    let rejoinedMs = -Infinity;
    let fault: string | undefined;
    let heardMs = -Infinity;
    let beatenMs = elapsedMs();
    using heard = this.#deps.watchFiles?.(this.#file.path, () => {
      heardMs = elapsedMs();
      this.#wake();
    });
    const pollMs = this.#options.pollMs ?? (heard === undefined ? DEAF_POLL_MS : HEARING_POLL_MS);
    while (!signal.aborted) {
      let updates: readonly LeaseUpdate[] = [];
      try {
        if (elapsedMs() - checkedMs >= PATH_CHECK_MS || fault !== undefined) {
          checkedMs = elapsedMs();
          this.#reopenIfReplaced();
        }
        if (file !== this.#file) {
          file = this.#file;
          reader = this.#reader();
          rejoinedMs = elapsedMs() + REJOIN_MS;
          updates = this.host === undefined ? [] : [{ kind: "released", host: this.host }];
        } else if (elapsedMs() >= rejoinedMs) updates = reader.read();
        if (elapsedMs() - beatenMs >= (this.#options.beatMs ?? BEAT_MS)) {
          beatenMs = elapsedMs();
          this.#beat();
        }
        if (fault !== undefined) log.write("info", "lease registry read again");
        fault = undefined;
        this.#contact = { heardAtMs: this.#deps.now(), reason: undefined };
      } catch (error) {
        reader.forget();
        const reason = error instanceof Error ? error.message : String(error);
        if (!isBusy(error) && reason !== fault) log.write("warn", "lease registry not read", { reason });
        if (!isBusy(error)) {
          fault = reason;
          this.#contact = { ...this.#contact, reason };
        }
      }
      for (const update of updates) {
        if (signal.aborted) return;
        yield update;
      }
      // A writer shows its change a moment after it has written it: what was heard of is looked at more than once.
      const isFresh = elapsedMs() - heardMs < FRESH_MS;
      await this.#pause(isFresh ? FRESH_POLL_MS : pollMs, { signal });
    }
  }

  [Symbol.dispose](): void {
    this.#closed.abort();
    this.#file[Symbol.dispose]();
  }

  /** Tells others that this host lives. */
  #beat(): void {
    if (this.host === undefined) return;
    renewQuietly(this.#file, this.host, this.#deps.now() + (this.#options.ttlMs ?? DEFAULT_TTL_MS));
  }

  #reader(): LocalReader {
    return new LocalReader(this.#file, {
      ...this.#deps,
      host: () => this.host,
      ttlMs: this.#options.ttlMs ?? DEFAULT_TTL_MS,
      refused: (faults) => this.#faults = faults,
    });
  }

  /** A file that somebody deleted or replaced is of no use to anybody: others no longer see it. */
  #reopenIfReplaced(): void {
    if (!this.#file.isReplaced()) return;
    const fresh = this.#file.successor();
    this.#replaced.push(this.#file);
    this.#file = fresh;
    this.#deps.log.write("warn", "lease registry replaced", { path: fresh.path });
  }

  /** Runs `body` again while another process holds the file, a limited number of times. */
  async #repeated<T>(body: () => T, options: { signal: AbortSignal }): Promise<T> {
    for (let attempt = 1;; attempt++) {
      options.signal.throwIfAborted();
      if (this.#closed.signal.aborted) {
        throw new RegistryError(`use the lease registry ${this.#file.path}`, "it is closed");
      }
      try {
        return body();
      } catch (error) {
        if (!isBusy(error) || attempt === WRITE_ATTEMPTS) throw error;
      }
      await this.#pause(1 + Number(this.#deps.random() % BigInt(WRITE_PAUSE_MS)), options);
    }
  }

  #wake(): void {
    for (const wake of this.#wakes) wake();
  }

  /** Waits for `ms`, or less if this process writes or `signal` aborts. */
  async #pause(ms: number, { signal }: { signal: AbortSignal }): Promise<void> {
    const { promise: woken, resolve: wake } = Promise.withResolvers<void>();
    this.#wakes.add(wake);
    await pause(ms, { signal, woken });
    this.#wakes.delete(wake);
  }
}
