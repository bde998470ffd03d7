import { formatPrefix, type Prefix } from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";
import { describeOrigin } from "./origin_text.ts";
import {
  findOverlaps,
  findOverlapsWith,
  type Overlap,
  sharedAddresses,
  type SubnetClaim,
} from "./overlap.ts";
import { checkPart, isContest } from "./part_check.ts";

/** A remote lease, or a part of one, that was left out, and why. */
export interface LeaseFault {
  readonly host: string;
  readonly reason: string;
  /** Whether it claims what this host claims too: then others may leave this host out in its place. */
  readonly isContest?: true;
  /** How many hosts it stands for, where they are too many to be named; one if absent. */
  readonly count?: number;
}

/** The other hosts: the leases that can be built upon, and those that were left out. */
export interface RemoteLeases {
  /** Those who have said the same for the longest first, then who was there first, then by host. */
  readonly leases: readonly Lease[];
  readonly faults: readonly LeaseFault[];
  /** What can't be right, and leaves no lease out: two leases that publish one address. One sentence each. */
  readonly doubts: readonly string[];
  /** Whether they are from an earlier process, and the registry has not said yet what has changed since. */
  readonly isRemembered: boolean;
  /** Another number, and a larger one, for each answer. */
  readonly serial: number;
}

/**
 * Leaves out what can't be: first what is wrong by itself, then claims on the own subnets and addresses, then
 * claims of two hosts on one subnet. Of these the older stands, as all hosts see it.
 */
export function remoteLeases(
  all: readonly Lease[],
  own: Lease,
  networks: readonly Prefix[],
  wasFirst: (a: Lease, b: Lease) => number,
): Omit<RemoteLeases, "isRemembered" | "serial"> {
  const refused = new Map<LeasePart, Refusal>();
  const claims: SubnetClaim[] = [];
  const leases = all.filter(({ host }) => host !== own.host);
  for (const lease of leases) {
    const { parts } = lease;
    for (const part of parts) {
      const network = networks.find(({ address }) => typeof address === typeof part.subnet.address);
      if (network === undefined) continue;
      const reason = checkPart(part, { network, own, isSecond: isSecond(parts, part) });
      if (reason === undefined) claims.push({ lease, part });
      else refused.set(part, { reason, isContest: isContest(part, own) });
    }
  }
  for (const { loser, winner } of contests(claims, own, wasFirst)) {
    const other = `${formatPrefix(winner.part.subnet)} of ${winner.lease.host}`;
    const reason = `subnet ${formatPrefix(loser.part.subnet)} overlaps ${other}`;
    refused.set(loser.part, { reason, isContest: false });
  }
  return { ...collect(leases, networks, refused), doubts: sharedAddresses(claims) };
}

/** Why a part of a lease is left out. */
interface Refusal {
  readonly reason: string;
  readonly isContest: boolean;
}

/**
 * Decides claims of two hosts on the same addresses. A subnet as long as the own wins over any other, since hosts are
 * given subnets of one length: so a forged one, wider or narrower, shuts out no host. Among the others the longer
 * prefix wins over the shorter one around it; of two claims on the same subnet the older stands.
 */
function contests(
  claims: readonly SubnetClaim[],
  own: Lease,
  wasFirst: (a: Lease, b: Lease) => number,
): Overlap[] {
  const isUsual = ({ part: { subnet } }: SubnetClaim) =>
    own.parts.some(({ subnet: ours }) =>
      typeof ours.address === typeof subnet.address && ours.length === subnet.length
    );
  const usual = claims.filter(isUsual);
  const overlaps = findOverlaps(usual, wasFirst);
  const others = claims.filter((claim) => !isUsual(claim));
  const lost = findOverlapsWith(usual, others);
  const losers = new Set(lost.map(({ loser }) => loser));
  return [...overlaps, ...lost, ...findOverlaps(others.filter((claim) => !losers.has(claim)), wasFirst)];
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
