import type { output, ZodMiniType } from "zod/mini";
import { ConnectionError } from "../http/connection_error.ts";
import type { TlsClientDeps } from "../http/tls_client.ts";
import type { Kept } from "../http/json_sieve.ts";
import { type EtcdAccess, type EtcdAnswer, EtcdDoor, isStaleToken } from "./etcd_door.ts";
import { EtcdError, UNAVAILABLE } from "./etcd_refusal.ts";
import {
  aliveSchema,
  behindKey,
  entriesSchema,
  entryOf,
  type EtcdChange,
  type EtcdEntry,
  type EtcdHeader,
  type EtcdPiece,
  eventsSchema,
  grantSchema,
  KEPT_OF_RANGE,
  KEPT_OF_WATCH,
  leftSchema,
  rangeEnd,
  rangeSchema,
  toBase64,
  txnSchema,
  watchSchema,
} from "./etcd_wire.ts";

/** Answers of other clusters are passed over so often: a balancer may give the next question to the right one. */
const PASSED_OVER = 4;

/** Another etcd answers than the one that is followed. */
export class OtherClusterError extends ConnectionError {
  constructor(where: string, readonly clusterId: string, readonly known: string) {
    super(`${where} is of cluster ${clusterId}, and not of ${known} as before`);
  }
}

/** Which keys are read. */
export interface EtcdRange {
  /** All keys that begin so. */
  readonly prefix: string;
  /** Where they begin, in base64, if not with the first. */
  readonly from?: string;
  readonly limit?: number;
  /** The moment; now if absent. */
  readonly revision?: number;
  /** Only those that were last changed then or later; the count is of all. */
  readonly minModRevision?: number;
  readonly isKeysOnly?: true;
  /** Which cluster may answer; the one that is followed if absent. */
  readonly isExpected?: (clusterId: string) => boolean;
}

/** Keys in their order, as far as they fit. */
export interface EtcdPage {
  readonly header: EtcdHeader;
  readonly entries: readonly EtcdEntry[];
  /** Where those behind them begin; `undefined` where there are none. */
  readonly next: string | undefined;
  /** How many keys there are in all, from where it begins. */
  readonly count: number;
  /** The size of the answer. */
  readonly bytes: number;
}

/** Speaks with etcd v3. */
export class EtcdClient implements Disposable {
  readonly #door: EtcdDoor;
  /** The cluster that is followed: what another one says is no answer. */
  clusterId: string | undefined;
  /** Told of each answer, from which cluster it is and how far that is. */
  heard: (header: EtcdHeader) => void = () => {};

  constructor(access: EtcdAccess, deps: TlsClientDeps) {
    this.#door = new EtcdDoor(access, deps);
  }

  /** The member that is asked now. */
  get endpoint(): string {
    return this.#door.endpoint;
  }

  /** Leaves the member that is asked now for the next one. */
  turnAway(): void {
    this.#door.turnAway();
  }

  /** The certificates that it is asked with. */
  get tls(): EtcdDoor["tls"] {
    return this.#door.tls;
  }

  /** Leaves all connections: this host has another address. What is asked meanwhile is asked again. */
  leaveConnections(): void {
    this.#door.leaveConnections();
  }

