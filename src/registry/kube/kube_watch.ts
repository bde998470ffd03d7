import { BackOff } from "../../loop/back_off.ts";
import { pause } from "../../loop/pause.ts";
import type { LeaseUpdate } from "../../model/lease.ts";
import type { Contact } from "../contact.ts";
import { LeftConnectionError } from "../http/http_door.ts";
import { isKubeStatus } from "./kube_client.ts";
import type { NodeFeed } from "./kube_feed.ts";
import { SilentWatchError, WentBackError } from "./kube_pulse.ts";
import { explain } from "./kube_reason.ts";

/** The longest pause between attempts to follow the API server. */
const LAST_RETRY_MS = 30_000;
/** A watch that the server ends sooner is begun again after a pause only. */
const SHORT_WATCH_MS = 5000;
/**
 * All nodes are listed anew this often, and up to half as seldom again, for what no watch may have told: with 5,000
 * hosts, each server then lists some 900 nodes a second, out of its memory.
 */
const RELIST_MS = 6 * 3600_000;
/** Where there are many hosts, each waits a random time before it lists anew: so much for each node, at most. */
const SPREAD_MS_PER_NODE = 1;
const MOST_SPREAD_MS = 10_000;

/** What following nodes needs of the world. */
export interface WatchDeps {
  readonly feed: NodeFeed;
  readonly contact: Contact;
  /** Milliseconds of a monotonic clock. */
  readonly elapsedMs: () => number;
  /** A number from 0 to less than 1. */
  readonly random: () => number;
  /** The server is behind what it has told; one sentence. */
  readonly wentBack: (reason: string) => void;
}

/** Yields all leases, then each change, until `signal` aborts. What can't be had is tried again, later each time. */
export async function* watchNodes(
  { feed, contact, elapsedMs, random, wentBack }: WatchDeps,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<LeaseUpdate, void, undefined> {
  const { signal } = options;
  const backOff = new BackOff({ lastMs: LAST_RETRY_MS, random });
  let position: string | undefined;
  let relistAtMs = Infinity;
  while (!signal.aborted) {
    const startedMs = elapsedMs();
    try {
      const isFresh = position === undefined || startedMs >= relistAtMs;
      if (isFresh) {
        await pause(random() * Math.min(feed.count * SPREAD_MS_PER_NODE, MOST_SPREAD_MS), { signal });
        if (signal.aborted) return;
        const snapshot = await feed.list({ signal });
        position = snapshot.position;
        relistAtMs = elapsedMs() + RELIST_MS * (1 + random() / 2);
        contact.heard();
        yield { kind: "snapshot", leases: snapshot.leases };
      }
      for await (const piece of feed.follow(position!, { signal, isFresh })) {
        position = piece.position;
        // A server that is behind may agree to tell, and tells nothing.
        if (piece.isProved) contact.heard();
        else if (piece.refusal !== undefined) {
          contact.lost(explain("follow the nodes", piece.refusal).message);
        }
        yield* piece.updates;
      }
      if (elapsedMs() - startedMs > SHORT_WATCH_MS) {
        backOff.reset();
        continue;
      }
    } catch (error) {
      if (signal.aborted) return;
      // What was to be resumed is forgotten there: the whole list is read anew.
      if (isKubeStatus(error, 410)) position = undefined;
      else if (error instanceof WentBackError) {
        position = undefined;
        wentBack(error.message);
        contact.lost(`${error.message}; all nodes are read anew`);
      } else if (error instanceof LeftConnectionError) backOff.reset();
      else {
        if (error instanceof SilentWatchError) position = undefined;
        contact.lost(explain("follow the nodes", error).message);
      }
      if (elapsedMs() - startedMs > SHORT_WATCH_MS) backOff.reset();
    }
    await backOff.pause({ signal });
  }
}
