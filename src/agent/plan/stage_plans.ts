import { listDrift } from "../../reconcile/drift_words.ts";
import type { Drift } from "../../reconcile/drift.ts";
import type { ReconcilerDeps } from "../../reconcile/reconciler.ts";
import { writeUnmanagedFiles } from "../../host/unmanaged_files.ts";
import { ENI_TABLE } from "../../host/eni_path.ts";
import { formatAddress, type Ipv4 } from "../../model/address.ts";
import type { Condition } from "../../model/condition.ts";
import type { CloudPath } from "../../model/state.ts";
import type { ChangeList } from "../../model/host_plan.ts";
import type { Lease } from "../../model/lease.ts";
import { queryLink } from "../../rtnetlink/link.ts";
import type { NetlinkClient } from "../../netlink/client.ts";
import type { OpenRules } from "../open_rules.ts";
import { subnetsOf } from "../open_pods.ts";
import { type StageParts, subnetFileFor, wantedEniPath } from "../stages.ts";
import { type ActionWords, bridgeAction, wayOutAction } from "./actions.ts";
import type { DryClient, DryEthtool, DryFiles, DryLibc } from "./dry_doors.ts";

/** What a plan is made of: the very parts that a pass works with. */
export interface PlanParts
  extends
    Pick<StageParts, "context" | "known" | "underlayParts" | "leaseParts" | "pods" | "cloud" | "eniPath"> {
  readonly reconcilerDeps: ReconcilerDeps;
  readonly rules: OpenRules["plan"];
  /** Whether leftovers of vanished pods are released by the agent. */
  readonly isReleasing: boolean;
  /** Whether it is the plan of an agent that is to be started, which does some things once. */
  readonly isStart: boolean;
  /** What is known to be fought for, or to be in the way. */
  readonly conditions: () => readonly Condition[];
}

/** What a stage plans with. */
export interface StageDryRun {
  readonly parts: PlanParts;
  readonly drift: Drift;
  /** The own lease, once packets can be forwarded for it. */
  readonly own: Lease | undefined;
  readonly list: ChangeList;
  /** What a look at the cloud would change, and has found; absent where there is no cloud. */
  readonly cloud:
    | {
      readonly list: ChangeList;
      readonly path: CloudPath | "none" | undefined;
      readonly conditions: readonly Condition[];
      /** Why it could not be asked. */
      readonly fault?: string;
    }
    | undefined;
  readonly note: (sentence: string) => void;
  readonly client: NetlinkClient;
  readonly dryClient: (words: ActionWords) => DryClient;
  readonly libc: DryLibc;
  readonly ethtool: DryEthtool;
  readonly files: DryFiles;
}

/**
 * How a stage is planned: by its own code, up to what it would do; or why there is nothing to plan, a clause. A plan answers
 * with why it can't be made, a clause, if so.
 */
export type StagePlan =
  | { readonly kind: "none"; readonly why: string }
  | {
    readonly kind: "planned";
    readonly needs: "nothing" | "report" | "forwarding";
    readonly plan: (run: StageDryRun) => string | void | Promise<string | void>;
  };

const none = (why: string): StagePlan => ({ kind: "none", why });
const planned = (
  plan: (run: StageDryRun) => string | void | Promise<string | void>,
  needs: "nothing" | "report" | "forwarding" = "nothing",
): StagePlan => ({ kind: "planned", needs, plan });

/** That the cloud could not be asked. */
const UNREAD = new Set<Condition["code"]>(["cloud-not-answering", "cloud-route-missing"]);
/** So many peers that are left out are named. */
const NAMED_FAULTS = 20;

