import { EtcdError, OUT_OF_RANGE } from "./etcd_refusal.ts";
import { LargeAnswerError } from "./etcd_door.ts";
import type { EtcdClient, EtcdPage, EtcdRange } from "./etcd_client.ts";
import { parseSubnetKey } from "./etcd_format.ts";
import type { EtcdEntry, EtcdHeader } from "./etcd_wire.ts";

/** Keys that are asked for at first, and at most. */
const FIRST_LIMIT = 500;
const LAST_LIMIT = 2000;
/** A page is to be about so large: etcd makes it as one piece, and this host has it in memory until it is whole. */
const PAGE_BYTES = 1024 * 1024;
/** Values are kept up to so much of memory in all: 20,000 leases take a third of it. */
const MAX_KEPT_BYTES = 24 * 1024 * 1024;
/** What a key takes besides its texts. */
const ENTRY_BYTES = 200;
/** Keys that are no leases' are named up to this many. */
export const NAMED_STRANGERS = 10;
/** A list that is no longer of one moment is begun anew, at most so often. */
const ATTEMPTS = 3;

/** All that stands under the keys of leases, as of one moment. */
export interface EtcdList {
  readonly header: EtcdHeader;
  readonly entries: readonly EtcdEntry[];
  /** Keys that are not those of leases. */
  readonly strangers: { readonly count: number; readonly names: readonly string[] };
  /** Leases that are there, and too much to be read. */
  readonly unread: { readonly count: number; readonly names: readonly string[] };
}

/** By whom a list may be given: by the cluster that is followed, unless told. */
type Asked = Pick<EtcdRange, "isExpected"> & { readonly signal: AbortSignal };

/**
 * Reads all leases, in pages, as of one moment. What stands beside them costs nothing but the time to pass it over, and
 * what is kept of them has a limit.
 *
 * @param folder What the keys of leases begin with, with a slash at the end.
 */
export async function listLeases(
  client: EtcdClient,
  folder: string,
  options: Asked,
): Promise<EtcdList> {
  for (let attempt = 1;; attempt++) {
    try {
      return await readAll(client, folder, options);
    } catch (error) {
      // Compacted meanwhile, or etcd was restored after the first page.
      const isTorn = error instanceof EtcdError && error.code === OUT_OF_RANGE;
      if (!isTorn || attempt === ATTEMPTS) throw error;
    }
  }
}

async function readAll(
  client: EtcdClient,
  folder: string,
  { signal, isExpected }: Asked,
): Promise<EtcdList> {
  const list = new Gathered(folder);
  let limit = FIRST_LIMIT;
  let header: EtcdHeader | undefined;
  for (let from: string | undefined = undefined;;) {
    const first = header;
    const range: EtcdRange = {
      ...{ prefix: folder, limit },
      ...from !== undefined && { from },
      ...first !== undefined
        ? { revision: first.revision, isExpected: (clusterId) => clusterId === first.clusterId }
        : isExpected !== undefined && { isExpected },
    };
    let page: EtcdPage;
    try {
      page = await client.page(range, { signal });
    } catch (error) {
      if (!(error instanceof LargeAnswerError) || limit === 1) throw error;
      limit = Math.ceil(limit / 4);
      continue;
    }
    header ??= page.header;
    list.add(page.entries);
    if (page.next === undefined) return { header, ...list.whole() };
    from = page.next;
    const fitting = Math.floor(limit * PAGE_BYTES / Math.max(page.bytes, 1));
    limit = Math.max(1, Math.min(fitting, limit * 4, LAST_LIMIT));
  }
}

/** What was read so far. */
class Gathered {
  readonly #folder: string;
  readonly #entries: EtcdEntry[] = [];
  #bytes = 0;
  readonly #strangers = { count: 0, names: [] as string[] };
  readonly #unread = { count: 0, names: [] as string[] };

  constructor(folder: string) {
    this.#folder = folder;
  }

  add(entries: readonly EtcdEntry[]): void {
    for (const entry of entries) {
      const { key, value } = entry;
      const host = key.slice(this.#folder.length);
      if (parseSubnetKey(host) === undefined) {
        note(this.#strangers, host);
        continue;
      }
      // Of a value that is too long nothing but its length is of use.
      const kept = entry.cutBytes === undefined ? entry : { ...entry, value: "" };
      this.#bytes += ENTRY_BYTES + key.length + (kept === entry ? value.length : 0);
      if (this.#bytes > MAX_KEPT_BYTES) note(this.#unread, host);
      else this.#entries.push(kept);
    }
  }

  whole(): Omit<EtcdList, "header"> {
    return { entries: this.#entries, strangers: this.#strangers, unread: this.#unread };
  }
}

function note(others: { count: number; names: string[] }, host: string): void {
  if (others.count++ < NAMED_STRANGERS) others.names.push(host);
}
