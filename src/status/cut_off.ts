import { FAMILY_NAMES } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { PassReport } from "../reconcile/report.ts";

/** Peers that are named with their reasons where these differ. */
const NAMED_PEERS = 3;
/** Characters that are shown of what another host may have written. */
const MAX_WORDS_LENGTH = 300;

/** What it is judged by whether a host is cut off. */
export interface ReachFacts extends Pick<PassReport, "faults" | "reach" | "remoteLeases" | "otherBackends"> {
  /** The backend that this host has, as leases say it; empty for one that reaches nobody by design. */
  readonly leaseType: string;
}

/**
 * What is to be known of a host that reaches none of its peers, in all families or in one: it is not ready. One that is
 * alone is; one that is left
 * out of many is a matter of its own. Leases that claim this host's own address or subnet are no peers: their
 * hosts are judged elsewhere.
 */
export function cutOff(facts: ReachFacts): readonly Condition[] {
  const { leaseType, reach, remoteLeases, otherBackends } = facts;
  // What can't be read, or is of another network, is no peer: one such entry must not stop a host that is alone.
  if (leaseType === "" || remoteLeases === 0) return [];
  const common = reach.filter(({ peers }) => peers > 0);
  const cut = common.filter(({ reached }) => reached === 0).map(({ family }) => family);
  if (common.length > 0 && cut.length === 0) return [];
  const isInAll = cut.length === common.length;
  const ofCut = facts.faults.filter(({ family }) => isInAll || family === undefined || cut.includes(family));
  const selves = new Set(ofCut.filter(({ isSelf }) => isSelf).map(({ host }) => host));
  const faults = ofCut.filter(({ isContest, isSelf }) => !isContest && !isSelf);
  const reasons = [
    ...otherBackends.length === 0 ? [] : [
      `${
        otherBackends.join(" and ")
      }, which one of backend ${leaseType} does not reach until all have one backend`,
    ],
    ...faultReasons(faults),
  ];
  // A lease that no family is common with is left out without a word.
  if (reasons.length === 0 && common.length === 0 && remoteLeases > selves.size) {
    reasons.push("they have no address and subnet of a family that this host uses");
  }
  if (reasons.length === 0) return [];
  const where = isInAll ? "" : ` in ${cut.map((family) => FAMILY_NAMES[family]).join(" and ")}`;
  const sentence =
    `this host reaches none of the other hosts${where}, so that its pods are cut off from theirs: ` +
    reasons.join("; ");
  return [{ code: "host-cut-off", sentence }];
}

/** The cause that all share, or the first peers with theirs. */
function faultReasons(faults: ReachFacts["faults"]): string[] {
  const cut = (words: string) => words.slice(0, MAX_WORDS_LENGTH);
  const hosts = new Set(faults.map(({ host }) => host));
  const causes = new Set(faults.map(({ cause, reason }) => cause ?? reason));
  const [cause] = causes;
  if (cause === undefined) return [];
  if (causes.size === 1 && hosts.size > 1) return [`of each of ${hosts.size}: ${cut(cause)}`];
  // Both families of a host may have one reason.
  const reasons = new Map(faults.map(({ host, reason }) => [`${cut(host)}: ${cut(reason)}`, host]));
  const named = [...reasons].slice(0, NAMED_PEERS);
  const more = hosts.size - new Set(named.map(([, host]) => host)).size;
  return [...named.map(([text]) => text), ...more > 0 ? [`and ${more} more`] : []];
}
