import { formatPrefix, type Prefix } from "../model/address.ts";
import type { Lease, LeasePart, LeaseUpdate } from "../model/lease.ts";
import { checkPart, isContest } from "./part_check.ts";
import { describeOrigin } from "./origin_text.ts";
import { findOverlaps, findOverlapsWith, type Holding, type Overlap, sharedAddresses } from "./overlap.ts";

/** A remote lease, or half of one, that was left out, and why. */
export interface LeaseFault {
  readonly host: string;
  readonly reason: string;
  /** Whether it claims what this host claims too: then others may leave this host out in its place. */
  readonly isContest?: true;
}

/** Everybody else: the leases that can be built upon, and those that were left out. */
export interface RemoteLeases {
  /** Those who have said the same for the longest first, then who was there first, then by host. */
  readonly leases: readonly Lease[];
  readonly faults: readonly LeaseFault[];
  /** What can't be right, and keeps nobody out: two leases that publish one address. One sentence each. */
  readonly doubts: readonly string[];
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

/** The versions in which a host began to say what it says of itself, each by itself: a new address is no new claim. */
interface Claimed {
  readonly subnets: number;
  readonly data: number;
}

/**
 * Who holds which subnet, as the registry last said. Updates that are lost, repeated or late leave no trace once
 * the next snapshot has come.
 */
export class LeaseSet {
  #leases: Map<string, Lease> | undefined;
  readonly #claimedAt = new Map<string, Claimed>();
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
    const [before, claimed] = [this.#leases?.get(host), this.#claimedAt.get(host)];
    if (before !== undefined && claimed !== undefined && isSameLease(before, lease)) return;
    const subnets = isSameParts(before, lease, isSameSubnet) ? claimed?.subnets : undefined;
    const data = isSameParts(before, lease, isSameData) ? claimed?.data : undefined;
    this.#claimedAt.set(host, { subnets: subnets ?? this.#version, data: data ?? this.#version });
  }

