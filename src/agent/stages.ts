import type { EniPathWanted } from "../host/eni_path.ts";
import { formatSubnetEnv } from "../pods/subnet_env.ts";
import type { Lease } from "../model/lease.ts";
import type { StateTables } from "../model/state.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { EniPathKeeper } from "./eni_path_keeper.ts";
import type { AgentContext, KnownConfig } from "./context.ts";
import type { LeaseParts } from "./lease_parts.ts";
import { subnetsOf } from "./open_pods.ts";
import type { Stage } from "./pass.ts";
import { logPeersLeftOut } from "./peers_left_out.ts";
import type { PodKeeper } from "./pod_keeper.ts";
import { followRivals } from "./rivals.ts";
import type { OpenCloud } from "./open_cloud.ts";
import { notifyReady } from "./sd_notify.ts";
import type { ForwardKeeper } from "./forward_keeper.ts";
import type { TruthKeeper } from "./truth_keeper.ts";
import type { UnderlayParts } from "./underlay_parts.ts";

/** What a pass works with. */
export interface StageParts {
  readonly context: AgentContext;
  readonly known: KnownConfig;
  readonly underlayParts: UnderlayParts;
  readonly leaseParts: LeaseParts;
  readonly pods: PodKeeper;
  /** Whether the rules have been made, or nobody waits for that any more: then pods can be started. */
  readonly areRulesMade: () => boolean;
  /** Compares links and tables with what is wanted, and brings them there. */
  readonly reconcile: () => PassReport | undefined;
  /** The same for what is wanted otherwise than before, and for some rows; nothing if all is to be looked at. */
  readonly reconcilePart: (rows: StateTables) => PassReport | undefined;
  readonly cloud: OpenCloud | undefined;
  readonly eniPath: EniPathKeeper;
  /** Asks the kernel whether packets take our routes, beside the passes. */
  readonly truth: TruthKeeper;
  readonly forward?: ForwardKeeper | undefined;
  /** Called when it is other peers that are left out. */
  readonly contestsChanged: () => void;
}

/** What happens in a pass, in this order. */
export function passStages(parts: StageParts): readonly Stage[] {
  const { context, known, underlayParts, leaseParts, pods } = parts;
  const { memory, totals, cacheKeeper, place, elapsedMs, libc, environment, log } = context;
  const { underlay, ground, podFiles } = underlayParts;
  const { host, former, ways, membership, leases } = leaseParts;
  const logLeftOut = logPeersLeftOut(log, elapsedMs);
  const followRival = followRivals({ changed: parts.contestsChanged, met: () => membership.refresh() });
  const origin = { registry: place.name, networkConfig: known.text };
  let isManagerTold = false;
  const after = (name: string, run: (report: PassReport) => void): Stage => ({
    name,
    needs: "report",
    run: (report) => run(report!),
  });
  // What pods are started with is written for the own lease.
  const forwarding = (name: string, run: (own: Lease, report: PassReport) => void): Stage => ({
    name,
    needs: "forwarding",
    run: (report) => {
      if (membership.own !== undefined) run(membership.own, report!);
    },
  });
  return [
    { name: "underlay", needs: "nothing", run: () => underlay.follow() },
    { name: "host settings", needs: "nothing", run: () => host.check() },
    {
      name: "links and tables",
      needs: "nothing",
      run: () => parts.reconcile(),
      runPart: (rows) => parts.reconcilePart(rows),
    },
    { name: "way out of pods", needs: "nothing", run: () => lookAtEniPath(parts) },
    after("cloud", (report) => parts.cloud?.passed(report)),
    inPart(after("memory", (report) => memory.passed(report))),
    inPart(after("totals", (report) => totals.count(report))),
    after("peers left out", (report) => logLeftOut(report)),
    after("checksum offload and boot", (report) => host.passed(report)),
    after("former state", (report) => former.passed(report)),
    inPart(after("ways to peers", () => ways.passed())),
    {
      ...after("route truth", () => {
        parts.truth.passed();
        parts.forward?.nudge();
      }),
      afterPart: () => {
        parts.truth.partPassed();
        parts.forward?.nudge();
      },
    },
    after("rivals", (report) => followRival(report)),
    inPart(forwarding("lease cache", (_, { isRemembered }) => {
      if (!isRemembered) cacheKeeper?.keepLeases(leases, () => membership.own, origin);
    })),
    forwarding("ground", () => ground.leaseUsed()),
    forwarding("pods' bridge and files", (own) => {
      const files = podFiles.prepare(subnetFileFor(own, parts));
      try {
        // The bridge is right before a pod is started by the new files.
        pods.keep(subnetsOf(own));
      } finally {
        // As with flannel, the subnet file comes behind all else: who waits for it starts pods.
        if (parts.areRulesMade()) podFiles.write(files);
      }
    }),
    forwarding("service manager", () => {
      if (isManagerTold || !parts.areRulesMade()) return;
      isManagerTold = notifyReady(libc, environment["NOTIFY_SOCKET"]);
    }),
  ];
}

/** A stage that follows from a change of single rows too. */
function inPart(stage: Stage): Stage {
  return { ...stage, afterPart: (report) => void stage.run(report) };
}

/** Sees to the way out by the network interface of a cloud; what is not known yet is no reason to remove it. */
function lookAtEniPath(parts: StageParts): void {
  const wanted = wantedEniPath(parts);
  if (wanted !== "unknown") parts.eniPath.look(wanted);
}

/** What the way out by the network interface of a cloud is to be; `undefined` where there is to be none. */
export function wantedEniPath(
  { cloud, known, underlayParts, leaseParts }: Pick<
    StageParts,
    "cloud" | "known" | "underlayParts" | "leaseParts"
  >,
  path = cloud?.cloud.path,
): EniPathWanted | undefined | "unknown" {
  if (cloud === undefined) return undefined;
  const own = leaseParts.usable();
  if (path === undefined || own === undefined) return "unknown";
  if (path === "none") return undefined;
  return {
    ...path,
    mtuBytes: leaseParts.backend.overlayMtuBytes(underlayParts.underlay.current),
    own: subnetsOf(own),
    networks: known.config.families.map(({ network }) => network),
  };
}

/** What the subnet file says of a lease. */
export function subnetFileFor(
  lease: Lease,
  { context, known, underlayParts, leaseParts }: Pick<
    StageParts,
    "context" | "known" | "underlayParts" | "leaseParts"
  >,
): string {
  return formatSubnetEnv({
    networks: known.config.families.map(({ network }) => network),
    lease,
    mtuBytes: leaseParts.backend.overlayMtuBytes(underlayParts.underlay.current),
    masquerade: context.options.masquerade,
  });
}
