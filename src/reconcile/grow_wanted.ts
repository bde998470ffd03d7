import { type Desire, partOf } from "../overlay/backend/backend.ts";
import type { Lease } from "../model/lease.ts";
import { RowIndex } from "../model/row_index.ts";
import type { LeaseChange } from "../registry/remote_index.ts";
import type { Wanted } from "./wanted.ts";
import { rowsBeyond, rowsOf, TABLES } from "./wanted_rows.ts";

/** Hosts that the backend left out and that a change is held against one by one. */
const MOST_REFUSED = 16;

/** A wanted state, and what is to be known to change it by one lease. */
export interface Growth {
  readonly wanted: Wanted;
  /** What the backend makes of some other hosts. */
  readonly desire: (remote: readonly Lease[]) => Desire;
  /** Whether a lease has nothing to do with what else this host needs, or is refused for. */
  readonly isApart: (lease: Lease) => boolean;
  /** Whether nothing of this state stands on how leases lie to each other. */
  readonly isGrowable: boolean;
  /** Hosts that the backend left out. */
  readonly refused: readonly string[];
  /** A lease that the state was made of. */
  readonly leaseOf: (host: string) => Lease | undefined;
}

/**
 * Puts changes of single leases into a wanted state: what the backend makes of such a lease alone goes, or comes. Pure but for
 * the tables, which are changed in their place.
 *
 * @returns The same as all leases come to; `undefined` if that is to be found out from all of them.
 */
export function growWanted(growth: Growth, changes: readonly LeaseChange[]): Growth | undefined {
  const { wanted: { rows }, refused, isGrowable, isApart, desire } = growth;
  if (rows === undefined || !isGrowable || refused.length > MOST_REFUSED) return undefined;
  const base = desire([]);
  let { reach, remoteLeases } = growth.wanted;
  for (const { before, after } of changes) {
    const leases = [before, after].flatMap((lease) => lease ?? []);
    if (!leases.every((lease) => isApart(lease) && !refused.includes(lease.host))) return undefined;
    const [gone, come] = [before, after].map((lease) => desire(lease === undefined ? [] : [lease]));
    if (gone!.faults.length > 0 || come!.faults.length > 0) return undefined;
    const [leaving, coming] = [rowsBeyond(gone!.state, base.state), rowsBeyond(come!.state, base.state)];
    if (isMetByRefused(growth, base, [leaving, coming]) || !rows.change(leaving, coming)) return undefined;
    const count = (lease: Lease | undefined, family: (typeof reach)[number]["family"]) =>
      lease !== undefined && partOf(lease, family) !== undefined ? 1 : 0;
    reach = reach.map(({ family, peers, reached }) => ({
      family,
      peers: peers + count(after, family) - count(before, family),
      reached: reached + (come!.reached.get(family) ?? 0) - (gone!.reached.get(family) ?? 0),
    }));
    remoteLeases += (after === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
  }
  const { state } = growth.wanted;
  return { ...growth, wanted: { ...growth.wanted, state: { ...state }, reach, remoteLeases } };
}

/** Whether a row that comes or goes has the key of one that was left out as another had it. */
function isMetByRefused(
  { refused, leaseOf, desire }: Growth,
  base: Desire,
  changed: readonly ReturnType<typeof rowsBeyond>[],
): boolean {
  return refused.some((host) => {
    const lease = leaseOf(host);
    if (lease === undefined) return true;
    const alone = rowsBeyond(desire([lease]).state, base.state);
    return TABLES.some((name) => {
      const index = RowIndex.of(alone[name]);
      return index === undefined ||
        changed.some((tables) =>
          [...rowsOf(tables[name])].some((at) => index.find(tables[name].words, at) >= 0)
        );
    });
  });
}
