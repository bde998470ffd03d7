import type { Family } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import { sizeKey } from "../model/peer_path.ts";
import type { PathRecord } from "./path_record.ts";

/** Packets of full size must get through for so long before a size is given up: routes do not change to and fro. */
const PROVED_MS = 3_600_000;
/** Hosts that are named; of more, how many there are. */
const NAMED = 5;
/** What a link must carry: RFC 791 (as hosts must take it), and RFC 8200 section 5. */
const LEAST_BYTES: Readonly<Record<Family, number>> = { 2: 576, 10: 1280 };

/** A size is found again and again for so long before it counts: where packets are lost by chance, another one is found each time. */
const STANDING_MS = 10_000;

/** What is remembered of a narrow path. */
interface Narrow {
  /** What counts; absent while no size has stood for long enough. */
  readonly bytes?: number | undefined;
  /** What was found last, and since when it is that. */
  readonly found: number;
  readonly sinceMs: number;
  /** Since when packets of full size have got through; absent while they do not. */
  readonly goodMs?: number | undefined;
}

/** The largest packets that get to hosts behind narrow paths: what the MTU of the routes to them may be. */
export class PathSizes {
  readonly #narrow = new Map<string, Narrow>();
  #sizes: ReadonlyMap<string, number> = new Map();

  /** Bytes, by `sizeKey()`; the same map while nothing changes. Hosts that are not narrow are not in it. */
  get sizes(): ReadonlyMap<string, number> {
    return this.#sizes;
  }

  /** That routes have other MTUs than their link. */
  get conditions(): readonly Condition[] {
    if (this.#sizes.size === 0) return [];
    const all = [...this.#sizes].map(([key, bytes]) => `${key.slice(key.indexOf(" ") + 1)} (${bytes} bytes)`)
      .sort();
    const more = all.length > NAMED ? `, and ${all.length - NAMED} others` : "";
    const sentence = `routes to hosts behind narrow paths have a smaller MTU: ${
      all.slice(0, NAMED).join(", ")
    }${more}`;
    return [{ code: "route-mtu-lowered", sentence }];
  }

  /**
   * Takes in what is known of all paths now.
   *
   * @returns Whether the sizes are others than before.
   */
  see(records: Iterable<PathRecord>, nowMs: number): boolean {
    const known = new Set<string>();
    for (const { host, family, main: { finding } } of records) {
      const key = sizeKey(host, family);
      known.add(key);
      const before = this.#narrow.get(key);
      if (finding.state === "narrow" && finding.direction !== "back" && finding.foundBytes !== undefined) {
        const found = Math.max(finding.foundBytes, LEAST_BYTES[family]);
        const isSame = before?.found === found && before.goodMs === undefined;
        const sinceMs = isSame ? before.sinceMs : nowMs;
        const bytes = nowMs - sinceMs >= STANDING_MS ? found : before?.bytes;
        this.#narrow.set(key, { bytes, found, sinceMs });
      } else if (before !== undefined && finding.state === "good" && finding.isByKernel !== true) {
        const goodMs = before.goodMs ?? nowMs;
        if (before.bytes === undefined || nowMs - goodMs >= PROVED_MS) this.#narrow.delete(key);
        else this.#narrow.set(key, { ...before, goodMs });
      } else if (before !== undefined) this.#narrow.set(key, { ...before, goodMs: undefined });
    }
    for (const key of this.#narrow.keys()) if (!known.has(key)) this.#narrow.delete(key);
    const sizes = new Map<string, number>();
    for (const [key, { bytes }] of this.#narrow) if (bytes !== undefined) sizes.set(key, bytes);
    const isSame = sizes.size === this.#sizes.size &&
      [...sizes].every(([key, bytes]) => this.#sizes.get(key) === bytes);
    if (!isSame) this.#sizes = sizes;
    return !isSame;
  }
}
