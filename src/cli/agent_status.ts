import type { LeaseSet } from "../lease/lease_set.ts";
import type { ContestWatch } from "../lease/contest_watch.ts";
import type { Membership } from "../lease/membership.ts";
import type { LeaseRegistry } from "../lease/registry.ts";
import type { Finding } from "../model/finding.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { StatusDeps } from "../status/app.ts";
import { readiness } from "../status/health.ts";
import type { PassTotals } from "./after_pass.ts";
import type { HostKeeper } from "./host_keeper.ts";
import type { LeftoverKeeper } from "./leftover_keeper.ts";
import type { PodFiles } from "./pod_files.ts";
import type { RulesKeeper } from "./rules_keeper.ts";
import type { UnderlayFollower } from "./underlay_follower.ts";

/** Who knows how this host is. */
export interface AgentParts {
  readonly lastPass: () => PassReport | undefined;
  /** What else was found. */
  readonly findings: () => readonly Finding[];
  /** What the registry is called in messages. */
  readonly registryName: string;
  readonly registry: LeaseRegistry;
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
}

/** What the status endpoints of a member of the overlay answer from. */
export function statusOf(parts: AgentParts): StatusDeps {
  const { lastPass, registry, leases, membership, contests, underlay, podFiles } = parts;
  const { host, rules, leftovers, totals } = parts;
  return {
    health: () =>
      readiness({
        lastPass: lastPass(),
        findings: parts.findings(),
        lease: leaseOf(parts),
        isGone: (host) => contests.isSilent(host),
        underlay,
        shortfalls: underlay.current.shortfalls ?? registry.shortfalls ?? [],
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
    }),
    totals: () => totals,
    rules: () => rules.facts,
    host: () => host.report,
    pools: () => leftovers.usage(membership.own?.parts.map(({ subnet }) => subnet) ?? []),
  };
}

/** The own lease, as readiness has to know it. */
function leaseOf({ membership, refusal }: AgentParts): Parameters<typeof readiness>[0]["lease"] {
  const reason = refusal();
  return reason === undefined ? membership : { own: undefined, reason };
}
