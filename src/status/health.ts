import type { HostReport, RuleFacts } from "./facts.ts";
import type { Condition, ConditionCode } from "../model/condition.ts";
import { type Family, FAMILY_NAMES } from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
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
    readonly gone?: string | undefined;
    /** Who else writes it, as a clause. */
    readonly contest?: string | undefined;
  };
  /** Whether a host that claims what is this host's shows no sign of life; none is gone if absent. */
  readonly isGone?: (host: string) => boolean;
  /** Why no link carries the overlay any more. */
  readonly underlay: { readonly reason: string | undefined; readonly note?: string | undefined };
  /** Why one of two families is not as the configuration asks. */
  readonly shortfalls: readonly string[];
  /** The families that this host can take part with, as the underlay has them. */
  readonly families: readonly Family[];
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
  readonly conditions?: readonly Condition[];
}

/** Of several that claim what this host claims so many are named. */
const NAMED_CONTESTS = 5;

/** Judges whether the overlay is as desired, the cause of other conditions first: that it once was does not count. */
export function conditionsOf(facts: HealthFacts): readonly Condition[] {
  const { lastPass, lease, hasSnapshot, contact } = facts;
  // Without these there is nothing else to judge.
  if (lease.own === undefined) {
    return [{ code: "lease-missing", sentence: `this host has no lease${because(lease.reason)}` }];
  }
  if (!hasSnapshot) {
    const sentence = `the registry has not said yet who is in the overlay${because(contact.reason)}`;
    return [{ code: "registry-silent", sentence }];
  }
  if (lastPass === undefined) return [{ code: "pass-missing", sentence: "no pass was made yet" }];
  const isGone = ({ host }: { readonly host: string }) => facts.isGone?.(host) ?? false;
  const contests = lastPass.faults.filter(({ isContest }) => isContest);
  return [
    ...placeConditions(facts, contests.filter((one) => !isGone(one))),
    ...passConditions(lastPass),
    ...hostConditions(facts, lastPass),
    ...goesOnConditions(facts, contests.filter(isGone)),
    ...facts.conditions ?? [],
    ...peerConditions(lastPass),
  ];
}

/** Where this host stands in the overlay, and who else claims that. */
function placeConditions({ underlay, lease }: HealthFacts, contests: PassReport["faults"]): Condition[] {
  return [
    ...some("underlay-missing", underlay.reason),
    ...some("lease-gone", lease.gone),
    ...some("lease-misplaced", lease.misplaced),
    // What others claim too they may give to the other: which of the two is reached is not for this host to see.
    ...some("lease-contested", lease.contest && `this host's place is contested: ${lease.contest}`),
    ...contests.slice(0, NAMED_CONTESTS).flatMap(({ host, reason }) =>
      some(
        "place-contested",
        `this host's place is contested by ${host}: ${reason}; one of the two has to change, or if it is gone its lease has to be removed`,
      )
    ),
  ];
}

/** Refusals of the kernel that are named: of more they are of one kind, as a rule. */
const NAMED_FAILURES = 3;

/**
 * What the last pass could not make. How many changes failed is said elsewhere: it is another number in each pass, and
 * would make a new sentence of it.
 */
function passConditions({ isForwarding, failureCount, failures, fights }: PassReport): Condition[] {
  // While a link is fought over, it is as it must be now and then: who fights is what counts.
  const isMissing = !isForwarding && !fights.some(({ code }) => code === "link-fought");
  return [
    ...fights,
    ...some("links-missing", isMissing ? "the links of the overlay are not as they must be" : undefined),
    ...some("changes-failed", failureCount === 0 ? undefined : failureText(failures)),
  ];
}

function failureText(failures: readonly string[]): string {
  const named = failures.slice(0, NAMED_FAILURES).join("; ");
  const others = failures.length > NAMED_FAILURES ? "; and others, which /status lists" : "";
  return `changes of the last pass failed: ${named}${others}`;
}

