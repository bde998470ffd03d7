import type { Address } from "../model/address.ts";
import type { Misled } from "../reconcile/route_truth.ts";
import { sayMisled, type TruthWords } from "../reconcile/truth_words.ts";
import type { PeerTruth } from "./truth_conditions.ts";

/** A second look tells what stays from what is being changed. */
export const SECOND_LOOK_MS = 250;
/** Subnets that are given a reason: at most, and in one turn, as words may cost a look at a table. */
const NAMED = 200;
const NAMED_PER_TURN = 5;

/** A subnet whose packets don't get on. */
interface Finding {
  misled: Misled;
  readonly sinceMs: number;
  isConfirmed: boolean;
  /** Absent until there is time for it. */
  reason?: string;
}

/** What was found of subnets, by their addresses; only what two looks have found counts. */
export class TruthFindings {
  readonly #found = new Map<Address, Finding>();

  get size(): number {
    return this.#found.size;
  }

  /** How many are still to be proved by a second look. */
  get unconfirmed(): number {
    let count = 0;
    for (const { isConfirmed } of this.#found.values()) if (!isConfirmed) count++;
    return count;
  }

  has(subnet: Address): boolean {
    return this.#found.has(subnet);
  }

  delete(subnet: Address): void {
    this.#found.delete(subnet);
  }

  clear(): void {
    this.#found.clear();
  }

  /** Forgets what is of other subnets. */
  keep(isKept: (subnet: Address) => boolean): void {
    for (const subnet of this.#found.keys()) if (!isKept(subnet)) this.#found.delete(subnet);
  }

  /** The subnets that are to be looked at again first, at most so many: those that are to be proved come first. */
  first(count: number): ReadonlySet<Address> {
    const all = [...this.#found].toSorted(([, a], [, b]) => Number(a.isConfirmed) - Number(b.isConfirmed));
    return new Set(all.slice(0, count).map(([subnet]) => subnet));
  }

  /** Takes in what a look at `nowMs` has found. */
  note(misled: Misled, nowMs: number): void {
    const key = misled.subnet.address;
    const known = this.#found.get(key);
    if (known === undefined) {
      this.#found.set(key, { misled, sinceMs: nowMs, isConfirmed: false });
      return;
    }
    if (nowMs - known.sinceMs >= SECOND_LOOK_MS) known.isConfirmed = true;
    if (!isSame(known.misled, misled)) delete known.reason;
    known.misled = misled;
  }

  /** Finds words for some of those that have none. */
  giveReasons(words: TruthWords): void {
    let given = 0;
    for (const one of [...this.#found.values()].slice(0, NAMED)) {
      if (!one.isConfirmed || one.reason !== undefined) continue;
      one.reason = sayMisled(one.misled, words);
      if (++given >= NAMED_PER_TURN) return;
    }
  }

  /** What counts, with the host that a subnet is of as far as it is named. */
  confirmed(hostOf: (misled: Misled) => string): PeerTruth[] {
    return [...this.#found.values()].filter(({ isConfirmed }) => isConfirmed).map((
      { misled, reason },
      index,
    ) => ({
      host: index < NAMED ? hostOf(misled) : "",
      subnet: misled.subnet,
      isWhole: misled.isWhole,
      reason: reason ?? "packets for it don't take Loden's route",
    }));
  }
}

function isSame(a: Misled, b: Misled): boolean {
  const text = ({ kind, isWhole, linkIndex, answer }: Misled) =>
    JSON.stringify(
      [kind, isWhole, linkIndex, answer],
      (_, value) => typeof value === "bigint" ? String(value) : value,
    );
  return text(a) === text(b);
}
