import { fileReason } from "../file/file_reason.ts";
import { CniError } from "../pods/cni_error.ts";
import { releaseReservation } from "../leftovers/host_local.ts";
import type { Finding, SavedAttachment } from "../leftovers/leftovers.ts";
import type { Host } from "../plugin/request.ts";
import type { StateFolder } from "../pods/state.ts";
import { savedConfig, undoVanished } from "../plugin/verbs.ts";

/** What a release needs of the host. */
export interface ReleaseDeps {
  readonly delegates: Pick<Host["delegates"], "folders" | "call">;
  readonly state: StateFolder;
}

/** What came of a release: nothing is left to do where it is `gone`, and what was `changed` meanwhile stays. */
export type ReleaseOutcome = "released" | "gone" | "changed";

/**
 * Releases an attachment whose pod is gone: as its state says, by the delegate; without state its addresses,
 * each under `host-local`'s lock. What has changed since it was found stays. Can be repeated.
 *
 * @throws {Error} If it can't be: one sentence. Then the state stays for the next attempt.
 */
export async function release(finding: Finding, deps: ReleaseDeps): Promise<ReleaseOutcome> {
  const { state } = finding;
  const outcomes: ReleaseOutcome[] = [];
  if (state !== undefined) {
    const outcome = await detach(state, finding.ifname, deps);
    if (outcome === "changed") return outcome;
    outcomes.push(outcome);
  }
  // What the delegate has given back is gone by now. Without one, or with an older one's, this is the release.
  for (const reservation of finding.reservations) {
    outcomes.push(await releaseReservation(reservation) ? "released" : "gone");
  }
  return outcomes.includes("released") ? "released" : "gone";
}

async function detach(
  seen: SavedAttachment,
  ifname: string,
  { delegates, state }: ReleaseDeps,
): Promise<ReleaseOutcome> {
  const { containerId } = seen;
  const saved = state.read({ containerId, ifname: seen.ifname ?? "" });
  if (saved === undefined) return "gone";
  const config = savedConfig(saved);
  if (config === undefined || saved.text !== seen.text) return "changed";
  try {
    await undoVanished(saved, { containerId, ifname }, { type: config.type, delegates });
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    const { message, details } = error;
    throw new Error(
      `Cannot detach ${containerId} ${ifname}: ${message}${details === undefined ? "" : `; ${details}`}`,
    );
  }
  try {
    state.remove(saved);
  } catch (error) {
    throw new Error(`Cannot remove the state of ${containerId} in ${state.path}: ${fileReason(error)}`);
  }
  return "released";
}
