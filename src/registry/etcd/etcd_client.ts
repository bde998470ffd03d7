import {
  aliveSchema,
  entryOf,
  type EtcdChange,
  type EtcdEntry,
  type EtcdPiece,
  grantSchema,
  leftSchema,
  rangeEnd,
  rangeSchema,
  toBase64,
  tokenSchema,
  txnSchema,
  watchSchema,
} from "./etcd_wire.ts";
import { EtcdError, firstLine, refusalOf, UNAVAILABLE } from "./etcd_refusal.ts";
import { CertificateError, ConnectionError } from "../http/connection_error.ts";
import { connectionReason } from "../http/connection_reason.ts";
import { askAgain, HttpDoor, LeftConnectionError, passwordIn, shownUrl } from "../http/http_door.ts";
import type { TlsClientDeps, TlsFiles } from "../http/tls_client.ts";
import { LinkedAbort } from "../../loop/linked_abort.ts";
import { linesOf } from "../http/lines.ts";
import { readHead } from "../http/read_head.ts";

/** An answer must be there after this long. */
const ANSWER_MS = 5000;
const LATE = new DOMException("The answer is late", "TimeoutError");
/** An answer with a token is no larger. */
const MAX_TOKEN_BYTES = 16 * 1024;
/** The codes of gRPC that this program decides by. */
const UNAUTHENTICATED = 16;
const DEADLINE = 4;

/** How etcd is reached. */
export interface EtcdAccess {
  /** `http://192.0.2.1:2379`; the first that answers is used. */
  readonly endpoints: readonly string[];
  readonly tls: TlsFiles;
  readonly user?: { readonly name: string; readonly password: string };
}

/** Speaks with etcd v3 through its JSON gateway, at the first of its members that answers. */
export class EtcdClient implements Disposable {
  readonly #access: EtcdAccess;
  readonly #door: HttpDoor;
  #current = 0;
  #token: string | undefined;

  constructor(access: EtcdAccess, deps: TlsClientDeps) {
    this.#access = access;
    this.#door = new HttpDoor(deps, { files: access.tls });
    this.#door.keepSecret(access.user?.password);
    for (const endpoint of access.endpoints) this.#door.keepSecret(passwordIn(endpoint));
  }