  /** Reads the key `prefix` alone, or counts the keys that begin with it, as of one moment. */
  async range(
    prefix: string,
    options: { readonly signal: AbortSignal; readonly isOneKey?: true; readonly isCount?: true },
  ): Promise<{ readonly revision: number; readonly entries: readonly EtcdEntry[] }> {
    const { signal, isOneKey, isCount } = options;
    const body = {
      key: toBase64(prefix),
      ...!isOneKey && { range_end: toBase64(rangeEnd(prefix)) },
      ...isCount && { count_only: true },
    };
    const headOf = (document: unknown) => this.#checked(rangeSchema, document);
    const { header, elements } = await this.#known("kv/range", body, headOf, { signal, kept: KEPT_OF_RANGE });
    return { revision: header.revision, entries: this.#checked(entriesSchema, elements).map(entryOf) };
  }

  /** Reads keys, as many as are asked for. */
  async page(range: EtcdRange, { signal }: { readonly signal: AbortSignal }): Promise<EtcdPage> {
    const { prefix, from = toBase64(prefix), limit, revision, minModRevision, isKeysOnly, isExpected } =
      range;
    const body = {
      key: from,
      range_end: toBase64(rangeEnd(prefix)),
      ...limit !== undefined && { limit: String(limit) },
      ...revision !== undefined && { revision: String(revision) },
      ...minModRevision !== undefined && { min_mod_revision: String(minModRevision) },
      ...isKeysOnly && { keys_only: true },
    };
    const headOf = (document: unknown) => this.#checked(rangeSchema, document);
    const asked = { signal, kept: KEPT_OF_RANGE, isExpected };
    const { header, more, count = "0", elements, bytes } = await this.#known("kv/range", body, headOf, asked);
    const kvs = this.#checked(entriesSchema, elements);
    // What changed later is counted too.
    const isWhole = minModRevision !== undefined ||
      (more === true ? kvs.length > 0 : kvs.length === Number(count));
    if (!isWhole) throw this.#door.contradicts(`it counts ${count} keys and tells of ${kvs.length}`);
    const last = kvs.at(-1);
    const next = more === true && last !== undefined ? behindKey(last.key) : undefined;
    return { header, entries: kvs.map(entryOf), next, count: Number(count), bytes };
  }

  /**
   * Runs a transaction: `success` if every comparison holds, else nothing.
   *
   * @returns The revision of the change; `undefined` if a comparison did not hold.
   */
  async transact(
    transaction: { readonly compare: readonly unknown[]; readonly success: readonly unknown[] },
    options: { readonly signal: AbortSignal },
  ): Promise<number | undefined> {
    const headOf = (document: unknown) => this.#checked(txnSchema, document);
    const { header, succeeded } = await this.#known("kv/txn", transaction, headOf, options);
    return succeeded === true ? header.revision : undefined;
  }

  /** Makes a lease that ends after `ttlSeconds`, and returns its name. */
  async grant(ttlSeconds: number, options: { readonly signal: AbortSignal }): Promise<string> {
    const headOf = (document: unknown) => this.#checked(grantSchema, document);
    return (await this.#known("lease/grant", { TTL: String(ttlSeconds) }, headOf, options)).ID;
  }

  /** Has a lease begin anew; returns its seconds, 0 if it has ended. */
  async keepAlive(lease: string, options: { readonly signal: AbortSignal }): Promise<number> {
    const headOf = (document: unknown) => this.#checked(aliveSchema, document).result ?? {};
    return Number((await this.#known("lease/keepalive", { ID: lease }, headOf, options)).TTL ?? 0);
  }

  /** Seconds since a lease last began anew; `undefined` if it has ended. */
  async ageOf(lease: string, options: { readonly signal: AbortSignal }): Promise<number | undefined> {
    const { document } = await this.#ask("lease/timetolive", { ID: lease }, options);
    const { TTL, grantedTTL } = this.#checked(leftSchema, document);
    const [left, whole] = [Number(TTL ?? 0), Number(grantedTTL ?? 0)];
    return left > 0 ? Math.max(whole - left, 0) : undefined;
  }

  /** Ends a lease, and the keys that live by it. */
  async revoke(lease: string, options: { readonly signal: AbortSignal }): Promise<void> {
    await this.#ask("lease/revoke", { ID: lease }, options);
  }

  /**
   * Yields what changes under `prefix` from `revision` on, until the member or the signal ends it. The first piece has
   * no changes: it says that the member watches.
   *
   * @returns Whether the changes since `revision` are no longer known there.
   */
  async *watch(
    prefix: string,
    revision: number,
    options: { readonly signal: AbortSignal },
  ): AsyncGenerator<EtcdPiece, "compacted", undefined> {
    const body = {
      create_request: {
        key: toBase64(prefix),
        range_end: toBase64(rangeEnd(prefix)),
        start_revision: String(revision),
        progress_notify: true,
      },
    };
    for (let passedOver = 0;; passedOver++) {
      let isBegun = false;
      try {
        for await (const piece of this.#pieces(body, revision, options)) {
          if (piece === "compacted") return piece;
          yield piece;
          isBegun = true;
        }
        throw new ConnectionError(`${this.#door.where} ended the watch`);
      } catch (error) {
        if (!(error instanceof OtherClusterError) || isBegun || passedOver === PASSED_OVER) throw error;
      }
    }
  }

  async *#pieces(
    body: unknown,
    revision: number,
    options: { readonly signal: AbortSignal },
  ): AsyncGenerator<EtcdPiece | "compacted", void, undefined> {
    const question = { method: "watch", body, kept: KEPT_OF_WATCH };
    for await (const { document, elements } of this.#door.stream(question, options)) {
      const { result, error } = this.#checked(watchSchema, document);
      if (error !== undefined) {
        const { message, grpc_code: code = error.code } = error;
        throw this.#ended(code ?? UNAVAILABLE, message ?? "the watch ended");
      }
      if (result === undefined) throw this.#door.strange();
      const { header, created, canceled, compact_revision: compacted, cancel_reason: why } = result;
      if (compacted !== undefined && compacted !== "0") return yield "compacted";
      if (canceled === true) throw this.#ended(UNAVAILABLE, why || "the watch was canceled");
      this.#note(header, undefined);
      const changes = this.#checked(eventsSchema, elements).map(({ type = "PUT", kv }): EtcdChange => {
        if (type !== "PUT" && type !== "DELETE") throw this.#door.strange();
        return { entry: entryOf(kv), isDeletion: type === "DELETE" };
      });
      // The store may be further than what was sent: only an empty message tells how far the watch has come.
      const reached = created === true ? revision - 1 : changes.at(-1)?.entry.modRevision ?? header.revision;
      yield { header, revision: reached, changes };
    }
  }

  [Symbol.dispose](): void {
    this.#door[Symbol.dispose]();
  }

  #ended(code: number, message: string): EtcdError {
    const error = new EtcdError(code, this.#door.shown(message));
    // Nothing but the watch may ask for long, and it is ended in place of being refused.
    if (isStaleToken(error)) this.#door.forgetToken();
    return error;
  }

  async #ask(
    method: string,
    body: unknown,
    { signal, kept = true }: { readonly signal: AbortSignal; readonly kept?: Kept },
  ): Promise<EtcdAnswer> {
    return await this.#door.ask({ method, body, kept }, { signal });
  }

