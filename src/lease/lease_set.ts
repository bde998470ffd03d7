import { formatPrefix, type Prefix } from "../model/address.ts";
import type { Lease, LeasePart, LeaseUpdate } from "../model/lease.ts";
import { checkPart } from "./part_check.ts";
import { findOverlaps, findOverlapsWith, type Holding, type Overlap } from "./overlap.ts";

/** A remote lease, or half of one, that was left out, and why. */
export interface LeaseFault {
  readonly host: string;
  readonly reason: string;
}

/** Everybody else: the leases that can be built upon, and those that were left out. */
export interface RemoteLeases {
  /** Those who have said the same for the longest first, then by host. */
  readonly leases: readonly Lease[];
  readonly faults: readonly LeaseFault[];
  /** Whether they are from an earlier process, and the registry has not said yet what has changed since. */
  readonly isRemembered: boolean;
}

/** Leases with the same parts are the same to this host; their end times are not its concern. */
interface Cached {
  readonly version: number;
  readonly own: Lease;
  readonly networks: readonly Prefix[];
  readonly remote: RemoteLeases;
}

/**
 * Who holds which subnet, as the registry last said. Updates that are lost, repeated or late leave no trace once
 * the next snapshot has come.
 */
export class LeaseSet {
  #leases: Map<string, Lease> | undefined;
  /** The version in which each host's lease became what it is. */
  readonly #claimedAt = new Map<string, number>();
  #isRemembered = false;
  #version = 0;
  #cached: Cached | undefined;

