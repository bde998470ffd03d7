import type { Log } from "../log/log.ts";
import { formatAddress, formatPrefix } from "../model/address.ts";
import type { Lease, LeaseUpdate } from "../model/lease.ts";
import { isSameLease, type LeaseSet } from "./lease_set.ts";
import { LONGEST_TIMER_MS, pause } from "./pause.ts";
import type { LeaseRegistry, LeaseRequest } from "./registry.ts";

/** A lease that could not be had is asked for again after this long, doubled each time. */
const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 30_000;
/** A lease is renewed at least this long after it was taken, whatever the margin says. */
const SHORTEST_RENEWAL_MS = 1000;

/** What membership needs of the world. */
export interface MembershipDeps {
  readonly registry: Pick<LeaseRegistry, "host" | "previous" | "acquire" | "watch">;
  /** The own lease as it was when the process last ran; it is built upon until the registry gives one. */
  readonly remembered?: Lease | undefined;
  readonly leases: LeaseSet;
  /** What this host asks for now; it changes with the underlay. */
  readonly request: (previous: Lease | undefined) => LeaseRequest;
  /** Called when the own lease or anybody else's has changed. */
  readonly changed: () => void;
  readonly now: () => number;
  readonly log: Log;
}

/** This host's place in the overlay: holds its lease, and follows everybody else's. */
export class Membership {
  readonly #deps: MembershipDeps;
  readonly #renewMarginMs: number;
  #own: Lease | undefined;
  #reason: string | undefined = "no lease was asked for yet";
  #wake = Promise.withResolvers<void>();
  /** Settled once the lease was asked for, whatever came of it. */
  readonly #asked = Promise.withResolvers<void>();

  constructor(deps: MembershipDeps, options: { renewMarginMs: number }) {
    this.#deps = deps;
    this.#renewMarginMs = options.renewMarginMs;
    this.#own = deps.remembered;
  }

  /** The lease of this host; `undefined` while it has none. */
  get own(): Lease | undefined {
    return this.#own;
  }

  /** Why the lease is not to be had, as a sentence; `undefined` once it was given. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** Asks for the lease anew: what this host publishes has changed, or somebody took the lease. */
  refresh(): void {
    this.#wake.resolve();
  }

  /** Acquires the lease and renews it before it ends, until `signal` aborts. A failure is tried again. */
  async hold(options: { signal: AbortSignal }): Promise<void> {
    const { signal } = options;
    let retryMs = FIRST_RETRY_MS;
    let previous = await this.#previous({ signal }) ?? this.#own;
    while (!signal.aborted) {
      this.#wake = Promise.withResolvers<void>();
      let waitMs: number;
      try {
        const lease = await this.#deps.registry.acquire(this.#deps.request(previous), { signal });
        this.#accept(lease);
        previous = lease;
        retryMs = FIRST_RETRY_MS;
        waitMs = this.#untilRenewalMs(lease);
      } catch (error) {
        if (signal.aborted) break;
        this.#reason = error instanceof Error ? error.message : String(error);
        this.#deps.log.write("warn", "lease not acquired", { reason: this.#reason, retryInMs: retryMs });
        waitMs = retryMs;
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
      }
      this.#asked.resolve();
      // Not at all if `refresh()` was called since the request was made.
      await pause(waitMs, { signal, woken: this.#wake.promise });
    }
    this.#asked.resolve();
  }

  /**
   * Follows everybody's leases until `signal` aborts. It begins when `hold()` has asked for the own lease once, so
   * that the first snapshot has it.
   */
  async follow(options: { signal: AbortSignal }): Promise<void> {
    await this.#asked.promise;
    for await (const update of this.#deps.registry.watch(options)) {
      const hasChanged = this.#deps.leases.apply(update);
      this.#compareOwn(update);
      if (hasChanged) this.#deps.changed();
    }
  }

  /** Asks for the own lease again when the registry has it no more, or otherwise than it was taken. */
  #compareOwn(update: LeaseUpdate): void {
    const own = this.#own;
    const host = own?.host ?? this.#deps.registry.host;
    if (host === undefined) return;
    if (update.kind === "held" && update.lease.host !== host) return;
    if (update.kind === "released" && update.host !== host) return;
    const seen = update.kind === "held"
      ? update.lease
      : update.kind === "snapshot"
      ? update.leases.find((lease) => lease.host === host)
      : undefined;
    if (seen === undefined ? own === undefined : isSameLease(own, seen)) return;
    if (own !== undefined) {
      this.#deps.log.write("warn", seen === undefined ? "own lease was gone" : "own lease was changed", {
        host,
      });
    }
    this.refresh();
  }

  async #previous(options: { signal: AbortSignal }): Promise<Lease | undefined> {
    try {
      return await this.#deps.registry.previous(options);
    } catch (error) {
      this.#deps.log.write("warn", "previous lease not read", { reason: String(error) });
      return undefined;
    }
  }

  #accept(lease: Lease): void {
    const before = this.#own;
    this.#own = lease;
    this.#reason = undefined;
    if (isSameLease(before, lease)) return;
    this.#deps.log.write("info", "lease acquired", facts(lease));
    this.#deps.changed();
  }

  #untilRenewalMs(lease: Lease): number {
    if (lease.expiresAtMs === undefined) return LONGEST_TIMER_MS;
    const leftMs = lease.expiresAtMs - this.#deps.now();
    return Math.min(Math.max(leftMs - this.#renewMarginMs, SHORTEST_RENEWAL_MS), LONGEST_TIMER_MS);
  }
}

function facts({ host, parts }: Lease): Record<string, unknown> {
  return {
    host,
    subnets: parts.map(({ subnet }) => formatPrefix(subnet)),
    underlayAddresses: parts.map(({ underlayAddress }) => formatAddress(underlayAddress)),
  };
}
