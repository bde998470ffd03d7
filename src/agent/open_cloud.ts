import type { Cloud } from "../cloud/cloud.ts";
import type { BackendConfig } from "../config/backend_schema.ts";
import { Trigger } from "../loop/trigger.ts";
import { inTurns, type Worker } from "../loop/worker.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { UnderlayFollower } from "./underlay_follower.ts";
import type { AgentContext } from "./context.ts";

/** Between looks at the cloud's tables: at most five an hour, each host at another time. */
const PERIOD_MS = 13 * 60_000;
const SPREAD_MS = 4 * 60_000;
/** After a look that failed; doubled each time, up to the period. */
const RETRY_MS = 2000;

/** The cloud that packets for pods come through, and the loop that looks after it. */
export interface OpenCloud {
  readonly cloud: Cloud;
  /** Hands over what a pass was made for. */
  readonly passed: (report: PassReport) => void;
  /** Asks for a look before its time. */
  readonly nudge: () => void;
  readonly run: Worker["run"];
}

/** Opens the cloud of a backend that has one. What only that one needs is loaded here. */
export async function openCloud(
  config: BackendConfig,
  { environment, elapsedMs, log, underlay, pathChanged, isLinkMissing }:
    & Pick<AgentContext, "environment" | "elapsedMs" | "log">
    & {
      readonly underlay: UnderlayFollower;
      /** Called when packets for pods may come in by another network interface than before. */
      readonly pathChanged: () => void;
      /** Whether this host has no link that is that interface: it was detached, or is not here yet. */
      readonly isLinkMissing: () => boolean;
    },
): Promise<OpenCloud | undefined> {
  if (config.type !== "aws-vpc") return undefined;
  const { openAwsCloud } = await import("../cloud/aws/open_aws_cloud.ts");
  const cloud = openAwsCloud(config, {
    environment,
    underlay: () => underlay.usable.addresses.map(({ address }) => address),
    elapsedMs,
    log,
  });
  const trigger = new Trigger();
  let [isWanted, hasLooked] = [false, false];
  return {
    cloud,
    passed({ cloud: desired, isRemembered }) {
      if (desired === undefined) return;
      isWanted = true;
      if (cloud.want(desired, { isRemembered })) trigger.nudge();
    },
    nudge: () => trigger.nudge(),
    run: inTurns(async (options) => {
      hasLooked = isWanted;
      const { path } = cloud;
      const isDone = await cloud.turn(options);
      if (cloud.path !== path) pathChanged();
      return isDone && !isLinkMissing();
    }, {
      trigger,
      periodMs: () => PERIOD_MS + Math.random() * SPREAD_MS,
      // Before the first pass there is nothing to look for: the first look waits for nothing.
      restMs: () => hasLooked ? RETRY_MS / 2 : 0,
      retryMs: RETRY_MS,
      elapsedMs,
    }),
  };
}
