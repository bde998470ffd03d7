import { NetlinkSocket } from "../../netlink/socket.ts";
import { NetlinkClient } from "../../netlink/client.ts";
import { LinkedAbort } from "../../loop/linked_abort.ts";
import { errorText } from "../../log/error_text.ts";
import {
  ChangeList,
  type HostPlan,
  LISTED_CHANGES,
  type PlannedChange,
  type PlannedStage,
} from "../../model/host_plan.ts";
import { type Drift, observeDrift } from "../../reconcile/drift.ts";
import type { Condition } from "../../model/condition.ts";
import { DryClient, DryEthtool, DryFiles, DryLibc } from "./dry_doors.ts";
import { type PlanParts, STAGE_PLANS, type StageDryRun, type StagePlan, whyUnknown } from "./stage_plans.ts";

/** How a plan is asked for. */
export interface PlanAsked {
  /** Who says it. */
  readonly source: string;
  /** Whether every change is listed, or the first of each stage. */
  readonly isWhole: boolean;
}

/** What is told of where it stands: what other programs undo, which may be left for a while. */
const NOTED = new Set<Condition["code"]>(["state-fought", "link-fought"]);

/**
 * What the agent would do now: every stage of a pass and each loop beside it, by their own code, with doors that write down.
 * Nothing is changed, learnt or remembered by it. What the kernel holds is looked at without a pause, so that no pass of this
 * process comes in between; rules of the packet filter are looked at after that.
 */
export async function planHost(parts: PlanParts, { source, isWhole }: PlanAsked): Promise<HostPlan> {
  using stack = new DisposableStack();
  const { libc } = parts.context;
  const socket = stack.use(NetlinkSocket.open(libc));
  const client = new NetlinkClient(socket);
  // Of the lists that the doors write to, that of the stage whose turn it is counts.
  let list = new ChangeList(0);
  const changes = { add: (change: PlannedChange) => list.add(change) };
  // First what has to be waited for: after it, the kernel's part is looked at as of one moment.
  const cloud = await lookAtCloud(parts, isWhole);
  const drift = observe(parts);
  const dryLibc = stack.use(new DryLibc(changes, drift.created));
  const doors = {
    client,
    libc: dryLibc,
    ethtool: new DryEthtool(libc, socket.fd, changes, drift.created),
    files: new DryFiles(changes),
    dryClient: (words: Parameters<StageDryRun["dryClient"]>[0]) =>
      new DryClient(socket, (action) => {
        const change = words(action);
        if (change !== undefined) changes.add(change);
      }),
  };
  const stages: PlannedStage[] = [];
  for (const [stage, plan] of Object.entries(STAGE_PLANS)) {
    if (plan.kind === "none") continue;
    list = new ChangeList(isWhole ? Infinity : LISTED_CHANGES);
    const notes: string[] = [];
    if (stage === "cloud" && cloud !== undefined) list = cloud.list;
    const run: StageDryRun = {
      cloud,
      ...{
        parts,
        drift,
        list,
        own: parts.leaseParts.usable(),
        note: (sentence) => void notes.push(sentence),
      },
      ...doors,
    };
    // No pause but where a stage asks for one: what was looked at before is what a pass would have found.
    const asked = tried(plan, run);
    const unseen = asked instanceof Promise ? await asked : asked;
    const { changes: listed, total } = list;
    if (total === 0 && notes.length === 0 && unseen === undefined) continue;
    stages.push({ stage, changes: listed, total, notes, ...unseen !== undefined && { unseen } });
  }
  const notes = parts.conditions().filter(({ code }) => NOTED.has(code)).map(({ sentence }) => sentence);
  return { source, stages, notes };
}

/** What the cloud may take to answer. */
const CLOUD_MS = 8000;

/** What would be changed in the cloud; `undefined` where there is none, or nothing is wanted of it yet. */
async function lookAtCloud(parts: PlanParts, isWhole: boolean): Promise<StageDryRun["cloud"]> {
  const cloud = parts.cloud?.cloud;
  if (cloud === undefined) return undefined;
  const report = observe(parts).report;
  if (report?.cloud === undefined) return undefined;
  const list = new ChangeList(isWhole ? Infinity : LISTED_CHANGES);
  using abort = new LinkedAbort(new AbortController().signal);
  abort.limit(CLOUD_MS);
  const { isRemembered } = report;
  try {
    const found = await cloud.dryRun(report.cloud, { isRemembered, list, signal: abort.signal });
    return { list, path: found.path, conditions: found.conditions };
  } catch (error) {
    return { list, path: undefined, conditions: [], fault: errorText(error) };
  }
}

/** The drift of links and tables, with an observer of its own: that of the passes goes on as it was. */
function observe({ reconcilerDeps, leaseParts }: PlanParts): Drift {
  return observeDrift({ ...reconcilerDeps, observer: leaseParts.former.observer() });
}

/** What a stage would do, or why that is not known. */
function tried(
  plan: StagePlan & { kind: "planned" },
  run: StageDryRun,
): string | undefined | Promise<string | undefined> {
  const { report } = run.drift;
  if (plan.needs !== "nothing" && report === undefined) return whyUnknown(run.parts);
  if (plan.needs === "forwarding" && report?.isForwarding === false) {
    return "its turn comes once packets can be forwarded";
  }
  try {
    const asked = plan.plan(run);
    if (!(asked instanceof Promise)) return asked ?? undefined;
    return asked.then((unseen) => unseen ?? undefined, errorText);
  } catch (error) {
    return errorText(error);
  }
}
