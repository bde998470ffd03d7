import type { Finding } from "../model/finding.ts";
import type { Lease } from "../model/lease.ts";
import type { HostReport, RuleFacts } from "./app.ts";
import type { PassReport } from "../reconcile/report.ts";

/** What readiness is judged by. */
export interface HealthFacts {
  /** The last pass; `undefined` before the first. */
  readonly lastPass: PassReport | undefined;
  /** The own lease, or why there is none. */
  readonly lease: {
    readonly own: Lease | undefined;
    readonly reason: string | undefined;
    /** Why others don't reach this host, as it has moved and can't tell them. */
    readonly misplaced?: string | undefined;
    /** Who else writes it, as a clause. */
    readonly contest?: string | undefined;
  };
  /** Whether a host that claims what is this host's shows no sign of life; none is gone if absent. */
  readonly isGone?: (host: string) => boolean;
  /** Why no link carries the overlay any more. */
  readonly underlay: { readonly reason: string | undefined; readonly note?: string | undefined };
  /** Why one of two families is not as the configuration asks. */
  readonly shortfalls: readonly string[];
  /** Why what pods are started with is not in place, and what may keep the runtime from using it. */
  readonly podFiles: { readonly fault: string | undefined; readonly note: string | undefined };
  /** The host beside links, routes and rules. */
  readonly host: HostReport;
  /** The packet filter; `undefined` before the first look. */
  readonly rules: RuleFacts | undefined;
  /** Whether it is known who is in the overlay. There is no pass before it is. */
  readonly hasSnapshot: boolean;
  /** Why the registry can't be followed now; `undefined` while it can. */
  readonly contact: { readonly reason: string | undefined };
  /** What else was found; nothing if absent. */
  readonly findings?: readonly Finding[];
}

/** Whether pods can be started on this host, and what stands in the way. */
export interface Readiness {
  readonly isReady: boolean;
  /** One line each, the cause of the others first; empty when ready. */
  readonly reasons: readonly string[];
  /** What is not as it should be and stands in nobody's way yet, one line each. */
  readonly notes: readonly string[];
}

/** Of several that claim what this host claims so many are named. */
const NAMED_CONTESTS = 5;

/** Judges whether the overlay is as desired: that it once was does not count. */
export function readiness(facts: HealthFacts): Readiness {
  const { lastPass, lease, underlay, shortfalls, podFiles, host, rules, hasSnapshot, contact } = facts;
  const cause = (reason: string | undefined) => reason === undefined ? "" : `: ${reason}`;
  const unready = (...reasons: string[]) => ({ isReady: false, reasons, notes: [] });
  // Without these there is nothing else to judge.
  if (lease.own === undefined) return unready(`this host has no lease${cause(lease.reason)}`);
  if (!hasSnapshot) {
    return unready(`the registry has not said yet who is in the overlay${cause(contact.reason)}`);
  }
  if (lastPass === undefined) return unready("no pass was made yet");
  const reasons: string[] = [];
  if (underlay.reason !== undefined) reasons.push(underlay.reason);
  if (lease.misplaced !== undefined) reasons.push(lease.misplaced);
  // What others claim too they may give to the other: which of the two is reached is not for this host to see.
  if (lease.contest !== undefined) reasons.push(`this host's place is contested: ${lease.contest}`);
  const contests = lastPass.faults.filter(({ isContest }) => isContest);
  const isGone = ({ host }: { readonly host: string }) => facts.isGone?.(host) ?? false;
  for (const { host, reason } of contests.filter((one) => !isGone(one)).slice(0, NAMED_CONTESTS)) {
    reasons.push(
      `this host's place is contested by ${host}: ${reason}; one of the two has to change, or if it is gone its lease has to be removed`,
    );
  }
  if (!lastPass.isForwarding) reasons.push("the links of the overlay are not as they must be");
  const { failureCount, planned, failures } = lastPass;
  if (failureCount > 0) {
    reasons.push(`${failureCount} of ${planned} changes failed in the last pass`, ...failures);
  }
  const { prerequisites, dataPath } = host;
  const verdicts = (verdict: string) =>
    prerequisites.filter((one) => one.verdict === verdict).map(({ detail }) => detail);
  reasons.push(...verdicts("fatal"));
  if (dataPath.isAwaited && lastPass.isForwarding) {
    reasons.push(
      `no packet has come back over the overlay yet${cause(dataPath.peers.join(", ") || undefined)}`,
    );
  }
  // Without masquerading pods don't reach the outside; without the rest of the rules most hosts work.
  if (rules?.isMasquerading) reasons.push(...rules.failures);
  if (podFiles.fault !== undefined) reasons.push(podFiles.fault);
  const found = (isBlocking: boolean) =>
    (facts.findings ?? []).filter((one) => one.isBlocking === isBlocking).map(({ sentence }) => sentence);
  reasons.push(...found(true));
  // What is built stays, so these do not make a host unready.
  const notes: string[] = [];
  for (const shortfall of shortfalls) notes.push(`${shortfall}; the other family goes on without it`);
  if (underlay.note !== undefined) notes.push(underlay.note);
  if (lease.reason !== undefined) notes.push(`the lease can't be renewed: ${lease.reason}`);
  if (contact.reason !== undefined) notes.push(`the registry can't be followed: ${contact.reason}`);
  notes.push(...verdicts("degraded"));
  if (dataPath.note !== undefined) notes.push(dataPath.note);
  if (rules !== undefined) {
    notes.push(...rules.isMasquerading ? [] : rules.failures, ...rules.warnings);
  }
  if (podFiles.note !== undefined) notes.push(podFiles.note);
  for (const { host, reason } of contests.filter(isGone).slice(0, NAMED_CONTESTS)) {
    notes.push(
      `${host} claims what is this host's, and shows no sign of life; remove it if it is gone: ${reason}`,
    );
  }
  notes.push(...found(false), ...lastPass.doubts);
  for (const hosts of lastPass.otherBackends) notes.push(`${hosts}: this one does not reach them`);
  if (lastPass.isRemembered) notes.push("the peers are those that were known before the agent started");
  return { isReady: reasons.length === 0, reasons, notes };
}
