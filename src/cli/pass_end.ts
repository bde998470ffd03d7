import type { LeaseSet } from "../lease/lease_set.ts";
import type { Membership } from "../lease/membership.ts";
import type { Log } from "../log/log.ts";
import type { Finding } from "../model/finding.ts";
import type { Lease } from "../model/lease.ts";
import type { PassReport } from "../reconcile/report.ts";
import { cutOff } from "../status/cut_off.ts";
import {
  followRivals,
  type MemoryKeeper,
  type PassTotals,
  rivalsIn,
  tellOfNewFaults,
  tellOfNewFindings,
} from "./after_pass.ts";
import type { LeaseCacheKeeper } from "./lease_cache_keeper.ts";

/** What comes after a pass. */
export interface PassEndDeps {
  readonly memory: MemoryKeeper;
  readonly totals: PassTotals;
  readonly membership: Membership;
  readonly leases: LeaseSet;
  readonly cacheKeeper: LeaseCacheKeeper | undefined;
  /** What the remembered leases are of. */
  readonly origin: Parameters<LeaseCacheKeeper["keepLeases"]>[2];
  /** What the leases say that this backend reaches. */
  readonly leaseType: string;
  /** Who sees to the host once a pass is over. */
  readonly keepers: readonly { readonly passed: (report: PassReport) => void }[];
  /** Called when it is other peers that are left out. */
  readonly contestsChanged: () => void;
  /** Writes what pods are started with, once packets can be forwarded. */
  readonly forwarding: (own: Lease) => void;
  readonly log: Log;
}

/** Does what comes after each pass, and knows the last one. */
export class PassEnd {
  readonly #deps: PassEndDeps;
  readonly #tellFaults: (report: PassReport) => void;
  readonly #tellReach: (findings: readonly Finding[]) => void;
  readonly #seeRivals: (report: PassReport) => void;
  #last: PassReport | undefined;

  constructor(deps: PassEndDeps) {
    const { log, membership, contestsChanged } = deps;
    this.#deps = deps;
    this.#tellFaults = tellOfNewFaults(log);
    this.#tellReach = tellOfNewFindings(log, "host cut off");
    this.#seeRivals = followRivals({ changed: contestsChanged, met: () => membership.refresh() });
  }

  /** The last pass; `undefined` before the first. */
  get last(): PassReport | undefined {
    return this.#last;
  }

  /** Who claims what this host claims, as the last pass found. */
  get rivals(): readonly string[] {
    return this.#last === undefined ? [] : rivalsIn(this.#last);
  }

  /** That nobody is reached, if so. */
  get findings(): readonly Finding[] {
    return this.#last === undefined ? [] : cutOff({ ...this.#last, leaseType: this.#deps.leaseType });
  }

  report(report: PassReport): void {
    const { memory, totals, membership, leases, cacheKeeper, origin, keepers, forwarding } = this.#deps;
    this.#last = report;
    memory.passed(report);
    totals.count(report);
    this.#tellFaults(report);
    this.#tellReach(this.findings);
    for (const keeper of keepers) keeper.passed(report);
    this.#seeRivals(report);
    const { own } = membership;
    if (!report.isForwarding || own === undefined) return;
    if (!report.isRemembered) cacheKeeper?.keepLeases(leases, () => membership.own, origin);
    forwarding(own);
  }
}
