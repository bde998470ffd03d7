import type { Family } from "../model/address.ts";
import type { PathState, PeerPath } from "../model/peer_path.ts";
import type { PathMember, PathMembers } from "./path_members.ts";
import { PathRecord } from "./path_record.ts";

/** Paths that are good are remembered up to this number: of a large cluster, those that were asked last. */
const KEPT_GOOD = 512;

/** What is shown first. */
const WORST_FIRST: readonly PathState[] = [
  "damaged",
  "broken",
  "narrow",
  "lossy",
  "silent",
  "unknown",
  "good",
];

/** What is known of all paths that were asked. */
export class PathLedger {
  /** By family and host, those that were asked last at the end. */
  readonly #records = new Map<string, PathRecord>();

  /** What is known of the path to a peer; something new for one that was not asked yet. */
  of({ host, family, addresses }: PathMember): PathRecord {
    const key = `${family} ${host}`;
    const hasOverlay = addresses.overlay !== undefined;
    const known = this.#records.get(key);
    const record = known !== undefined && (known.overlay !== undefined) === hasOverlay
      ? known
      : new PathRecord(host, family, hasOverlay);
    // To the end.
    this.#records.delete(key);
    this.#records.set(key, record);
    return record;
  }

  get records(): Iterable<PathRecord> {
    return this.#records.values();
  }

  ofFamily(family: Family): readonly PathRecord[] {
    return [...this.#records.values()].filter((record) => record.family === family);
  }

  /** Forgets who takes no part any more, and of those that are good the ones that were asked longest ago. */
  prune({ families }: PathMembers): void {
    let good = 0;
    for (const [key, { host, family, state, isBusy }] of [...this.#records].reverse()) {
      const isGone = families.get(family)?.byHost.has(host) !== true;
      if (isGone || state === "good" && !isBusy && ++good > KEPT_GOOD) this.#records.delete(key);
    }
  }

  /** The paths that are known, the worst first, then by host. */
  show(offsetMs: number): readonly PeerPath[] {
    const rank = ({ state }: PeerPath) => WORST_FIRST.indexOf(state);
    return [...this.#records.values()].map((record) => record.show(offsetMs)).sort((a, b) =>
      rank(a) - rank(b) || (a.host < b.host ? -1 : a.host > b.host ? 1 : a.family - b.family)
    );
  }
}
