import { BackOff } from "../../loop/back_off.ts";
import { LinkedAbort } from "../../loop/linked_abort.ts";
import { Trigger } from "../../loop/trigger.ts";
import type { Log } from "../../log/log.ts";
import type { Condition } from "../../model/condition.ts";
import type { LeaseUpdate } from "../../model/lease.ts";
import type { Contact } from "../contact.ts";
import { LeftConnectionError } from "../http/http_door.ts";
import { OtherClusterError } from "./etcd_client.ts";
import { EtcdClusters } from "./etcd_clusters.ts";
import { type EtcdList, listLeases } from "./etcd_list.ts";
import { type Followed, isContinued, isDeaf } from "./etcd_proof.ts";
import { isAway, reasonOf, TurnedAwayError } from "./etcd_reason.ts";
import type { EtcdHeader, EtcdPiece } from "./etcd_wire.ts";

/** What the watch says is compared with what is there this often, and up to half more. */
const PROOF_MS = 10 * 60 * 1000;
/** A change is told this long after it was made at the latest. */
const GRACE_MS = 5000;
/** Why a watch is ended that has lasted so long. */
const RELIST = new Error("all leases are read again");

/** etcd is no longer what it was: all leases are read again. */
class ContradictionError extends Error {}

/** What following needs. */
export interface EtcdFollowerDeps extends Followed {
  readonly contact: Contact;
  /** The etcd lease that this host lives by, if it has one. */
  readonly token: () => string | undefined;
  /** All leases, if they were read a moment ago. */
  readonly kept: () => EtcdList | undefined;
  readonly elapsedMs: () => number;
  /** A number from 0 to less than 1. */
  readonly random: () => number;
  readonly log: Log;
}

/** How often what is done beside the watch. */
export interface EtcdFollowerPace {
  readonly beatMs: number;
  readonly relistMs: number;
  readonly proofMs?: number;
}

/** Follows all leases in one etcd, and notices when that is no longer what was told. */
export class EtcdFollower {
  readonly #deps: EtcdFollowerDeps;
  readonly #pace: EtcdFollowerPace;
  readonly #clusters: EtcdClusters;
  readonly #backOff: BackOff;
  /** All changes up to this revision were told; `undefined` while all is to be read. */
  #reached: number | undefined;
  /** Whether the watch was interrupted: etcd may be another one by now. */
  #isTorn = false;
  #relistAtMs = 0;
  /** What an answer has said that can't be. */
  #doubt: string | undefined;
  readonly #doubted = new Trigger();
  /** The member that watches. */
  #watched: string | undefined;

  constructor(deps: EtcdFollowerDeps, pace: EtcdFollowerPace) {
    this.#deps = deps;
    this.#pace = pace;
    this.#clusters = new EtcdClusters(deps.elapsedMs);
    this.#backOff = new BackOff({ random: deps.random });
  }

  get conditions(): readonly Condition[] {
    return this.#clusters.conditions;
  }

  /** Yields updates until `signal` aborts. */
  async *watch({ signal }: { readonly signal: AbortSignal }): AsyncGenerator<LeaseUpdate, void, undefined> {
    const { client } = this.#deps;
    client.heard = (header) => this.#note(header);
    while (!signal.aborted) {
      using ended = new LinkedAbort(signal);
      const beat = this.#beat(ended);
      try {
        yield* this.#follow(ended);
      } catch (error) {
        if (signal.aborted) return;
        this.#interrupted(ended.signal.aborted ? ended.signal.reason : error);
      } finally {
        this.#watched = undefined;
        ended.abort();
        await beat;
      }
      await this.#backOff.pause({ signal });
    }
  }

