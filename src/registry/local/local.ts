import { errorText } from "../../log/error_text.ts";
import type { Prefix } from "../../model/address.ts";
import type { Lease, LeaseUpdate } from "../../model/lease.ts";
import {
  findClaims,
  type LocalClaimant,
  type OwnLease,
  readAll,
  readOwn,
  releaseLease,
  takeLease,
  tokenOf,
} from "./local_acquire.ts";
import { renewQuietly } from "./local_changes.ts";
import type { LocalFile } from "./local_file.ts";
import { LocalReader } from "./local_reader.ts";
import { SharedFile } from "./shared_file.ts";
import { Contact } from "../contact.ts";
import { LinkedAbort } from "../../loop/linked_abort.ts";
import type { LeaseFault } from "../remote_leases.ts";
import type { LocalRegistryDeps, LocalRegistryOptions } from "./local_options.ts";
import { isHeldBy, isOrphan } from "../own_lease.ts";
import { proveClaims } from "../prove_claims.ts";
import type { HeldLease, LeaseRegistry, LeaseRequest, LeavingHost, RegistryContact } from "../registry.ts";
import { isBusy, RegistryError } from "../registry_error.ts";
import { BEAT_MS, silenceMs } from "../silence.ts";

const DEFAULT_TTL_MS = 24 * 60 * 60 * 1000;
/** Changes are heard of at once; how often they are looked for besides, and where nothing is heard of. */
const HEARING_POLL_MS = 1000;
const DEAF_POLL_MS = 100;
const FRESH_MS = 50;
const FRESH_POLL_MS = 5;
/** The path is looked at this often, to see whether it still leads to the open file. */
const PATH_CHECK_MS = 1000;
/** Once a new file has taken the place of the old one, all hosts have this long to write their leases into it. */
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
  return new LocalRegistry(new SharedFile(path, deps), deps, options);
}

/** Leases in one SQLite file. The first process that notices that a lease has ended releases it. */
export class LocalRegistry implements LeaseRegistry, Disposable {
  readonly #deps: LocalRegistryDeps;
  readonly #options: LocalRegistryOptions;
  readonly #file: SharedFile;
  #faults: readonly LeaseFault[] = [];
  readonly #contact: Contact;
  /** The subnets of the lease that this process took last. */
  #lastSubnets: readonly Prefix[];
  #own: Lease | undefined;
  readonly #tokens = new Set<string>();
  readonly #living = new Set<string>();

  constructor(file: SharedFile, deps: LocalRegistryDeps, options: LocalRegistryOptions) {
    this.#file = file;
    this.#deps = deps;
    this.#contact = new Contact(deps);
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
    const look = () => this.#file.repeated((file) => findClaims(file, request, this.#claimant()), options);
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

  #claimant(): LocalClaimant {
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
    this.#file.wake();
    return lease;
  }

  async #take(request: LeaseRequest, options: { signal: AbortSignal }): Promise<Lease> {
    for (let attempt = 1; attempt <= TAKE_ATTEMPTS; attempt++) {
      await this.#file.repeatedOnCurrent(() => {}, options);
      const { own, isCertain, orphans } = await this.#find(request, options);
      const take = (file: LocalFile) => takeLease(file, request, this.#claimant(), { own, isCertain });
      const lease = await this.#file.repeatedOnCurrent(take, options);
      if (lease === undefined) continue;
      // Only now, so that this host is never without.
      for (const orphan of orphans) {
        const { host } = orphan;
        this.#deps.log.write("warn", "own subnet not kept", { host, reason: "this host holds another one" });
        await this.#file.repeated((file) => releaseLease(file, orphan), options);
      }
      return lease;
    }
    throw new RegistryError(`take a lease in ${this.#file.path}`, "the own lease changes all the time");
  }

  async isSilent(host: string, options: { signal: AbortSignal }): Promise<boolean> {
    const { nowMs, ttlMs } = this.#claimant();
    const lease = await this.#file.repeated((file) => readOwn(file, host), options);
    if (lease === undefined) return true;
    if (lease.origin === undefined || lease.expiresAtMs === undefined) return false;
    return nowMs + ttlMs - lease.expiresAtMs >= this.#silentMs;
  }

  async held(host: LeavingHost, options: { signal: AbortSignal }): Promise<readonly HeldLease[]> {
    const leases = await this.#file.repeatedOnCurrent(readAll, options);
    return leases.filter((lease) => isHeldBy(lease, host)).map((lease) => ({
      object: `lease of ${lease.host} in ${this.#file.path}`,
      release: async (options) => {
        const isReleased = await this.#file.repeatedOnCurrent((file) => releaseLease(file, lease), options);
        this.#file.wake();
        return isReleased;
      },
    }));
  }

  async *watch(options: { signal: AbortSignal }): AsyncGenerator<LeaseUpdate, void, undefined> {
    const { elapsedMs } = this.#deps;
    using abort = new LinkedAbort(options.signal);
    const { signal } = abort;
    const close = () => abort.abort();
    this.#file.closed.addEventListener("abort", close, { once: true });
    if (this.#file.closed.aborted) close();
    let file = this.#file.current;
    let reader = this.#reader();
    let checkedMs = elapsedMs();
    let rejoinedMs = -Infinity;
    let heardMs = -Infinity;
    let beatenMs = elapsedMs();
    using heard = this.#deps.watchFiles?.(this.#file.path, () => {
      heardMs = elapsedMs();
      this.#file.wake();
    });
    const pollMs = this.#options.pollMs ?? (heard === undefined ? DEAF_POLL_MS : HEARING_POLL_MS);
    while (!signal.aborted) {
      let updates: readonly LeaseUpdate[] = [];
      try {
        if (elapsedMs() - checkedMs >= PATH_CHECK_MS || this.#contact.isLost) {
          checkedMs = elapsedMs();
          this.#file.reopenIfReplaced();
        }
        if (file !== this.#file.current) {
          file = this.#file.current;
          reader = this.#reader();
          rejoinedMs = elapsedMs() + REJOIN_MS;
          updates = this.#releasedBy(file);
        } else if (elapsedMs() >= rejoinedMs) updates = reader.read();
        if (elapsedMs() - beatenMs >= (this.#options.beatMs ?? BEAT_MS)) {
          beatenMs = elapsedMs();
          this.#beat();
        }
        this.#contact.heard();
      } catch (error) {
        reader.forget();
        if (!isBusy(error)) this.#contact.lost(errorText(error));
      }
      for (const update of updates) {
        if (signal.aborted) return;
        yield update;
      }
      // A writer shows its change a moment after it has written it: what was heard of is looked at more than once.
      const isFresh = elapsedMs() - heardMs < FRESH_MS;
      await this.#file.pause(isFresh ? FRESH_POLL_MS : pollMs, { signal });
    }
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  /** That the own lease is not in a file that has taken the place of another, if so: a copy that was put back has it. */
  #releasedBy(file: LocalFile): readonly LeaseUpdate[] {
    const { host } = this;
    return host === undefined || readOwn(file, host) !== undefined ? [] : [{ kind: "released", host }];
  }

  /** Tells others that this host lives. */
  #beat(): void {
    if (this.host === undefined) return;
    renewQuietly(this.#file.current, this.host, this.#deps.now() + (this.#options.ttlMs ?? DEFAULT_TTL_MS));
  }

  #reader(): LocalReader {
    return new LocalReader(this.#file.current, {
      ...this.#deps,
      host: () => this.host,
      ttlMs: this.#options.ttlMs ?? DEFAULT_TTL_MS,
      refused: (faults) => this.#faults = faults,
    });
  }
}