  /** The member that is asked now. */
  get endpoint(): string {
    return shownUrl(this.#url);
  }

  /** Leaves the member that is asked now for the next one. */
  turnAway(): void {
    this.#current = (this.#current + 1) % this.#access.endpoints.length;
  }

  /** The certificates that it is asked with. */
  get tls(): HttpDoor["tls"] {
    return this.#door.tls;
  }

  /** Leaves all connections: this host has another address. What is asked meanwhile is asked again. */
  leaveConnections(): void {
    this.#door.leave();
  }

  /** Reads all keys that begin with `prefix`, or the key `prefix` alone, as of one moment. */
  async range(
    prefix: string,
    options: { readonly signal: AbortSignal; readonly isOneKey?: true; readonly isCount?: true },
  ): Promise<{ readonly revision: number; readonly entries: readonly EtcdEntry[] }> {
    const { signal, isOneKey, isCount } = options;
    const answer = await this.#ask("kv/range", {
      key: toBase64(prefix),
      ...!isOneKey && { range_end: toBase64(rangeEnd(prefix)) },
      ...isCount && { count_only: true },
    }, { signal });
    const { header, kvs } = this.#checked(rangeSchema.safeParse(answer).data);
    return { revision: Number(header.revision ?? 0), entries: (kvs ?? []).map(entryOf) };
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
    const answer = await this.#ask("kv/txn", transaction, options);
    const { header, succeeded } = this.#checked(txnSchema.safeParse(answer).data);
    return succeeded === true ? Number(header.revision ?? 0) : undefined;
  }

  /** Makes a lease that ends after `ttlSeconds`, and returns its name. */
  async grant(ttlSeconds: number, options: { readonly signal: AbortSignal }): Promise<string> {
    const answer = await this.#ask("lease/grant", { TTL: String(ttlSeconds) }, options);
    return this.#checked(grantSchema.safeParse(answer).data).ID;
  }

  /** Has a lease begin anew; returns its seconds, 0 if it has ended. */
  async keepAlive(lease: string, options: { readonly signal: AbortSignal }): Promise<number> {
    const answer = await this.#ask("lease/keepalive", { ID: lease }, options);
    return Number(aliveSchema.safeParse(answer).data?.result?.TTL ?? 0);
  }

  /** Seconds since a lease last began anew; `undefined` if it has ended. */
  async ageOf(lease: string, options: { readonly signal: AbortSignal }): Promise<number | undefined> {
    const answer = await this.#ask("lease/timetolive", { ID: lease }, options);
    const { TTL, grantedTTL } = this.#checked(leftSchema.safeParse(answer).data);
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
    { signal }: { readonly signal: AbortSignal },
  ): AsyncGenerator<EtcdPiece, "compacted", undefined> {
    const body = {
      create_request: {
        key: toBase64(prefix),
        range_end: toBase64(rangeEnd(prefix)),
        start_revision: String(revision),
        progress_notify: true,
      },
    };
    using abort = new LinkedAbort(signal);
    using _left = this.#door.abortOnLeave(abort);
    try {
      await this.#door.rest(this.endpoint, abort);
      abort.limit(ANSWER_MS, LATE);
      const response = await this.#fetch("watch", body, abort.signal);
      for await (const line of linesOf(response, abort.signal)) {
        const { data } = watchSchema.safeParse(JSON.parse(line));
        if (data?.error !== undefined) {
          const { message, grpc_code: code } = data.error;
          throw new EtcdError(code ?? UNAVAILABLE, this.#door.shown(message ?? "the watch ended"));
        }
        const result = this.#checked(data?.result);
        const { header, created, canceled, compact_revision: compacted, cancel_reason: why, events } = result;
        if (compacted !== undefined && compacted !== "0") return "compacted";
        if (canceled === true) {
          throw new EtcdError(UNAVAILABLE, this.#door.shown(why ?? "the watch was canceled"));
        }
        abort.limit(Infinity);
        const changes = (events ?? []).map(({ type, kv }): EtcdChange => ({
          entry: entryOf(kv),
          isDeletion: type === "DELETE",
        }));
        // The store may be further than what was sent: only an empty message tells how far the watch has come.
        const reached = created === true
          ? revision - 1
          : changes.at(-1)?.entry.modRevision ?? Number(header.revision);
        yield { revision: reached, changes };
      }
      throw new ConnectionError(`${this.#where} ended the watch`);
    } catch (error) {
      throw this.#explained(error, signal, abort);
    }
  }

  [Symbol.dispose](): void {
    this.#door[Symbol.dispose]();
  }

  get #url(): string {
    return this.#access.endpoints[this.#current]!;
  }

  get #where(): string {
    return `etcd at ${this.endpoint}`;
  }

  /** Asks one member after the other until one answers. */
  async #ask(method: string, body: unknown, { signal }: { readonly signal: AbortSignal }): Promise<unknown> {
    let last: unknown;
    const { length } = this.#access.endpoints;
    // One that wants to be left alone is not waited for where another one may be asked.
    for (let tries = 1; tries < length && this.#door.restMs(this.endpoint) > 0; tries++) this.turnAway();
    for (let attempt = 0; attempt < length; attempt++) {
      try {
        return await askAgain(() => this.#askOne(method, body, signal));
      } catch (error) {
        signal.throwIfAborted();
        const isAway = error instanceof ConnectionError ||
          error instanceof EtcdError && (error.code === UNAVAILABLE || error.code === DEADLINE);
        if (!isAway) throw error;
        last ??= error;
        this.turnAway();
      }
    }
    throw last;
  }

  async #askOne(method: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    using abort = new LinkedAbort(signal);
    using _left = this.#door.abortOnLeave(abort);
    try {
      await this.#door.rest(this.endpoint, abort);
      abort.limit(ANSWER_MS, LATE);
      const response = await this.#fetch(method, body, abort.signal);
      const line = await firstLine(response, abort.signal);
      if (line !== "") return JSON.parse(line);
      throw new ConnectionError(`${this.#where} answers nothing`);
    } catch (error) {
      throw this.#explained(error, signal, abort);
    }
  }

  async #fetch(method: string, body: unknown, signal: AbortSignal): Promise<Response> {
    for (let isSecond = false;; isSecond = true) {
      const { user } = this.#access;
      if (user !== undefined) this.#token ??= await this.#authenticate(user, signal);
      const response = await this.#post(method, body, signal);
      if (response.ok) return response;
      const refusal = await refusalOf(response, (words) => this.#door.shown(words), signal);
      // A token ends, etcd was started anew and knows none, or its users have changed since.
      const isStale = refusal.code === UNAUTHENTICATED ||
        /invalid auth token|revision in header is old/.test(refusal.message);
      if (user === undefined || isSecond || !isStale) throw refusal;
      this.#token = undefined;
    }
  }

  async #authenticate(
    { name, password }: { name: string; password: string },
    signal: AbortSignal,
  ): Promise<string> {
    const response = await this.#post("auth/authenticate", { name, password }, signal);
    if (!response.ok) {
      const { code, message } = await refusalOf(response, (words) => this.#door.shown(words), signal);
      throw new EtcdError(
        code,
        `user ${JSON.stringify(name)} is not let in: ${message}; look at -etcd-username and -etcd-password`,
      );
    }
    const { token } = this.#checked(
      tokenSchema.safeParse(JSON.parse(await readHead(response, MAX_TOKEN_BYTES, signal))).data,
    );
    this.#door.keepSecret(token);
    return token;
  }

  async #post(method: string, body: unknown, signal: AbortSignal): Promise<Response> {
    return await this.#door.fetch(`${this.#url}/v3/${method}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...this.#token !== undefined && method !== "auth/authenticate" && { authorization: this.#token },
      },
      body: JSON.stringify(body),
      signal,
    });
  }

  #checked<T>(answer: T | undefined): T {
    if (answer === undefined) {
      throw new ConnectionError(`${this.#where} does not answer as etcd v3.4 or later does`);
    }
    return answer;
  }

  #explained(error: unknown, signal: AbortSignal, abort: LinkedAbort): unknown {
    if (signal.aborted) return signal.reason;
    if (abort.signal.reason instanceof LeftConnectionError) return abort.signal.reason;
    if (abort.signal.reason === LATE) {
      return new ConnectionError(`${this.#where} does not answer within ${ANSWER_MS / 1000} s`);
    }
    if (error instanceof EtcdError) return error;
    if (error instanceof ConnectionError) {
      return error instanceof CertificateError || error.message.startsWith("etcd")
        ? error
        : new ConnectionError(`etcd at ${error.message}`, { cause: error });
    }
    const reason = this.#door.shown(connectionReason(error));
    return new ConnectionError(`${this.#where} broke off its answer: ${reason}`, { cause: error });
  }
}
