import type { LeaseFault } from "./remote_leases.ts";

/** Hosts that are named at a time; the others are counted. */
export const NAMED_FAULTS = 100;

/**
 * The hosts whose entries can't be read, and why. A change costs the same however many there are: the list is made when
 * it is asked for, and has some of them.
 */
export class FaultSample {
  readonly #reasons = new Map<string, { readonly host: string; readonly reason: string }>();
  #others: readonly LeaseFault[] = [];
  #all: readonly LeaseFault[] | undefined = [];

  /** The first of them, and how many more there are; the same array while nothing changes. */
  get all(): readonly LeaseFault[] {
    if (this.#all !== undefined) return this.#all;
    const named: LeaseFault[] = [];
    for (const fault of this.#reasons.values()) {
      if (named.length === NAMED_FAULTS) break;
      named.push(fault);
    }
    const count = this.#reasons.size - named.length;
    if (count > 0) named.push({ host: `${count} more hosts`, reason: "their entries can't be read", count });
    return this.#all = [...named, ...this.#others];
  }

  /** Names a host as `host`, or says that its entry is in order, where there is no reason. */
  set(id: string, host: string, reason: string | undefined): void {
    const before = this.#reasons.get(id);
    if (before?.reason === reason) return;
    if (reason === undefined) this.#reasons.delete(id);
    else this.#reasons.set(id, { host, reason });
    this.#all = undefined;
  }

  /** What else is wrong, behind the hosts. */
  set others(faults: readonly LeaseFault[]) {
    this.#others = faults;
    this.#all = undefined;
  }

  clear(): void {
    this.#reasons.clear();
    this.#all = undefined;
  }
}
