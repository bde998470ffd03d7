import type { Family } from "../model/address.ts";
import { sizeKey } from "../model/peer_path.ts";
import type { PathRecord } from "./path_record.ts";

/** Packets of full size must get through for so long before a size is given up: routes do not change to and fro. */
const PROVED_MS = 3_600_000;
/** What a link must carry: RFC 791 (as hosts must take it), and RFC 8200 section 5. */
const LEAST_BYTES: Readonly<Record<Family, number>> = { 2: 576, 10: 1280 };

/** What is remembered of a narrow path. */
interface Narrow {
  readonly bytes: number;
  /** Since when packets of full size have got through; `undefined` while they do not. */
  readonly goodMs: number | undefined;
}

/** The largest packets that get to hosts behind narrow paths: what the MTU of the routes to them may be. */
export class PathSizes {
  readonly #narrow = new Map<string, Narrow>();
  #sizes: ReadonlyMap<string, number> = new Map();

  /** Bytes, by `sizeKey()`; the same map while nothing changes. Hosts that are not narrow are not in it. */
  get sizes(): ReadonlyMap<string, number> {
    return this.#sizes;
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
        const bytes = Math.max(finding.foundBytes, LEAST_BYTES[family]);
        this.#narrow.set(key, { bytes, goodMs: undefined });
      } else if (before !== undefined && finding.state === "good" && finding.isByKernel !== true) {
        const goodMs = before.goodMs ?? nowMs;
        if (nowMs - goodMs >= PROVED_MS) this.#narrow.delete(key);
        else this.#narrow.set(key, { ...before, goodMs });
      } else if (before !== undefined) this.#narrow.set(key, { ...before, goodMs: undefined });
    }
    for (const key of this.#narrow.keys()) if (!known.has(key)) this.#narrow.delete(key);
    const sizes = new Map(Array.from(this.#narrow, ([key, { bytes }]) => [key, bytes]));
    const isSame = sizes.size === this.#sizes.size &&
      [...sizes].every(([key, bytes]) => this.#sizes.get(key) === bytes);
    if (!isSame) this.#sizes = sizes;
    return !isSame;
  }
}
