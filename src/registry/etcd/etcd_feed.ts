import type { Lease, LeaseUpdate } from "../../model/lease.ts";
import { FaultSample } from "../fault_sample.ts";
import type { LeaseFault } from "../remote_leases.ts";
import { Revisions } from "../revisions.ts";
import { parseSubnetKey, readEntry, shownHost } from "./etcd_format.ts";
import { type EtcdList, NAMED_STRANGERS } from "./etcd_list.ts";
import type { EtcdChange } from "./etcd_wire.ts";

/** Leases are followed up to this many: more fit into no network that a host could have routes to. */
const MAX_LEASES = 100_000;
const NO_KEY = "its key is not that of a lease, as 10.5.1.0-24";

/** What is known of the keys of leases, to be compared with what etcd has. */
export interface KnownKeys {
  /** All keys, also those that are no leases'. */
  readonly count: number;
  /** The last change of a lease that is still there; `undefined` where there is no lease. */
  readonly latest: { readonly key: string; readonly modRevision: number } | undefined;
}

/** Entries as etcd lists and streams them, read as leases. */
export class EtcdFeed {
  readonly #folder: string;
  readonly #revisions = new Revisions();
  readonly #faults = new FaultSample();
  /** Keys that are not those of leases: some are named, the others counted. */
  readonly #strangers = new Set<string>();
  #strangerCount = 0;
  #unread: EtcdList["unread"] = { count: 0, names: [] };
  #told = 0;

  /** @param folder What the keys of leases begin with, with a slash at the end. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Hosts whose entries can't be read, and why; the same array while nothing changes. */
  get faults(): readonly LeaseFault[] {
    return this.#faults.all;
  }

  /** How many changes were read; it grows with each. */
  get told(): number {
    return this.#told;
  }

  /** What is there, as far as it was told. */
  get known(): KnownKeys {
    const { size, latest } = this.#revisions;
    return {
      count: size + this.#strangerCount + this.#unread.count,
      latest: latest && { key: this.#folder + latest.name, modRevision: latest.revision },
    };
  }

  /** Whether the last change of a key was told; of what is not the key of a lease nothing is to be told. */
  isTold({ key, modRevision }: { readonly key: string; readonly modRevision: number }): boolean {
    const host = this.#hostOf(key);
    return parseSubnetKey(host) === undefined || (this.#revisions.of(host) ?? -1) >= modRevision;
  }

  /** Makes earlier states of a host's entry old news, as after a write of one's own. */
  ignoreBefore(host: string, revision: number): void {
    this.#revisions.ignoreBefore(host, revision);
  }

  /** Reads a whole list. An entry that can't be read costs its host only. */
  readAll({ entries, strangers, unread }: EtcdList): Lease[] {
    this.#told++;
    this.#faults.clear();
    this.#strangers.clear();
    for (const name of strangers.names) this.#strangers.add(name);
    this.#strangerCount = strangers.count;
    this.#unread = unread;
    this.#revisions.reset(entries.map(({ key, modRevision }) => [this.#hostOf(key), modRevision]));
    const leases = entries.flatMap((entry): Lease[] => {
      const host = this.#hostOf(entry.key);
      const reading = readEntry(host, entry);
      if ("lease" in reading) return [reading.lease];
      this.#faults.set(host, shownHost(host), reading.reason);
      return [];
    });
    this.#countOthers();
    return leases;
  }

  /** What one change says; nothing if it is old news. */
  read({ entry, isDeletion }: EtcdChange): LeaseUpdate | undefined {
    this.#told++;
    const host = this.#hostOf(entry.key);
    const { modRevision, createRevision } = entry;
    if (parseSubnetKey(host) === undefined) {
      if (isDeletion || createRevision === modRevision) this.#noteStranger(host, isDeletion);
      return undefined;
    }
    if (isDeletion) {
      if (!this.#revisions.isDeletion(host, modRevision)) return undefined;
      this.#faults.set(host, shownHost(host), undefined);
      return { kind: "released", host };
    }
    const isNew = this.#revisions.of(host) === undefined;
    if (!this.#revisions.isNews(host, modRevision)) return undefined;
    const isTooMany = isNew && this.#revisions.size > MAX_LEASES;
    const reading = isTooMany
      ? { reason: `there are more than ${MAX_LEASES} leases` }
      : readEntry(host, entry);
    this.#faults.set(host, shownHost(host), "reason" in reading ? reading.reason : undefined);
    if ("reason" in reading) return { kind: "released", host };
    return { kind: "held", lease: reading.lease };
  }

  #hostOf(key: string): string {
    return key.slice(this.#folder.length);
  }

  /** etcd tells of each key once that it was made, and once that it was deleted. */
  #noteStranger(name: string, isDeletion: boolean): void {
    this.#strangerCount = Math.max(this.#strangerCount + (isDeletion ? -1 : 1), 0);
    if (isDeletion) this.#strangers.delete(name);
    else if (this.#strangers.size < NAMED_STRANGERS) this.#strangers.add(name);
    else return this.#countOthers();
    this.#countOthers();
  }

  #countOthers(): void {
    const strangers = [...this.#strangers].map((name) => ({ host: shownHost(name), reason: NO_KEY }));
    const unread = this.#unread.names.map((name) => ({
      host: shownHost(name),
      reason: "all leases together are too large to be read",
    }));
    this.#faults.others = [
      ...strangers,
      ...more(this.#strangerCount - strangers.length, "keys", "are not those of leases"),
      ...unread,
      ...more(this.#unread.count - unread.length, "leases", "are too large together to be read"),
    ];
  }
}

/** What is said of those that are not named. */
function more(count: number, what: string, state: string): LeaseFault[] {
  if (count <= 0) return [];
  return [{ host: `${count} more ${what}`, reason: `they ${state}`, count }];
}
