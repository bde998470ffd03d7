import { errorText } from "../log/error_text.ts";
import type { Log } from "../log/log.ts";
import { formatAddress, formatPrefix } from "../model/address.ts";
import type { Lease, LeaseUpdate } from "../model/lease.ts";
import { ContestedError } from "./registry_error.ts";
import { Damper, FIGHT } from "../loop/damper.ts";
import { isSameLease, type LeaseSet } from "./lease_set.ts";
import { describeOrigin, isSameOrigin } from "./origin_text.ts";
import { LONGEST_TIMER_MS, pause } from "../loop/pause.ts";
import { Trigger } from "../loop/trigger.ts";
import { inTurns } from "../loop/worker.ts";
import type { LeaseRegistry, LeaseRequest } from "./registry.ts";

/** A lease that could not be had is asked for again after this long, doubled each time. */
const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 30_000;
/** A lease is renewed at least this long after it was taken, even with a longer margin. */
const SHORTEST_RENEWAL_MS = 1000;
/** An own lease that others rewrite is put back at once this often in a minute: each time all hosts hear of it. */
const FREE_TURNS = 3;
/** So often in a minute a person may edit the own lease; what does it more often is a host. */
const MISTAKES = 1;
/** A lease that no other host has written for this long is no longer contested. */
const CONTEST_MS = 90_000;

/** What membership needs of the world. */
export interface MembershipDeps {
  readonly registry: Pick<LeaseRegistry, "host" | "previous" | "acquire" | "watch">;
  /** The own lease as it was when the process last ran; it is built upon until the registry gives one. */
  readonly remembered?: Lease | undefined;
  readonly leases: LeaseSet;
  /** What this host asks for now; it changes with the underlay. */
  readonly request: (previous: Lease | undefined) => LeaseRequest;
  /** Called when the own lease has changed, or when all leases were told of anew. */
  readonly changed: () => void;
  /** Called when another host's lease has changed; `changed` is if absent. */
  readonly otherChanged?: () => void;
  readonly now: () => number;
  /** Milliseconds of a monotonic clock. */
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/** This host's place in the overlay: holds its lease, and follows those of the others. */
export class Membership {
  readonly #deps: MembershipDeps;
  readonly #renewMarginMs: number;
  #own: Lease | undefined;
  #reason: string | undefined = "it is looked for in the registry";
  readonly #trigger = new Trigger();
  /** Settled once the lease was asked for, had or not. */
  readonly #asked = Promise.withResolvers<void>();
  readonly #damper: Damper;
  /** Slows what this host publishes itself, as while its address comes and goes: each time all hosts hear of it. */
  readonly #moves: Damper;
  /** What was asked for last, and what was last had. */
  #asks: LeaseRequest | undefined;
  #accepted: LeaseRequest | undefined;
  /** Who has the own lease in the registry in this host's place, as a sentence, for as long as that is so. */
  #holder: string | undefined;
  /** Whether the registry has last told of no own lease. */
  #isGone = false;
  #contest: { readonly reason: string; readonly atMs: number } | undefined;

  constructor(deps: MembershipDeps, options: { renewMarginMs: number }) {
    this.#deps = deps;
    this.#renewMarginMs = options.renewMarginMs;
    this.#own = deps.remembered;
    this.#damper = new Damper({ ...FIGHT, freeTurns: FREE_TURNS }, deps.elapsedMs);
    this.#moves = new Damper(FIGHT, deps.elapsedMs);
  }

  /** The lease of this host; `undefined` while it has none. */
  get own(): Lease | undefined {
    return this.#own;
  }

  /** Why the lease is not to be had, as a sentence; `undefined` once it was given. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** That the registry has the own lease no more, and does not take it again, as a sentence; `undefined` if it has it. */
  get gone(): string | undefined {
    return this.#isGone && this.#reason !== undefined
      ? `the registry has no lease of this host any more, so that others have no way to it, and it can't be ` +
        `written again: ${this.#reason}`
      : undefined;
  }

