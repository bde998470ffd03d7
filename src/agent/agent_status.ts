import { printable } from "../log/printable.ts";
import type { LeaseSet } from "../registry/lease_set.ts";
import type { ContestWatch } from "../registry/contest_watch.ts";
import type { Membership } from "../registry/membership.ts";
import type { LeaseRegistry } from "../registry/registry.ts";
import { type Condition, isReady, sentencesOf } from "../model/condition.ts";
import type { Announced } from "../registry/kube/kube_announcer.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { AgentFacts, LinkFigures, OverlayFacts } from "../status/facts.ts";
import { conditionsOf } from "../status/health.ts";
import type { Cloud } from "../cloud/cloud.ts";
import type { Backend } from "../overlay/backend/backend.ts";
import type { HostKeeper } from "./host_keeper.ts";
import type { LeftoverKeeper } from "./leftover_keeper.ts";
import type { OpenPaths } from "./open_paths.ts";
import type { PassTotals } from "./pass_totals.ts";
import type { PodFiles } from "./pod_files.ts";
import type { RulesKeeper } from "./rules_keeper.ts";
import type { TruthKeeper } from "./truth_keeper.ts";
import type { UnderlayFollower } from "./underlay_follower.ts";

/** Who knows how this host is. */
export interface AgentParts {
  readonly lastPass: () => PassReport | undefined;
  /** What else was found. */
  readonly conditions: () => readonly Condition[];
  /** What the registry is called in messages. */
  readonly registryName: string;
  readonly registry: LeaseRegistry;
  readonly backend: Backend;
  readonly leases: LeaseSet;
  readonly membership: Membership;
  /** Why nothing may be made for the lease that it has. */
  readonly refusal: () => string | undefined;
  readonly contests: ContestWatch;
  readonly underlay: UnderlayFollower;
  readonly podFiles: PodFiles;
  readonly host: HostKeeper;
  readonly rules: RulesKeeper;
  readonly leftovers: LeftoverKeeper;
  readonly totals: PassTotals;
  readonly cloud: Cloud | undefined;
  readonly truth: Pick<TruthKeeper, "peers">;
  readonly links: () => readonly LinkFigures[];
  readonly plan: NonNullable<AgentFacts["plan"]>;
  /** What probes find; absent where nobody probes. */
  readonly paths: OpenPaths | undefined;
}

/** What the status endpoints of a member of the overlay answer from. */
export function factsOf(parts: AgentParts): AgentFacts {
  const { lastPass, registry, leases, membership, contests, underlay, podFiles } = parts;
  const { host, rules, leftovers, totals } = parts;
  return {
    conditions: () =>
      conditionsOf({
        lastPass: lastPass(),
        conditions: parts.conditions(),
        lease: leaseOf(parts),
        isGone: (host) => contests.isSilent(host),
        underlay,
        shortfalls: underlay.current.shortfalls ?? registry.shortfalls ?? [],
        families: underlay.usable.addresses.map(({ family }) => family),
        podFiles,
        host: host.report,
        rules: rules.facts,
        contact: registry.contact,
        hasSnapshot: leases.isKnown,
      }),
    lastPass,
    underlay: () => underlay.current,
    ownLease: () => membership.own,
    registry: () => ({
      name: parts.registryName,
      heardAtMs: registry.contact.heardAtMs,
      reason: registry.contact.reason,
      reconnects: registry.contact.reconnects ?? 0,
    }),
    totals: () => totals,
    links: parts.links,
    rules: () => rules.facts,
    host: () => host.report,
    peerTruth: () => parts.truth.peers,
    cloud: () => parts.cloud?.report,
    ...pathFacts(parts.paths),
    overlay: () => overlayOf(parts),
    plan: parts.plan,
    pools: () => leftovers.usage(membership.own?.parts.map(({ subnet }) => subnet) ?? []),
  };
}

function pathFacts(paths: OpenPaths | undefined): Pick<AgentFacts, "paths" | "askPeer"> {
  if (paths === undefined) return {};
  const { prober } = paths;
  return { paths: () => prober.report, askPeer: (host) => prober.askPeer(host) };
}

function overlayOf({ backend, underlay, leases }: AgentParts): OverlayFacts {
  return {
    backend: backend.type,
    carriage: backend.carriage,
    leaseType: backend.leaseType,
    mtuBytes: backend.overlayMtuBytes(underlay.current),
    leases: leases.unordered,
  };
}

/** The own lease, as readiness has to know it. */
function leaseOf({ membership, refusal }: AgentParts): Parameters<typeof conditionsOf>[0]["lease"] {
  const reason = refusal();
  return reason === undefined ? membership : { own: undefined, reason };
}

/** What is announced to the cluster of these conditions. */
export function announced(conditions: readonly Condition[]): Announced {
  return {
    isReady: isReady(conditions),
    reasons: sentencesOf("blocking", conditions).map((one) => printable(one)),
    alerts: conditions.filter(({ code }) => code === "pods-of-old-subnet").map(({ sentence }) =>
      printable(sentence)
    ),
  };
}
