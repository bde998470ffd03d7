import type { Lease } from "../model/lease.ts";
import type { PassReport } from "../reconcile/report.ts";

/** What readiness is judged by. */
export interface HealthFacts {
  /** The last pass; `undefined` before the first. */
  readonly lastPass: PassReport | undefined;
  /** The own lease, or why there is none. */
  readonly lease: { readonly own: Lease | undefined; readonly reason: string | undefined };
  /** Why there is no good subnet file; `undefined` while there is one. */
  readonly subnetFile: { readonly fault: string | undefined };
  /** Whether the registry has delivered a whole snapshot. There is no pass before it has. */
  readonly hasSnapshot?: boolean;
}

/** Whether pods can be started on this host, and what stands in the way. */
export interface Readiness {
  readonly isReady: boolean;
  /** One line each, in the order of start-up; empty when ready. */
  readonly reasons: readonly string[];
}

/** Judges whether the overlay is as desired: that it once was does not count. */
export function readiness({ lastPass, lease, subnetFile, hasSnapshot }: HealthFacts): Readiness {
  const reasons: string[] = [];
  if (lease.own === undefined) {
    const cause = lease.reason === undefined ? "" : `: ${lease.reason}`;
    reasons.push(`this host has no lease${cause}`);
  }
  if (hasSnapshot === false) reasons.push("the registry has not said yet who is in the overlay");
  if (lastPass === undefined) reasons.push("no pass was made yet");
  else {
    if (!lastPass.isForwarding) reasons.push("the links of the overlay are not as they must be");
    const { failureCount, planned, failures } = lastPass;
    if (failureCount > 0) {
      reasons.push(`${failureCount} of ${planned} changes failed in the last pass`, ...failures);
    }
  }
  if (subnetFile.fault !== undefined) reasons.push(subnetFile.fault);
  return { isReady: reasons.length === 0, reasons };
}