  /** Which other host writes the own lease, as a sentence; `undefined` while none does. */
  get contest(): string | undefined {
    if (this.#holder !== undefined) return this.#holder;
    const contest = this.#contest;
    return contest !== undefined && this.#deps.elapsedMs() - contest.atMs < CONTEST_MS
      ? contest.reason
      : undefined;
  }

  /** Where others still send to although this host is elsewhere, as a sentence; `undefined` if all is as it asks. */
  get misplaced(): string | undefined {
    // An operator may have others send elsewhere than the host asks for: only what has changed since counts.
    const told = this.#accepted ?? (this.#deps.registry.host === undefined ? this.#own : undefined);
    const asks = this.#asks;
    if (told === undefined || asks === undefined) return undefined;
    const moved = told.parts.flatMap(({ underlayAddress: old }) => {
      const now = asks.parts.find(({ underlayAddress }) => typeof underlayAddress === typeof old)
        ?.underlayAddress;
      return now === undefined || now === old ? [] : [[old, now].map(formatAddress)];
    });
    if (moved.length === 0) return undefined;
    const places = moved.map(([old, now]) => `this host is at ${now}, and others send to ${old}`).join("; ");
    const why = this.#reason ??
      (this.#moves.isFight ? "that is every 30 s only, as it has changed again and again" : undefined);
    return `${places}, until the lease is renewed${why === undefined ? "" : `: ${why}`}`;
  }

  /** Asks for the lease again at once if it could not be had: the registry answers again. */
  retry(): void {
    if (this.#reason !== undefined) this.refresh();
  }

  /** Asks for the lease anew: what this host publishes has changed, or another host took the lease. */
  refresh(): void {
    this.#trigger.nudge();
  }

  /** Acquires the lease and renews it before it ends, until `signal` aborts. A failure is tried again. */
  async hold(options: { signal: AbortSignal }): Promise<void> {
    const { signal } = options;
    let previous = await this.#previous({ signal }) ?? this.#own;
    let periodMs = LAST_RETRY_MS;
    const ask = async () => {
      await pause(this.#damper.waitMs, { signal });
      await this.#settleMoves(previous, { signal });
      if (signal.aborted) return;
      this.#trigger.clear();
      const lease = await this.#ask(previous, { signal });
      previous = lease ?? previous;
      periodMs = lease === undefined ? LAST_RETRY_MS : this.#untilRenewalMs(lease);
      this.#asked.resolve();
      return lease !== undefined;
    };
    await inTurns(ask, { trigger: this.#trigger, periodMs: () => periodMs, retryMs: FIRST_RETRY_MS })({
      signal,
    });
    this.#asked.resolve();
  }

  /** Waits while what this host publishes comes and goes. What the others don't know yet is told of meanwhile. */
  async #settleMoves(previous: Lease | undefined, { signal }: { signal: AbortSignal }): Promise<void> {
    while (this.#moves.waitMs > 0 && !signal.aborted) {
      this.#asks = this.#deps.request(previous);
      try {
        await this.#trigger.next(this.#moves.waitMs, { signal });
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    }
  }

  /** Asks for the lease once; `undefined` if it is not to be had. */
  async #ask(previous: Lease | undefined, { signal }: { signal: AbortSignal }): Promise<Lease | undefined> {
    try {
      const asks = this.#asks = this.#deps.request(previous);
      const lease = await this.#deps.registry.acquire(asks, { signal });
      this.#accepted = asks;
      this.#accept(lease);
      return lease;
    } catch (error) {
      if (signal.aborted) return undefined;
      if (error instanceof ContestedError) this.#contested(error.message);
      this.#reason = errorText(error);
      return undefined;
    }
  }

  /**
   * Follows all leases until `signal` aborts. It begins when `hold()` has asked for the own lease once, so
   * that the first snapshot has it.
   */
  async follow(options: { signal: AbortSignal }): Promise<void> {
    await this.#asked.promise;
    for await (const update of this.#deps.registry.watch(options)) {
      const hasChanged = this.#deps.leases.apply(update);
      this.#compareOwn(update);
      if (!hasChanged) continue;
      const { changed, otherChanged = changed } = this.#deps;
      if (this.#isOther(update)) otherChanged();
      else changed();
    }
  }

  /** Whether an update is about another host alone. */
  #isOther(update: LeaseUpdate): boolean {
    if (update.kind === "snapshot") return false;
    const host = update.kind === "held" ? update.lease.host : update.host;
    return host !== (this.#own?.host ?? this.#deps.registry.host);
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
    this.#isGone = seen === undefined;
    if (seen === undefined || isSameLease(own, seen)) this.#holder = undefined;
    if (seen === undefined ? own === undefined : isSameLease(own, seen)) return;
    // The watch may tell of an own write before the answer to it has come.
    if (own !== undefined && !(seen !== undefined && this.#isAsked(seen))) this.#lost(own, seen);
    this.refresh();
  }

  /** Whether a lease publishes what this host asked for last. */
  #isAsked({ parts }: Lease): boolean {
    const asks = this.#asks?.parts ?? [];
    return parts.length === asks.length &&
      parts.every(({ underlayAddress, backendData }, at) =>
        underlayAddress === asks[at]!.underlayAddress &&
        JSON.stringify(backendData) === JSON.stringify(asks[at]!.backendData)
      );
  }

  /** The own lease was written or deleted by another process. */
  #lost(own: Lease, seen: Lease | undefined): void {
    const { host } = own;
    this.#damper.turn();
    const retryInMs = this.#damper.waitMs;
    if (seen === undefined) {
      this.#deps.log.write("warn", "own lease was gone", { host, retryInMs });
      if (retryInMs > 0) {
        this.#holder =
          `the lease ${host} of this host is deleted again and again, and others lose their way to this host ` +
          "each time; find what does that";
      }
      return;
    }
    const by = describeOrigin(seen.origin) || describeParts(seen);
    this.#deps.log.write("warn", "own lease was changed", { host, by, retryInMs });
    // What another process of this host has written is its own too, and what it wrote with another MAC.
    const isOwn = [own.origin, this.#asks?.origin].some((ours) => isSameOrigin(ours, seen.origin));
    const isForeign = seen.origin !== undefined && !isOwn;
    // Once it may be a person's mistake; who says who it is, or comes again, is a host.
    const reason = `the lease ${host} of this host is written by another host too: ${by}`;
    this.#holder = isOwn ? undefined : reason;
    if (isForeign || this.#damper.turns > MISTAKES) {
      this.#contested(reason);
    }
  }

  #contested(reason: string): void {
    this.#contest = { reason, atMs: this.#deps.elapsedMs() };
  }

  async #previous(options: { signal: AbortSignal }): Promise<Lease | undefined> {
    try {
      return await this.#deps.registry.previous(this.#deps.request(undefined), options);
    } catch (error) {
      this.#deps.log.write("warn", "previous lease not read", { reason: String(error) });
      return undefined;
    }
  }

  #accept(lease: Lease): void {
    const before = this.#own;
    this.#own = lease;
    this.#reason = undefined;
    this.#isGone = false;
    this.#holder = undefined;
    if (before !== undefined && before.host !== lease.host) this.#contest = undefined;
    if (isSameLease(before, lease)) {
      this.#deps.log.write("debug", "lease renewed", facts(lease));
      return;
    }
    if (before !== undefined) this.#moves.turn();
    this.#deps.log.write("info", "lease acquired", facts(lease));
    this.#deps.changed();
  }

  #untilRenewalMs(lease: Lease): number {
    if (lease.expiresAtMs === undefined) return LONGEST_TIMER_MS;
    const leftMs = lease.expiresAtMs - this.#deps.now();
    return Math.min(Math.max(leftMs - this.#renewMarginMs, SHORTEST_RENEWAL_MS), LONGEST_TIMER_MS);
  }
}

function describeParts({ parts }: Lease): string {
  return parts.map(({ underlayAddress }) => formatAddress(underlayAddress)).join(" and ");
}

function facts({ host, parts, expiresAtMs }: Lease): Record<string, unknown> {
  return {
    host,
    subnets: parts.map(({ subnet }) => formatPrefix(subnet)),
    underlayAddresses: parts.map(({ underlayAddress }) => formatAddress(underlayAddress)),
    ...expiresAtMs !== undefined && { expiresAt: new Date(expiresAtMs).toISOString() },
  };
}
