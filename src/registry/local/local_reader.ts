import type { LeaseUpdate } from "../../model/lease.ts";
import type { LocalRegistryDeps } from "./local_options.ts";
import { nextRevision, releaseLeases } from "./local_changes.ts";
import type { LocalFile } from "./local_file.ts";
import { LEASE_COLUMNS, readLeases, ROW_FAULT } from "./local_row.ts";
import { FaultSample } from "../fault_sample.ts";
import type { LeaseFault } from "../remote_leases.ts";
import { isBusy } from "../registry_error.ts";

/** The clock is taken to have been set when it moves this much more than time has passed. */
const CLOCK_JUMP_MS = 60_000;
/** After that, and after a start, no lease is ended for so long: all hosts renew first. */
const QUIET_MS = 60_000;
/** Rows that are refused are named up to this many. */
const MAX_REFUSED = 100;

const NOTHING: readonly LeaseUpdate[] = [];

/** Whose reader it is, and who hears of rows that were left out. */
export interface LocalReaderDeps extends LocalRegistryDeps {
  /** What the own lease is called; `undefined` while there is none. */
  readonly host: () => string | undefined;
  readonly ttlMs: number;
  readonly refused: (faults: readonly LeaseFault[]) => void;
}

/** Follows one file: everything first, then what has changed since. */
export class LocalReader {
  readonly #file: LocalFile;
  readonly #deps: LocalReaderDeps;
  /** The revision that was read last; `undefined` while a snapshot is due. */
  #revision: number | undefined;
  #dataVersion: unknown;
  #writes = 0;
  #nextExpiryMs = Infinity;
  #clock: { readonly nowMs: number; readonly elapsedMs: number };
  #quietUntilMs: number;
  readonly #faults = new FaultSample();

  constructor(file: LocalFile, deps: LocalReaderDeps) {
    this.#file = file;
    this.#deps = deps;
    this.#clock = { nowMs: deps.now(), elapsedMs: deps.elapsedMs() };
    this.#quietUntilMs = this.#clock.elapsedMs + QUIET_MS;
  }

  /** Makes the next `read()` a snapshot. */
  forget(): void {
    this.#revision = undefined;
  }

  /**
   * Returns what has changed since the last call; nothing has, most of the time, and then it costs microseconds.
   * Leases that have ended are released.
   *
   * @throws {RegistryError} If the file can't be read.
   */
  read(): readonly LeaseUpdate[] {
    this.#followClock();
    if (this.#clock.nowMs >= this.#nextExpiryMs && this.#clock.elapsedMs >= this.#quietUntilMs) {
      this.#expire();
    }
    const dataVersion = this.#file.rows(this.#action, "PRAGMA data_version")[0]?.[0];
    const { writes } = this.#file;
    const isUnchanged = dataVersion === this.#dataVersion && writes === this.#writes;
    if (this.#revision !== undefined && isUnchanged) return NOTHING;
    const updates = this.#file.transaction("DEFERRED", this.#action, () => this.#changes());
    this.#dataVersion = dataVersion;
    this.#writes = writes;
    return updates;
  }

  get #action(): string {
    return `read the lease registry ${this.#file.path}`;
  }

  #changes(): readonly LeaseUpdate[] {
    const [revision = 0, oldest = 0] = this.#number("SELECT revision, oldest_revision FROM state");
    const since = this.#revision;
    if (revision === since) return NOTHING;
    this.#readNextExpiry();
    this.#revision = revision;
    if (since === undefined || since < oldest || since > revision) return this.#snapshot();
    const updates: LeaseUpdate[] = [];
    const released = this.#file.rows(this.#action, "SELECT host FROM released WHERE revision > ?", since);
    for (const [host] of released) {
      this.#note(String(host), undefined);
      updates.push({ kind: "released", host: String(host) });
    }
    const { leases, refused } = this.#leases("revision > ?", since);
    for (const lease of leases) {
      this.#note(lease.host, undefined);
      updates.push({ kind: "held", lease });
    }
    for (const [host, reason] of refused) {
      this.#note(host, reason);
      updates.push({ kind: "released", host });
    }
    this.#deps.refused(this.#faults.all);
    return updates;
  }

  #readNextExpiry(): void {
    const sql = "SELECT min(expires_at_ms) FROM lease WHERE expires_at_ms >= 0";
    this.#nextExpiryMs = this.#number(sql)[0] ?? Infinity;
  }

  #snapshot(): readonly LeaseUpdate[] {
    const { leases, refused } = this.#leases("?", 1);
    this.#faults.clear();
    for (const [host, reason] of refused) this.#note(host, reason);
    this.#deps.refused(this.#faults.all);
    return [{ kind: "snapshot", leases }];
  }

  /** Reads the leases whose rows match, and the hosts that are left out. */
  #leases(condition: string, value: number) {
    const from = `FROM lease WHERE ${condition}`;
    const bad =
      `SELECT substr(host, 1, 64), ${ROW_FAULT} ${from} AND ${ROW_FAULT} IS NOT NULL LIMIT ${MAX_REFUSED}`;
    const good = `SELECT ${LEASE_COLUMNS} ${from} AND ${ROW_FAULT} IS NULL ORDER BY host, family`;
    const rows = this.#file.rows(this.#action, good, value);
    const refused = new Map<string, string>();
    const count = this.#file.rows(this.#action, `SELECT count(*) ${from}`, value)[0]?.[0];
    // Each row is looked at a second time only where one was left out.
    for (const [host, reason] of count === rows.length ? [] : this.#file.rows(this.#action, bad, value)) {
      refused.set(String(host), String(reason));
    }
    const leases = readLeases(rows, (host, reason) => refused.set(host, reason));
    return { leases: refused.size === 0 ? leases : leases.filter(({ host }) => !refused.has(host)), refused };
  }

  #note(host: string, reason: string | undefined): void {
    this.#faults.set(host, host, reason === undefined ? undefined : `lease in the registry: ${reason}`);
  }

  #number(sql: string): (number | undefined)[] {
    const values = this.#file.rows(this.#action, sql)[0] ?? [];
    return values.map((value) => typeof value === "number" ? value : undefined);
  }

  /** Releases what has ended. A process that comes later finds nothing to do. */
  #expire(): void {
    try {
      const hosts = releaseLeases(this.#file, "expires_at_ms <= ?", this.#clock.nowMs);
      for (const host of hosts) this.#deps.log.write("info", "lease expired", { host });
      this.#readNextExpiry();
    } catch (error) {
      if (!isBusy(error)) throw error;
    }
  }

  /** Renews the own lease at once when the clock was set ahead, which ends every lease. */
  #followClock(): void {
    const { now, elapsedMs, host, ttlMs, log } = this.#deps;
    const clock = { nowMs: now(), elapsedMs: elapsedMs() };
    const aheadMs = clock.nowMs - this.#clock.nowMs - (clock.elapsedMs - this.#clock.elapsedMs);
    if (aheadMs < CLOCK_JUMP_MS) {
      this.#clock = clock;
      return;
    }
    log.write("warn", "clock set ahead", { byMs: Math.round(aheadMs) });
    this.#quietUntilMs = clock.elapsedMs + QUIET_MS;
    const action = `renew the own lease in ${this.#file.path}`;
    this.#file.transaction("IMMEDIATE", action, () => {
      const sql =
        "UPDATE lease SET expires_at_ms = ?, revision = ? WHERE host = ? AND expires_at_ms NOT NULL";
      this.#file.rows(action, sql, clock.nowMs + ttlMs, nextRevision(this.#file), host() ?? null);
    });
    this.#clock = clock;
  }
}
