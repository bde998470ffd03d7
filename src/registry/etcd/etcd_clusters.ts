import type { Condition } from "../../model/condition.ts";

/** A cluster that is asked for each ten seconds, and was not heard for so long, is no longer there. */
const UNHEARD_MS = 30_000;
/** That there are two is said for so long. */
const SAID_MS = 2 * 60 * 1000;

/** Knows which etcd is followed, and whether it answers by turns with another one. */
export class EtcdClusters {
  readonly #elapsedMs: () => number;
  #current: string | undefined;
  #heardMs = -Infinity;
  /** Those that have answered since the one that is followed was heard last. */
  readonly #others = new Set<string>();
  /** Those that answer beside it, or were followed before. */
  readonly #refused = new Set<string>();
  #mixed: { readonly sentence: string; readonly atMs: number } | undefined;

  /** @param elapsedMs A clock that nobody sets. */
  constructor(elapsedMs: () => number) {
    this.#elapsedMs = elapsedMs;
  }

  /** The cluster that is followed; `undefined` before the first list. */
  get current(): string | undefined {
    return this.#current;
  }

  /** Two clusters behind one name: what hosts write into one is not seen in the other. */
  get conditions(): readonly Condition[] {
    const mixed = this.#mixed;
    if (mixed === undefined || this.#elapsedMs() - mixed.atMs > SAID_MS) return [];
    return [{ code: "registry-mixed", sentence: mixed.sentence }];
  }

  /**
   * An answer has come from a cluster.
   *
   * @returns Whether it is the one that is followed, as far as that is known.
   */
  heard(clusterId: string, endpoint: string): boolean {
    if (clusterId === "" || this.#current === undefined) return true;
    const nowMs = this.#elapsedMs();
    if (clusterId === this.#current) {
      this.#heardMs = nowMs;
      // Both answer: neither has taken the place of the other.
      for (const other of this.#others) this.#refused.add(other);
      this.#others.clear();
      return true;
    }
    if (!this.#refused.has(clusterId)) this.#others.add(clusterId);
    else {
      const sentence =
        `etcd at ${endpoint} answers by turns as cluster ${clusterId} and as ${this.#current}, which is followed`;
      this.#mixed = { sentence, atMs: nowMs };
    }
    return false;
  }

  /** Whether a cluster may be followed: none that answers beside the one that is followed, for as long as that answers. */
  mayFollow(clusterId: string): boolean {
    return clusterId === this.#current || !this.#refused.has(clusterId) ||
      this.#elapsedMs() - this.#heardMs > UNHEARD_MS;
  }

  /** Follows a cluster; answers with the one before, if that was another. */
  follow(clusterId: string): string | undefined {
    const before = this.#current;
    this.#heardMs = this.#elapsedMs();
    if (clusterId === "" || clusterId === before) return undefined;
    if (before !== undefined) this.#refused.add(before);
    this.#others.clear();
    // What was said of the one before is no longer so.
    this.#mixed = undefined;
    this.#refused.delete(clusterId);
    this.#current = clusterId;
    return before;
  }
}