  /** Asks until the cluster that is expected answers. What was done in another one is of no use, and does no harm. */
  async #known<T extends { readonly header?: EtcdHeader | undefined }>(
    method: string,
    body: unknown,
    headOf: (document: unknown) => T,
    { isExpected, ...options }: {
      readonly signal: AbortSignal;
      readonly kept?: Kept;
      readonly isExpected?: EtcdRange["isExpected"] | undefined;
    },
  ): Promise<T & Pick<EtcdAnswer, "elements" | "bytes">> {
    for (let passedOver = 0;; passedOver++) {
      const { document, elements, bytes } = await this.#ask(method, body, options);
      const head = headOf(document);
      try {
        if (head.header !== undefined) this.#note(head.header, isExpected);
        return { ...head, elements, bytes };
      } catch (error) {
        if (passedOver === PASSED_OVER) throw error;
      }
    }
  }

  /**
   * Looks at who has answered.
   *
   * @throws {OtherClusterError} If that is not who is expected.
   */
  #note(header: EtcdHeader, isExpected: EtcdRange["isExpected"]): void {
    this.heard(header);
    const { clusterId: known } = this;
    const { clusterId } = header;
    if (clusterId === "" || (isExpected?.(clusterId) ?? (known === undefined || clusterId === known))) return;
    throw new OtherClusterError(this.#door.where, clusterId, known ?? "another one");
  }

  #checked<S extends ZodMiniType>(schema: S, answer: unknown): output<S> {
    const { data } = schema.safeParse(answer);
    if (data === undefined) throw this.#door.strange();
    return data;
  }
}