  /** Begins with what an earlier process knew last, until the first snapshot. */
  remember(leases: readonly Lease[]): void {
    if (this.#leases !== undefined) return;
    this.apply({ kind: "snapshot", leases });
    // They were written down in their order.
    for (const [index, { host }] of leases.entries()) {
      const at = index - leases.length;
      this.#claimedAt.set(host, { subnets: at, data: at });
    }
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

  /** The longest claims on their data first: of two hosts that claim one MAC, the newcomer is the liar. */
  #inOrder(): readonly Lease[] {
    return [...this.#leases?.values() ?? []].sort((a, b) => this.#compareClaims(a, b, "data"));
  }

  /** Negative if `a` was there first: as far as this process has seen it, then as the registry counts, then by host. */
  #compareClaims(a: Lease, b: Lease, what: keyof Claimed): number {
    const claimedAt = (host: string) => this.#claimedAt.get(host)?.[what] ?? 0;
    return claimedAt(a.host) - claimedAt(b.host) || (a.since ?? 0) - (b.since ?? 0) ||
      (a.host < b.host ? -1 : a.host > b.host ? 1 : 0);
  }

  /** Whoever has said what it says of itself for longer than `own`; everybody where that is not known yet. */
  olderThan(own: Lease | undefined): readonly Lease[] {
    const all = this.#inOrder();
    const at = all.findIndex(({ host }) => host === own?.host);
    return at < 0 ? all : all.slice(0, at);
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
    const wasFirst = (a: Lease, b: Lease) => this.#compareClaims(a, b, "subnets");
    const remote = {
      ...remoteLeases(this.#inOrder(), own, networks, wasFirst),
      isRemembered: this.#isRemembered,
    };
    this.#cached = { version: this.#version, own, networks, remote };
    return remote;
  }
}

/**
 * Leaves out what can't be: first what is wrong by itself, then claims on the own subnets and addresses, then
 * claims of two hosts on one subnet. Of these the older stands, as all hosts see it.
 */
function remoteLeases(
  all: readonly Lease[],
  own: Lease,
  networks: readonly Prefix[],
  wasFirst: (a: Lease, b: Lease) => number,
): Omit<RemoteLeases, "isRemembered"> {
  const refused = new Map<LeasePart, Refusal>();
  const holdings: Holding[] = [];
  const leases = all.filter(({ host }) => host !== own.host);
  for (const lease of leases) {
    const { parts } = lease;
    for (const part of parts) {
      const network = networks.find(({ address }) => typeof address === typeof part.subnet.address);
      if (network === undefined) continue;
      const reason = checkPart(part, { network, own, isSecond: isSecond(parts, part) });
      if (reason === undefined) holdings.push({ lease, part });
      else refused.set(part, { reason, isContest: isContest(part, own) });
    }
  }
  for (const { loser, winner } of contests(holdings, own, wasFirst)) {
    const other = `${formatPrefix(winner.part.subnet)} of ${winner.lease.host}`;
    const reason = `subnet ${formatPrefix(loser.part.subnet)} overlaps ${other}`;
    refused.set(loser.part, { reason, isContest: false });
  }
  return { ...collect(leases, networks, refused), doubts: sharedAddresses(holdings) };
}

/** Why half of a lease is left out. */
interface Refusal {
  readonly reason: string;
  readonly isContest: boolean;
}

/**
 * Decides claims of two hosts on the same addresses. A subnet as long as the own wins over any other, since hosts are
 * given subnets of one length: so a forged one, wider or narrower, shuts out nobody. Among the others the longer
 * prefix wins over the shorter one around it; of two claims on the same subnet the older stands.
 */
function contests(
  holdings: readonly Holding[],
  own: Lease,
  wasFirst: (a: Lease, b: Lease) => number,
): Overlap[] {
  const isUsual = ({ part: { subnet } }: Holding) =>
    own.parts.some(({ subnet: ours }) =>
      typeof ours.address === typeof subnet.address && ours.length === subnet.length
    );
  const usual = holdings.filter(isUsual);
  const overlaps = findOverlaps(usual, wasFirst);
  const others = holdings.filter((holding) => !isUsual(holding));
  const lost = findOverlapsWith(usual, others);
  const losers = new Set(lost.map(({ loser }) => loser));
  return [...overlaps, ...lost, ...findOverlaps(others.filter((holding) => !losers.has(holding)), wasFirst)];
}

/** What remains of each lease. */
function collect(
  leases: readonly Lease[],
  networks: readonly Prefix[],
  refused: ReadonlyMap<LeasePart, Refusal>,
): Pick<RemoteLeases, "leases" | "faults"> {
  const faults: LeaseFault[] = [];
  const left: Lease[] = [];
  const fault = ({ host, origin }: Lease, { reason, isContest }: Refusal): LeaseFault => {
    if (!isContest) return { host, reason };
    const who = describeOrigin(origin);
    return { host, reason: who === "" ? reason : `${reason}; it is ${who}`, isContest };
  };
  for (const lease of leases) {
    const inUse = lease.parts.filter(({ subnet }) =>
      networks.some(({ address }) => typeof address === typeof subnet.address)
    );
    if (inUse.length === 0) {
      const reason = `no subnet in ${networks.map(formatPrefix).join(" or ")}`;
      faults.push({ host: lease.host, reason });
    }
    for (const part of inUse) {
      const refusal = refused.get(part);
      if (refusal !== undefined) faults.push(fault(lease, refusal));
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
  return isSameSubnet(a, b) && a.underlayAddress === b.underlayAddress && isSameData(a, b);
}

function isSameSubnet(a: LeasePart, b: LeasePart): boolean {
  return a.subnet.address === b.subnet.address && a.subnet.length === b.subnet.length;
}

function isSameData(a: LeasePart, b: LeasePart): boolean {
  return a.backendData === b.backendData || JSON.stringify(a.backendData) === JSON.stringify(b.backendData);
}

function isSameParts(
  a: Lease | undefined,
  b: Lease,
  isSame: (a: LeasePart, b: LeasePart) => boolean,
): boolean {
  return a !== undefined && a.parts.length === b.parts.length &&
    a.parts.every((part, at) => isSame(part, b.parts[at]!));
}

function isSamePrefixes(a: readonly Prefix[], b: readonly Prefix[]): boolean {
  return a === b || a.length === b.length &&
      a.every(({ address, length }, at) => b[at]!.address === address && b[at]!.length === length);
}
