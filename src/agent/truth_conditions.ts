import { type Family, FAMILY_NAMES, familyOf, formatPrefix, type Prefix } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { PassReport } from "../reconcile/report.ts";

/** Peers that are named with their reasons where these differ. */
const NAMED_PEERS = 3;

/** A subnet whose packets don't get on. */
export interface PeerTruth {
  /** Whose it is; empty where too many have a reason. */
  readonly host: string;
  readonly subnet: Prefix;
  /** Whether that is so of all of its packets. */
  readonly isWhole: boolean;
  /** What is in the way, and what to run: a clause. */
  readonly reason: string;
}

/** What is judged. */
export interface TruthFacts {
  /** Peers whose packets don't get on. */
  readonly peers: readonly PeerTruth[];
  /** Subnets of this host whose packets don't get to its pods. */
  readonly own: readonly PeerTruth[];
  /** How many peers have a subnet of each family. */
  readonly counts: ReadonlyMap<Family, number>;
  /** What the pass says already. */
  readonly pass: Pick<PassReport, "faults" | "reach" | "ownTaken">;
  /** The families in which the kernel has no way to any peer, as is said already. */
  readonly cutFamilies: ReadonlySet<Family>;
}

/** A host whose packets don't get on, and why. */
type Unreached = Pick<PeerTruth, "host" | "reason"> & { readonly subnet?: Prefix };

/** What is to be known of what the kernel does with packets, as far as nobody else says it. */
export function truthConditions(facts: TruthFacts): readonly Condition[] {
  const { peers, own, counts, pass, cutFamilies } = facts;
  const families = [...counts.keys()].filter((family) => (counts.get(family) ?? 0) > 0);
  const of = (family: Family) => peers.filter(({ subnet }) => familyOf(subnet.address) === family);
  const faultOf = ({ host, subnet }: PeerTruth) =>
    pass.faults.find((fault) =>
      fault.host === host && (fault.family === undefined || fault.family === familyOf(subnet.address))
    );
  // The kernel was asked for some addresses: of a route of the table main the pass knows how much it takes.
  const isWhole = (peer: PeerTruth) => peer.isWhole && faultOf(peer)?.taken !== "part";
  const isCut = (family: Family) => of(family).filter(isWhole).length === counts.get(family);
  // Where no peer is reached by the pass's own account, or there is no way to any, that has been said.
  const isSaid = (family: Family) =>
    cutFamilies.has(family) ||
    pass.reach.some((one) => one.family === family && one.peers > 0 && one.reached === 0);
  const cut = families.filter((family) => isCut(family) && !isSaid(family));
  const rest = families.filter((family) => !cut.includes(family) && !isSaid(family));
  const taken = pass.faults.filter(({ taken, family }) => taken && family && rest.includes(family));
  const others: Unreached[] = [...taken, ...rest.flatMap(of).filter((peer) => faultOf(peer) === undefined)];
  const total = families.filter((family) => !cut.includes(family)).reduce(
    (sum, family) => Math.max(sum, counts.get(family)!),
    0,
  );
  return [
    ...cutOffBy(cut, families, of),
    ...others.length === 0 ? [] : [misrouted(others, total)],
    ...own.filter(({ subnet }) => !isOwnSaid(subnet, pass.ownTaken)).map(takenOf),
  ];
}

function cutOffBy(
  cut: readonly Family[],
  families: readonly Family[],
  of: (family: Family) => readonly PeerTruth[],
): Condition[] {
  const [first] = cut;
  if (first === undefined) return [];
  const where = cut.length === families.length
    ? ""
    : ` in ${cut.map((family) => FAMILY_NAMES[family]).join(" and ")}`;
  const [peer] = of(first);
  const more = of(first).length - 1;
  return [{
    code: "host-cut-off",
    sentence:
      `this host reaches none of the other hosts${where}, so that its pods are cut off from theirs: ` +
      `of ${peer!.host}: ${peer!.reason}${
        more > 0 ? `; the ${more === 1 ? "other" : `${more} others`} likewise` : ""
      }`,
  }];
}

/** Those whose reasons are the same but for their own subnets count as one. */
function misrouted(peers: readonly Unreached[], total: number): Condition {
  const hosts = new Set(peers.map(({ host, subnet }) => host || (subnet && formatPrefix(subnet))));
  const named = peers.slice(0, NAMED_PEERS).map(({ host, reason }) => `${host}: ${reason}`);
  const more = hosts.size - new Set(peers.slice(0, NAMED_PEERS).map(({ host }) => host)).size;
  return {
    code: "peers-misrouted",
    sentence: `packets for pods of ${hosts.size} of ${total} other hosts don't get on: ${
      [...named, ...more > 0 ? [`and ${more} more`] : []].join("; ")
    }`,
  };
}

function isOwnSaid(subnet: Prefix, ownTaken: PassReport["ownTaken"]): boolean {
  return ownTaken.some(({ sentence }) => sentence.includes(formatPrefix(subnet)));
}

function takenOf({ subnet, isWhole, reason }: PeerTruth): Condition {
  const what = `this host's own subnet ${formatPrefix(subnet)}`;
  return isWhole
    ? { code: "own-subnet-taken", sentence: `${what} is not reached from other hosts: ${reason}` }
    : {
      code: "own-subnet-partly-taken",
      sentence: `a part of ${what} is not reached from other hosts: ${reason}`,
    };
}
