import { type Family, FAMILY_NAMES } from "../model/address.ts";
import type { Condition, ConditionCode } from "../model/condition.ts";
import type { PathState } from "../model/peer_path.ts";
import { type PathRecord, reasonOf } from "./path_record.ts";

/** Peers that are named; of more, how many there are. */
const NAMED = 5;
/** For so long all must be lost before a host is called cut off. */
const PATIENCE_MS = 10_000;
/** Where nobody answers at all, for so long. */
const SILENCE_MS = 60_000;
/** What answered within so long before the silence fell silent at once. */
const AT_ONCE_MS = 20_000;
/** Fewer peers that fall silent at once may be down. */
const LEAST_AT_ONCE = 3;

/** What tells whether it is this host that is cut off. */
export interface CutOffFacts {
  readonly nowMs: number;
  /** Whether nothing at all has come in by the VTEP for `PATIENCE_MS`. */
  readonly isInboundDead: boolean;
  /** Whether the registry can't be followed either. */
  readonly isRegistryAway: boolean;
}

const SAID: readonly (readonly [state: PathState, code: ConditionCode, what: string])[] = [
  ["damaged", "path-damaged", "probes are damaged on their way to or from"],
  ["broken", "path-broken", "probes do not get there and back, of"],
  ["narrow", "path-mtu-small", "probes that are as large as the MTU of pods do not get there and back, of"],
  ["lossy", "path-lossy", "probes are lost now and then, of"],
  ["silent", "peers-silent", "no probe is answered, of"],
];

/** What must be known of paths, one sentence for each kind of fault. */
export function pathConditions(records: Iterable<PathRecord>): readonly Condition[] {
  const byState = Map.groupBy(records, ({ state }) => state);
  return SAID.flatMap(([state, code, what]) => {
    const bad = byState.get(state) ?? [];
    if (bad.length === 0) return [];
    const named = bad.toSorted((a, b) => a.host < b.host ? -1 : a.host > b.host ? 1 : a.family - b.family)
      .slice(0, NAMED).map(nameOf);
    const others = bad.length > NAMED ? `, and ${bad.length - NAMED} others` : "";
    return [{ code, sentence: `${what} ${named.join(", ")}${others}` }];
  });
}

function nameOf(record: PathRecord): string {
  const { host, family } = record;
  const where = family === 10 ? " in IPv6" : "";
  const reason = reasonOf(record.show(0));
  return `${host}${where}${reason === undefined ? "" : ` (${reason})`}`;
}

/**
 * Whether this host as a whole is cut off in one family, as a condition. A host that works must never be called so: what
 * may as well be the fault of others is told of as paths that are broken. That is why
 *
 * - what has never worked is not judged: firewalls of hosts may drop probes, and let packets of pods through;
 * - peers that are silent altogether may be down, and don't count while any is alive;
 * - a packet that comes in by the VTEP shows that others get through;
 * - packets that get to nobody must get there from others, which those say that are asked.
 */
export function cutOffCondition(
  family: Family,
  records: readonly PathRecord[],
  facts: CutOffFacts,
): Condition | undefined {
  const proved = records.filter(({ main }) => main.goodMs !== undefined);
  const alive = proved.filter(({ state }) => state !== "silent" && state !== "unknown");
  const why = alive.length > 0 ? whyOverlayDead(alive, facts) : whyAllSilent(proved, facts);
  if (why === undefined) return undefined;
  const sentence = `this host is cut off from all others in ${FAMILY_NAMES[family]}: ${why}`;
  return { code: "overlay-cut-off", sentence };
}

/** Peers are alive, and nothing of the overlay gets to them, or from them. */
function whyOverlayDead(alive: readonly PathRecord[], facts: CutOffFacts): string | undefined {
  const { nowMs, isInboundDead } = facts;
  if (alive.some(({ state, overlay }) => state !== "broken" || overlay === undefined)) return undefined;
  if (nowMs - lastGoodMs(alive) < PATIENCE_MS) return undefined;
  // Of two hosts either may be to blame.
  if (alive.length < 2) return undefined;
  const names = alive.map(({ host }) => host).sort().slice(0, NAMED).join(", ");
  if (isInboundDead) {
    return `${names} answer in the underlay, and no packet of the overlay comes in; look what drops UDP of the ` +
      "overlay's port at this host";
  }
  const isOnlyOut = alive.every(({ main }) => main.finding.direction === "there");
  // One that hears others shows that they get through to it.
  if (!isOnlyOut || alive.length < 2 || !alive.some(({ hearsOthers }) => hearsOthers)) return undefined;
  return `${names} answer in the underlay and hear others in the overlay, and not this host; look what drops UDP of ` +
    "the overlay's port that leaves this host";
}

/** Nobody has answered for a while, and several fell silent at once: hosts don't go down so. */
function whyAllSilent(
  proved: readonly PathRecord[],
  { nowMs, isRegistryAway }: CutOffFacts,
): string | undefined {
  // A host that reaches the registry gets packets out and in: then it is the others that are down, or refuse probes.
  if (!isRegistryAway || proved.some(({ state }) => state !== "silent")) return undefined;
  const lastMs = lastGoodMs(proved);
  if (proved.length === 0 || nowMs - lastMs < SILENCE_MS) return undefined;
  const atOnce = proved.filter(({ main }) => lastMs - main.goodMs! <= AT_ONCE_MS);
  if (atOnce.length < LEAST_AT_ONCE) return undefined;
  return `${atOnce.length} hosts that answered fell silent at once, in underlay and overlay, nor does the registry ` +
    "answer; look whether anything gets in and out of this host";
}

function lastGoodMs(records: readonly PathRecord[]): number {
  return records.reduce((last, { main }) => Math.max(last, main.goodMs!), -Infinity);
}

/** Whether all that are alive seem to be lost, so that it is worth a look what comes in. */
export function mayBeCutOff(records: readonly PathRecord[]): boolean {
  const alive = records.filter(({ main, state }) => main.goodMs !== undefined && state !== "silent");
  return alive.length > 0 && alive.every(({ state, overlay }) => state === "broken" && overlay !== undefined);
}
