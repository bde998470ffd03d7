import type { EtcdClient } from "./etcd_client.ts";
import { type EtcdEntry, toBase64 } from "./etcd_wire.ts";

/** etcd's name of no lease: the key stays until it is deleted. */
export const NO_LEASE = "0";

/** A key that was written, and the end of its life. */
export interface Written {
  readonly revision: number;
  readonly expiresAtMs: number;
  /** The etcd lease that it lives by. */
  readonly token: string;
}

/** That an entry is still as it was seen. */
export function unchanged({ key, modRevision }: EtcdEntry): Record<string, string> {
  return { key: toBase64(key), target: "MOD", result: "EQUAL", mod_revision: String(modRevision) };
}

/** That there is no `key`. */
export function absent(key: string): Record<string, string> {
  return { key: toBase64(key), target: "VERSION", result: "EQUAL", version: "0" };
}

/** That no key from `first` to before `end` was made after `revision`. */
export function noneSince(revision: number, first: string, end: string): Record<string, string> {
  return {
    key: toBase64(first),
    range_end: toBase64(end),
    target: "CREATE",
    result: "LESS",
    create_revision: String(revision + 1),
  };
}

/** Deletes a key that is still as it was seen; whether it was. */
export async function removeUnchanged(
  client: EtcdClient,
  entry: EtcdEntry,
  options: { readonly signal: AbortSignal },
): Promise<boolean> {
  const success = [{ request_delete_range: { key: toBase64(entry.key) } }];
  return await client.transact({ compare: [unchanged(entry)], success }, options) !== undefined;
}

/** Writes another value under a key that is still as it was seen, which lives as long as before; whether it was. */
export async function rewriteUnchanged(
  client: EtcdClient,
  entry: EtcdEntry,
  value: string,
  options: { readonly signal: AbortSignal },
): Promise<boolean> {
  const request_put = { key: toBase64(entry.key), value: toBase64(value), lease: entry.lease };
  return await client.transact({ compare: [unchanged(entry)], success: [{ request_put }] }, options) !==
    undefined;
}

/**
 * Writes for one host, each time by compare-and-swap.
 *
 * The etcd lease that its key lives by is granted once and kept through lost races: granting and revoking wait for the
 * disks of etcd, and a crowd of hosts would make each other late. It also tells the own write again when the answer to
 * it was lost and the repetition found the key changed.
 */
export class EtcdWriter {
  readonly #ttlMs: number;
  readonly #now: () => number;
  readonly #tokens: Set<string>;
  #granted: { readonly lease: string; readonly expiresAtMs: number } | undefined;
  #isUsed = false;

  /** @param host.tokens What is granted is added here, so that it is known even if the answer is lost. */
  constructor(
    readonly client: EtcdClient,
    host: { readonly ttlMs: number; readonly now: () => number; readonly tokens: Set<string> },
  ) {
    this.#ttlMs = host.ttlMs;
    this.#now = host.now;
    this.#tokens = host.tokens;
  }

  /** Seconds that a key lives without being renewed. */
  get ttlSeconds(): number {
    return Math.ceil(this.#ttlMs / 1000);
  }

  /** Writes a key that lives by a lease; `undefined` if a comparison does not hold. */
  async putLiving(
    key: string,
    value: string,
    compare: readonly unknown[],
    options: { readonly signal: AbortSignal },
  ): Promise<Written | undefined> {
    this.#granted ??= {
      // Rather early than late: the lease begins while it is asked for.
      expiresAtMs: this.#now() + this.#ttlMs,
      lease: await this.client.grant(this.ttlSeconds, options),
    };
    const { lease, expiresAtMs } = this.#granted;
    this.#tokens.add(lease);
    const revision = await this.#put(key, value, lease, compare, options);
    if (revision === undefined) return undefined;
    this.#isUsed = true;
    return { revision, expiresAtMs, token: lease };
  }

  /** Writes a key that lives by a lease which is there already; `undefined` if a comparison does not hold. */
  async putUnder(
    lease: string,
    key: string,
    value: string,
    compare: readonly unknown[],
    options: { readonly signal: AbortSignal },
  ): Promise<number | undefined> {
    return await this.#put(key, value, lease, compare, options);
  }

  /** Writes a key that stays until it is deleted; returns the revision, `undefined` if a comparison does not hold. */
  async putLasting(
    key: string,
    value: string,
    compare: readonly unknown[],
    options: { readonly signal: AbortSignal },
  ): Promise<number | undefined> {
    return await this.#put(key, value, NO_LEASE, compare, options);
  }

  /** Has the lease of a key begin anew; when it ends then, `undefined` if it has ended or had another length. */
  async keepAlive(lease: string, options: { readonly signal: AbortSignal }): Promise<number | undefined> {
    const expiresAtMs = this.#now() + this.#ttlMs;
    if (await this.client.keepAlive(lease, options) !== this.ttlSeconds) return undefined;
    if (lease === this.#granted?.lease) this.#isUsed = true;
    return expiresAtMs;
  }

  /**
   * Gives back the lease that was granted, if no key lives by it. Not for after an error: a key may have been written
   * all the same, and would end with the lease.
   */
  async release(options: { readonly signal: AbortSignal }): Promise<void> {
    if (this.#granted === undefined || this.#isUsed) return;
    try {
      await this.client.revoke(this.#granted.lease, options);
    } catch {
      // It ends by itself.
    }
  }

  async #put(
    key: string,
    value: string,
    lease: string,
    compare: readonly unknown[],
    options: { readonly signal: AbortSignal },
  ): Promise<number | undefined> {
    const request_put = { key: toBase64(key), value: toBase64(value), lease };
    return await this.client.transact({ compare, success: [{ request_put }] }, options);
  }
}
