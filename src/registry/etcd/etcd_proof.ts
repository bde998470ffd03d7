import { pause } from "../../loop/pause.ts";
import type { EtcdClient, EtcdPage } from "./etcd_client.ts";
import type { EtcdFeed } from "./etcd_feed.ts";
import { EtcdError, OUT_OF_RANGE } from "./etcd_refusal.ts";

/** Keys that are looked at: of more that have changed, all is read anew. */
const LIMIT = 1000;

/** What is followed, as it was told so far. */
export interface Followed {
  readonly client: EtcdClient;
  readonly folder: string;
  readonly feed: EtcdFeed;
}

/**
 * Whether etcd's history is still the one that was told up to `revision`: as of then there are as many keys, the lease
 * that had changed last is as it was, and no lease has changed since. A store that was restored from a backup has
 * another history from there on, though its revision may be larger by now.
 */
export async function isContinued(
  { client, folder, feed }: Followed,
  revision: number,
  options: { readonly signal: AbortSignal },
): Promise<boolean> {
  const { count, latest } = feed.known;
  let page: EtcdPage;
  try {
    page = await client.page({
      prefix: folder,
      revision,
      minModRevision: latest?.modRevision ?? 1,
      limit: LIMIT,
      isKeysOnly: true,
    }, options);
  } catch (error) {
    if (error instanceof EtcdError && error.code === OUT_OF_RANGE) return false;
    throw error;
  }
  const isSame = latest === undefined ||
    page.entries.some(({ key, modRevision }) => key === latest.key && modRevision === latest.modRevision);
  return isSame && page.count === count && page.entries.length < LIMIT &&
    page.entries.every((entry) => feed.isTold(entry));
}

/**
 * Whether the watch says nothing although there is something to tell: what stands between here and etcd may keep it open
 * long after it has died.
 *
 * @param graceMs How long a change is on its way at most.
 */
export async function isDeaf(
  { client, folder, feed }: Followed,
  { graceMs, signal }: { readonly graceMs: number; readonly signal: AbortSignal },
): Promise<boolean> {
  const { told, known: { count, latest } } = feed;
  const page = await client.page({
    prefix: folder,
    minModRevision: latest?.modRevision ?? 1,
    limit: LIMIT,
    isKeysOnly: true,
  }, { signal });
  if (page.count === count && page.entries.every((entry) => feed.isTold(entry))) return false;
  await pause(graceMs, { signal });
  return feed.told === told;
}