  /**
   * Folds an update in. Until the first snapshot nothing is known, and a change to the unknown is nothing.
   *
   * @returns Whether it changed anything but end times.
   */
  apply(update: LeaseUpdate): boolean {
    const before = this.#version;
    if (update.kind === "snapshot") {
      const leases = new Map(update.leases.map((lease) => [lease.host, lease]));
      if (this.#leases === undefined || this.#isRemembered || !isSameSet(this.#leases, leases)) {
        this.#version++;
      }
      for (const [host, lease] of leases) this.#noteClaim(host, lease);
      for (const host of this.#claimedAt.keys()) if (!leases.has(host)) this.#claimedAt.delete(host);
      this.#leases = leases;
      this.#isRemembered = false;
    } else if (this.#leases === undefined || this.#isRemembered) {
      return false;
    } else if (update.kind === "held") {
      const { host } = update.lease;
      if (!isSameLease(this.#leases.get(host), update.lease)) this.#version++;
      this.#noteClaim(host, update.lease);
      this.#leases.set(host, update.lease);
    } else if (this.#leases.delete(update.host)) {
      this.#claimedAt.delete(update.host);
      this.#version++;
    }
    return this.#version !== before;
  }

  /** Whoever says something new stands behind those who have said the same for longer. */
  #noteClaim(host: string, lease: Lease): void {
    if (!isSameLease(this.#leases?.get(host), lease)) this.#claimedAt.set(host, this.#version);
  }

  /** Begins with what an earlier process knew last, until the first snapshot. */
  remember(leases: readonly Lease[]): void {
    if (this.#leases !== undefined) return;
    this.apply({ kind: "snapshot", leases });
    // They were written down in their order.
    for (const [at, { host }] of leases.entries()) this.#claimedAt.set(host, at - leases.length);
    this.#isRemembered = true;
  }

  /** Another number after each change that is more than an end time. */
  get version(): number {
    return this.#version;
  }

  /** Whether it is known who is in the overlay, from the registry or from an earlier process. */
  get isKnown(): boolean {
    return this.#leases !== undefined;
  }

  /** Every lease, the own one too, as the registry said last; `undefined` before the first snapshot. */
  get all(): readonly Lease[] | undefined {
    return this.#leases && this.#inOrder();
  }

  /** The longest claims first, then by host: of two hosts that claim one MAC, the newcomer is the liar. */
  #inOrder(): readonly Lease[] {
    const claimedAt = (host: string) => this.#claimedAt.get(host) ?? 0;
    return [...this.#leases?.values() ?? []].sort((a, b) =>
      claimedAt(a.host) - claimedAt(b.host) || (a.host < b.host ? -1 : a.host > b.host ? 1 : 0)
    );
  }

  /** The lease of `host` as the registry knows it. */
  of(host: string): Lease | undefined {
    return this.#leases?.get(host);
  }

  /**
   * Everybody but `own`, checked against each other and against `own`; `undefined` before the first snapshot. The
   * same object for as long as nothing but end times has changed.
   *
   * @param networks The cluster networks; halves of leases in another family are of no use here.
   */
  remote(own: Lease, networks: readonly Prefix[]): RemoteLeases | undefined {
    if (this.#leases === undefined) return undefined;
    const cached = this.#cached;
    if (
      cached?.version === this.#version && isSameLease(cached.own, own) &&
      isSamePrefixes(cached.networks, networks)
    ) return cached.remote;
    const remote = { ...remoteLeases(this.#inOrder(), own, networks), isRemembered: this.#isRemembered };
    this.#cached = { version: this.#version, own, networks, remote };
    return remote;
  }
}

/**
 * Leaves out what can't be: first what is wrong by itself, then claims on the own subnets and addresses, then
 * claims of two hosts on one subnet. What wins depends on the set alone, so all hosts agree.
 */
function remoteLeases(
  all: readonly Lease[],
  own: Lease,
  networks: readonly Prefix[],
): Omit<RemoteLeases, "isRemembered"> {
  const refused = new Map<LeasePart, string>();
  const holdings: Holding[] = [];
  const leases = all.filter(({ host }) => host !== own.host);
  for (const { host, parts } of leases) {
    for (const part of parts) {
      const network = networks.find(({ address }) => typeof address === typeof part.subnet.address);
      if (network === undefined) continue;
      const reason = checkPart(part, { network, own, isSecond: isSecond(parts, part) });
      if (reason !== undefined) refused.set(part, reason);
      else holdings.push({ host, part });
    }
  }
  for (const { loser, winner } of contests(holdings, own)) {
    const other = `${formatPrefix(winner.part.subnet)} of ${winner.host}`;
    refused.set(loser.part, `subnet ${formatPrefix(loser.part.subnet)} overlaps ${other}`);
  }
  return collect(leases, networks, refused);
}

/**
 * Decides claims of two hosts on the same addresses. A subnet as long as the own wins over any other, since hosts are
 * given subnets of one length: so a forged one, wider or narrower, shuts out nobody. Among the others the longer
 * prefix wins over the shorter one around it; else the first by subnet and host.
 */
function contests(holdings: readonly Holding[], own: Lease): Overlap[] {
  const isUsual = ({ part: { subnet } }: Holding) =>
    own.parts.some(({ subnet: ours }) =>
      typeof ours.address === typeof subnet.address && ours.length === subnet.length
    );
  const usual = holdings.filter(isUsual);
  const overlaps = findOverlaps(usual);
  const others = holdings.filter((holding) => !isUsual(holding));
  const lost = findOverlapsWith(usual, others);
  const losers = new Set(lost.map(({ loser }) => loser));
  return [...overlaps, ...lost, ...findOverlaps(others.filter((holding) => !losers.has(holding)))];
}

/** What remains of each lease. */
function collect(
  leases: readonly Lease[],
  networks: readonly Prefix[],
  refused: ReadonlyMap<LeasePart, string>,
): Omit<RemoteLeases, "isRemembered"> {
  const faults: LeaseFault[] = [];
  const left: Lease[] = [];
  for (const lease of leases) {
    const inUse = lease.parts.filter(({ subnet }) =>
      networks.some(({ address }) => typeof address === typeof subnet.address)
    );
    if (inUse.length === 0) {
      const reason = `no subnet in ${networks.map(formatPrefix).join(" or ")}`;
      faults.push({ host: lease.host, reason });
    }
    for (const part of inUse) {
      const reason = refused.get(part);
      if (reason !== undefined) faults.push({ host: lease.host, reason });
    }
    const parts = inUse.filter((part) => !refused.has(part));
    if (parts.length === lease.parts.length && parts.length > 0) left.push(lease);
    else if (parts.length > 0) left.push({ ...lease, parts });
  }
  return { leases: left, faults };
}

/** Whether a part of the same family stands before `part`. */
function isSecond(parts: readonly LeasePart[], part: LeasePart): boolean {
  return parts.find(({ subnet }) => typeof subnet.address === typeof part.subnet.address) !== part;
}

function isSameSet(a: ReadonlyMap<string, Lease>, b: ReadonlyMap<string, Lease>): boolean {
  if (a.size !== b.size) return false;
  for (const [host, lease] of b) if (!isSameLease(a.get(host), lease)) return false;
  return true;
}

/** Compares all but the end time. */
export function isSameLease(a: Lease | undefined, b: Lease): boolean {
  if (a === b) return true;
  return a !== undefined && a.host === b.host && a.backendType === b.backendType &&
    a.parts.length === b.parts.length && a.parts.every((part, at) => isSamePart(part, b.parts[at]!));
}

function isSamePart(a: LeasePart, b: LeasePart): boolean {
  return a.subnet.address === b.subnet.address && a.subnet.length === b.subnet.length &&
    a.underlayAddress === b.underlayAddress &&
    (a.backendData === b.backendData || JSON.stringify(a.backendData) === JSON.stringify(b.backendData));
}

function isSamePrefixes(a: readonly Prefix[], b: readonly Prefix[]): boolean {
  return a === b || a.length === b.length &&
      a.every(({ address, length }, at) => b[at]!.address === address && b[at]!.length === length);
}