/** What the host lacks beside links and tables. */
function hostConditions(
  { host, rules, podFiles, underlay, shortfalls, families }: HealthFacts,
  pass: PassReport,
): Condition[] {
  const { prerequisites, checksums, dataPath } = host;
  const ofVerdict = (verdict: string, code: ConditionCode) =>
    prerequisites.filter((one) => one.verdict === verdict && !one.isFought).flatMap(({ detail }) =>
      some(code, detail)
    );
  const isUnproved = dataPath.isAwaited && pass.isForwarding;
  const unproved = `no packet has come back over the overlay yet${
    because(dataPath.peers.join(", ") || undefined)
  }`;
  // Without masquerading pods don't reach the outside; without the rest of the rules most hosts work.
  const missing = rules?.isMasquerading ? "masquerade-missing" : "rules-missing";
  return [
    ...ofVerdict("fatal", "prerequisite-missing"),
    ...(rules?.dropped ?? []).flatMap((sentence) => some("overlay-port-dropped", sentence)),
    ...some("data-path-unproved", isUnproved ? unproved : undefined),
    ...(rules?.failures ?? []).flatMap((sentence) => some(missing, sentence)),
    ...some("pod-files-missing", podFiles.fault),
    ...(shortfalls.length > 0 ? shortfalls : notMadeYet(families, pass)).flatMap((one) =>
      some("family-missing", `${one}; the other family goes on without it`)
    ),
    ...some("underlay-doubtful", underlay.note),
    ...ofVerdict("degraded", "prerequisite-degraded"),
    ...prerequisites.filter(({ isFought }) => isFought).flatMap(({ detail }) => some("state-fought", detail)),
    ...checksums.flatMap(({ fight }) => some("state-fought", fight)),
    ...checksums.flatMap(({ linkName, fault }) =>
      some("checksum-not-set", fault && `checksum offload of ${linkName} is not as chosen: ${fault}`)
    ),
    ...some("data-path-unanswered", dataPath.note),
    ...(rules?.warnings ?? []).flatMap((sentence) => some("rules-overruled", sentence)),
    ...some("conflist-shadowed", podFiles.note),
  ];
}

/** What goes on although the registry, or who claims what is this host's, is away: what is built stays. */
function goesOnConditions({ lease, contact }: HealthFacts, silent: PassReport["faults"]): Condition[] {
  return [
    ...some("lease-not-renewed", lease.reason && `the lease can't be renewed: ${lease.reason}`),
    ...some("registry-not-followed", contact.reason && `the registry can't be followed: ${contact.reason}`),
    ...silent.slice(0, NAMED_CONTESTS).flatMap(({ host, reason }) =>
      some(
        "contester-silent",
        `${host} claims what is this host's, and shows no sign of life; remove it if it is gone: ${reason}`,
      )
    ),
  ];
}

/** What is to be known of the other hosts. */
function peerConditions({ doubts, otherBackends, isRemembered }: PassReport): Condition[] {
  return [
    ...doubts.flatMap((sentence) => some("underlay-address-shared", sentence)),
    ...otherBackends.flatMap((hosts) => some("other-backend", `${hosts}: this one does not reach them`)),
    ...some(
      "peers-remembered",
      isRemembered ? "the peers are those that were known before the agent started" : undefined,
    ),
  ];
}

/** The families that are there again, or at last, and that no pass has made state for yet. */
function notMadeYet(families: readonly Family[], pass: PassReport): string[] {
  return families.filter((family) => !pass.families.includes(family))
    .map((family) => `${FAMILY_NAMES[family]} is being made`);
}

/** A condition, if there is something to say. */
function some(code: ConditionCode, sentence: string | undefined): Condition[] {
  return sentence === undefined ? [] : [{ code, sentence }];
}

function because(reason: string | undefined): string {
  return reason === undefined ? "" : `: ${reason}`;
}