  /** Yields what there is, and what changes, until that is interrupted. */
  async *#follow(ended: LinkedAbort): AsyncGenerator<LeaseUpdate, void, undefined> {
    const { client, folder, feed, contact, elapsedMs, random } = this.#deps;
    if (this.#reached !== undefined && this.#isTorn) await this.#prove("the watch was interrupted", ended);
    if (this.#reached === undefined) {
      const isExpected = (clusterId: string) => this.#clusters.mayFollow(clusterId);
      const list = this.#deps.kept() ??
        await listLeases(client, folder, { signal: ended.signal, isExpected });
      this.#accept(list.header);
      const leases = feed.readAll(list);
      this.#relistAtMs = elapsedMs() + this.#pace.relistMs * (1 + random() / 2);
      yield { kind: "snapshot", leases };
      this.#reached = list.header.revision;
    }
    this.#isTorn = false;
    ended.limit(this.#relistAtMs - elapsedMs(), RELIST);
    this.#watched = client.endpoint;
    for await (const piece of client.watch(folder, this.#reached + 1, ended)) {
      await this.#weigh(piece, ended);
      contact.heard();
      if (piece.changes.length > 0) this.#backOff.reset();
      for (const change of piece.changes) {
        // The same is told twice where a watch was resumed.
        if (change.entry.modRevision <= this.#reached) continue;
        const update = feed.read(change);
        if (update !== undefined) yield update;
      }
      // Only now is it known.
      this.#reached = Math.max(this.#reached, piece.revision);
    }
    // What was to be resumed is no longer known there.
    throw new ContradictionError("the changes since were compacted");
  }

  /** Looks at whether a piece of the watch can follow what was told. A member may be behind the others for a while. */
  async #weigh({ header, changes }: EtcdPiece, ended: LinkedAbort): Promise<void> {
    const reached = this.#reached!;
    const first = changes[0]?.entry.modRevision ?? header.revision;
    if (header.revision >= reached && first >= reached) return;
    await this.#prove(
      `the watch is at revision ${Math.min(header.revision, first)}, before ${reached}`,
      ended,
    );
    if (this.#reached === undefined) throw new ContradictionError();
  }

  /** Looks at whether etcd still has the history that was told; if not, all is to be read. */
  async #prove(why: string, { signal }: { readonly signal: AbortSignal }): Promise<boolean> {
    const reached = this.#reached;
    if (reached === undefined) return false;
    try {
      if (await isContinued(this.#deps, reached, { signal })) return true;
    } catch (error) {
      if (!(error instanceof OtherClusterError) || !this.#clusters.mayFollow(error.clusterId)) throw error;
    }
    this.#deps.log.write("warn", "registry has another history", { reason: why });
    this.#reached = undefined;
    return false;
  }

  #accept({ clusterId }: EtcdHeader): void {
    const { client, log } = this.#deps;
    const before = this.#clusters.follow(clusterId);
    if (before !== undefined) log.write("warn", "registry is another cluster", { before, now: clusterId });
    client.clusterId = this.#clusters.current;
    this.#doubt = undefined;
  }

  /** An answer has come, to whatever was asked. */
  #note({ clusterId, revision }: EtcdHeader): void {
    const isKnown = this.#clusters.heard(clusterId, this.#deps.client.endpoint);
    const reached = this.#reached;
    if (reached === undefined || isKnown && revision >= reached) return;
    this.#doubt = isKnown
      ? `an answer is of revision ${revision}, before ${reached}`
      : `an answer is of cluster ${clusterId}`;
    if (this.#watched !== undefined) this.#doubted.nudge();
  }

  #interrupted(cause: unknown): void {
    const { client, contact } = this.#deps;
    this.#isTorn = true;
    const isElsewhere = cause instanceof OtherClusterError && this.#clusters.mayFollow(cause.clusterId);
    if (cause === RELIST || cause instanceof ContradictionError || isElsewhere) {
      this.#reached = undefined;
      return;
    }
    if (cause instanceof LeftConnectionError) return this.#backOff.reset();
    contact.lost(reasonOf(cause, client.endpoint));
    if (isAway(cause) && !(cause instanceof TurnedAwayError)) client.turnAway();
  }

  /** Asks etcd at intervals whether it is there and what it was, and ends the watch when it is not. */
  async #beat(ended: LinkedAbort): Promise<void> {
    const { elapsedMs, random } = this.#deps;
    const { beatMs, proofMs = PROOF_MS } = this.#pace;
    let proofAtMs = elapsedMs() + proofMs * (1 + random() / 2);
    try {
      for (;;) {
        await this.#doubted.next(beatMs, ended);
        const isProofDue = elapsedMs() >= proofAtMs;
        if (isProofDue) proofAtMs = elapsedMs() + proofMs * (1 + random() / 2);
        await this.#look(isProofDue, ended);
      }
    } catch (error) {
      if (!ended.signal.aborted) ended.abort(error);
    }
  }

  async #look(isProofDue: boolean, ended: LinkedAbort): Promise<void> {
    const { client, contact } = this.#deps;
    const { signal } = ended;
    const watched = this.#watched;
    let isAlive: boolean;
    try {
      isAlive = await this.#ask(signal);
    } catch (error) {
      // While all leases are read, over a line that they fill, that decides.
      if (this.#watched === undefined) return;
      throw error;
    }
    const { endpoint } = client;
    // The one that answers may not be the one that watches.
    if (watched !== undefined && watched !== endpoint) throw new TurnedAwayError(watched, endpoint);
    if (watched === undefined) return;
    const doubt = this.#doubt;
    this.#doubt = undefined;
    this.#doubted.clear();
    if (doubt !== undefined && !await this.#prove(doubt, ended)) throw new ContradictionError(doubt);
    // Of a lease that has ended the watch tells.
    if (isProofDue || !isAlive) {
      const graceMs = Math.min(GRACE_MS, this.#pace.beatMs);
      if (await isDeaf(this.#deps, { graceMs, signal })) throw new ContradictionError("the watch is deaf");
    }
    contact.heard();
    this.#backOff.reset();
  }

  /** Asks whether etcd is there, by a sign of life of this host; whether the own lease lives. */
  async #ask(signal: AbortSignal): Promise<boolean> {
    const { client, folder, token: tokenOf } = this.#deps;
    const token = tokenOf();
    // No watch hears of it; a host that asks for the age of the lease does.
    if (token !== undefined) return await client.keepAlive(token, { signal }) > 0;
    await client.range(folder, { signal, isCount: true });
    return true;
  }
}
