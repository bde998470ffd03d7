import type { Lease, LeaseUpdate } from "../../model/lease.ts";
import type { LeaseFault } from "../remote_leases.ts";
import { Revisions } from "../revisions.ts";
import { readEntry, shownHost } from "./etcd_format.ts";
import type { EtcdChange, EtcdEntry } from "./etcd_wire.ts";

/** Entries as etcd lists and streams them, read as leases. */
export class EtcdFeed {
  readonly #folder: string;
  readonly #revisions = new Revisions();
  #faultOf = new Map<string, string>();
  #faults: readonly LeaseFault[] = [];

  /** @param folder What the keys of leases begin with, with a slash at the end. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Hosts whose entries can't be read, and why; the same array while nothing changes. */
  get faults(): readonly LeaseFault[] {
    return this.#faults;
  }

  /** Makes earlier states of a host's entry old news, as after a write of one's own. */
  ignoreBefore(host: string, revision: number): void {
    this.#revisions.ignoreBefore(host, revision);
  }

  /** Reads a whole list. An entry that can't be read costs its host only. */
  readAll(entries: readonly EtcdEntry[]): Lease[] {
    this.#faultOf = new Map();
    this.#revisions.reset(entries.map(({ key, modRevision }) => [this.#hostOf(key), modRevision]));
    const leases = entries.flatMap((entry): Lease[] => {
      const host = this.#hostOf(entry.key);
      const reading = readEntry(host, entry);
      if ("lease" in reading) return [reading.lease];
      this.#faultOf.set(host, reading.reason);
      return [];
    });
    this.#tellFaults();
    return leases;
  }

  /** What one change says; nothing if it is old news. */
  read({ entry, isDeletion }: EtcdChange): LeaseUpdate | undefined {
    const host = this.#hostOf(entry.key);
    const { modRevision } = entry;
    if (isDeletion) {
      if (!this.#revisions.isDeletion(host, modRevision)) return undefined;
      this.#setFault(host, undefined);
      return { kind: "released", host };
    }
    if (!this.#revisions.isNews(host, modRevision)) return undefined;
    const reading = readEntry(host, entry);
    this.#setFault(host, "reason" in reading ? reading.reason : undefined);
    if ("reason" in reading) return { kind: "released", host };
    return { kind: "held", lease: reading.lease };
  }

  #hostOf(key: string): string {
    return key.slice(this.#folder.length);
  }

  #setFault(host: string, reason: string | undefined): void {
    if (this.#faultOf.get(host) === reason) return;
    if (reason === undefined) this.#faultOf.delete(host);
    else this.#faultOf.set(host, reason);
    this.#tellFaults();
  }

  #tellFaults(): void {
    this.#faults = [...this.#faultOf].map(([host, reason]) => ({ host: shownHost(host), reason }));
  }
}
