/** Deletions that are remembered; of more, the oldest are forgotten. */
const MAX_DELETIONS = 10_000;

/**
 * Which revision of each entry is known, so that what comes late, twice or out of order changes nothing.
 *
 * A revision is a number that grows with every change in the registry, `mod_revision` of etcd.
 */
export class Revisions {
  readonly #known = new Map<string, number>();
  readonly #deleted = new Map<string, number>();
  /** Before these, what is told of an entry is old. */
  readonly #ignored = new Map<string, number>();

  /** How many entries there are, as far as it was told. */
  get size(): number {
    return this.#known.size;
  }

  /** The revision of an entry; `undefined` if there is none, as far as it was told. */
  of(name: string): number | undefined {
    return this.#known.get(name);
  }

  /** The entry that has changed last, of those that are there. It is searched for. */
  get latest(): { readonly name: string; readonly revision: number } | undefined {
    let latest: { name: string; revision: number } | undefined;
    for (const [name, revision] of this.#known) {
      if (latest === undefined || revision > latest.revision) latest = { name, revision };
    }
    return latest;
  }

  /** Whether `revision` of an entry is later than what is known of it. */
  isLater(name: string, revision: number): boolean {
    return revision > Math.max(this.#known.get(name) ?? -1, this.#deleted.get(name) ?? -1) &&
      revision >= (this.#ignored.get(name) ?? -1);
  }

  /** The same; it is known from now on. */
  isNews(name: string, revision: number): boolean {
    if (!this.isLater(name, revision)) return false;
    this.#deleted.delete(name);
    this.#known.set(name, revision);
    return true;
  }

  /** Makes everything before `revision` of an entry old news, as after a write of one's own. */
  ignoreBefore(name: string, revision: number): void {
    if (revision > (this.#ignored.get(name) ?? -1)) this.#ignored.set(name, revision);
  }

  /** Whether a deletion at `revision` is later than what is known of the entry. */
  isDeletion(name: string, revision: number): boolean {
    if (!this.isNews(name, revision)) return false;
    this.#known.delete(name);
    this.#deleted.set(name, revision);
    if (this.#deleted.size > MAX_DELETIONS) this.#deleted.delete(this.#deleted.keys().next().value!);
    return true;
  }

  /** Begins anew with what a whole list says: name and revision of each entry. */
  reset(entries: Iterable<readonly [name: string, revision: number]>): void {
    this.#known.clear();
    this.#deleted.clear();
    this.#ignored.clear();
    for (const [name, revision] of entries) this.#known.set(name, revision);
  }
}