/** What is done by an agent, in its order, and how each of it is planned: once at the start, in each pass, and beside it. */
export const STAGE_PLANS: Readonly<Record<string, StagePlan>> = {
  "network managers": planned(planManagers),
  "underlay": none("it chooses what all else is built upon, and changes nothing"),
  "host settings": planned(({ parts, drift, libc, client, ethtool }) => {
    parts.leaseParts.host.dryRun({ libc, client, ethtool, created: drift.created }).settings();
  }),
  "links and tables": planned(planTables),
  "way out of pods": planned(planWayOut),
  "cloud": planned(planCloud, "report"),
  "memory": none("it gives memory back that the agent has no use for"),
  "totals": none("it counts"),
  "peers left out": none("it tells of them in the log"),
  "checksum offload and boot": planned(({ parts, drift, libc, client, ethtool }) => {
    parts.leaseParts.host.dryRun({ libc, client, ethtool, created: drift.created }).checksums();
  }, "forwarding"),
  "former state": planned(planFormer, "forwarding"),
  "ways to peers": none("it asks the kernel, and changes nothing"),
  "route truth": none("it asks the kernel, and changes nothing"),
  "rivals": none("it asks for the lease, which is the registry's"),
  "lease cache": none("it is the agent's own note"),
  "ground": none("it remembers, and changes nothing"),
  "pods' bridge and files": planned(planPods, "forwarding"),
  "service manager": none("it tells systemd that the agent is ready"),
  "rules": planned(async ({ parts, list }) => {
    const unseen = await parts.rules(list);
    return unseen.length === 0 ? undefined : unseen.join("; ");
  }),
  "leftovers": planned(({ parts }) => {
    if (parts.isReleasing) return "what vanished pods hold is told by `loden cleanup --stale --dry-run`";
  }),
};

function planManagers({ parts, files }: StageDryRun): void {
  if (!parts.isStart || !parts.context.options.writesUnmanagedFiles) return;
  writeUnmanagedFiles({
    root: "/",
    replaceFile: (path, text) => void files.keep(path, [...text].join("")),
  });
}

function planTables({ parts, drift, client, list, note }: StageDryRun): string | undefined {
  const { report } = drift;
  if (report === undefined) return whyUnknown(parts);
  listDrift(drift, (linkIndex) => queryLink(client, linkIndex)?.name, list);
  for (const sentence of report.failures) note(sentence);
  for (const { host, reason } of report.faults.slice(0, NAMED_FAULTS)) note(`${host}: ${reason}`);
  const more = report.faults.length - NAMED_FAULTS;
  if (more > 0) note(`and ${more} more hosts that are left out`);
  for (const { sentence } of report.ownTaken) note(sentence);
}

/** Why it is not known what this host must hold, a clause. */
export function whyUnknown({ leaseParts, underlayParts }: PlanParts): string {
  const { membership, leases, refusal, registry: { registry } } = leaseParts;
  const reason = refusal() ??
    (membership.own === undefined
      ? `this host has no lease: ${membership.reason ?? "it is asked for"}`
      : leases.isKnown
      ? underlayParts.underlay.reason
      : `the registry has not told who else there is: ${registry.contact.reason ?? "it is asked"}`);
  return reason ?? "it is not known what this host must hold";
}

function planWayOut({ parts, cloud, libc, dryClient }: StageDryRun): string | undefined {
  const wanted = wantedEniPath(parts, parts.cloud?.cloud.path ?? cloud?.path);
  if (wanted === "unknown") {
    return "the cloud has not told which network interface packets for pods come in by";
  }
  parts.eniPath.dryRun(wanted, { libc, client: dryClient(wayOutAction(ENI_TABLE)) });
}

function planCloud({ parts, cloud, note }: StageDryRun): string | undefined {
  if (parts.cloud === undefined) return undefined;
  if (cloud === undefined) return "it is not known what the cloud must hold";
  for (const { sentence } of cloud.conditions) note(sentence);
  const unread = cloud.conditions.find(({ code }) => UNREAD.has(code));
  return cloud.fault ?? (unread === undefined || cloud.path !== undefined ? undefined : unread.sentence);
}

function planFormer({ parts, drift, list }: StageDryRun): void {
  const { report } = drift;
  if (report === undefined || report.failureCount > 0 || report.isRemembered) return;
  const { links, nextHops } = parts.leaseParts.former.pending;
  for (const { name, kind } of links) {
    const why = "of an earlier configuration";
    list.add({ kind: "link", object: `link ${name}`, was: `type ${kind}`, why });
  }
  for (const id of nextHops) {
    list.add({ kind: "next hop", object: `nexthop id ${id}`, was: formatAddress(id as Ipv4) });
  }
}

function planPods({ parts, own, files, list, dryClient }: StageDryRun): void {
  if (own === undefined) return;
  const install = (program: string, path: string) => {
    list.add({ kind: "file", object: `file ${path}`, becomes: `a copy of ${program}` });
    return false;
  };
  const attachment = parts.underlayParts.podFiles.dryRun(subnetFileFor(own, parts), {
    fights: files,
    install,
  });
  parts.pods.dryRun(subnetsOf(own), attachment, dryClient(bridgeAction));
}
