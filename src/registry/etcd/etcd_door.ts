import { LinkedAbort } from "../../loop/linked_abort.ts";
import { chunksOf } from "../http/chunks.ts";
import { CertificateError, ConnectionError } from "../http/connection_error.ts";
import { connectionReason } from "../../log/connection_reason.ts";
import { passwordIn, shownUrl } from "../../log/shown_url.ts";
import { askAgain, HttpDoor, LeftConnectionError } from "../http/http_door.ts";
import { etcdProxyFor, proxyHint } from "../http/proxy.ts";
import { Pace } from "../http/pace.ts";
import { readHead } from "../http/read_head.ts";
import type { TlsClientDeps, TlsFiles } from "../http/tls_client.ts";
import { JsonSieve, type Kept } from "../http/json_sieve.ts";
import { EtcdError, refusalOf, UNAVAILABLE } from "./etcd_refusal.ts";
import { MAX_TEXT_BYTES, tokenSchema } from "./etcd_wire.ts";

/** An answer must begin soon and not stop; and a large one has the time that it takes, unless it trickles. */
const PATIENCE = {
  beginMs: 5000,
  idleMs: 5000,
  graceMs: 30_000,
  bytesPerSecond: 4096,
  maxBytes: 64 * 1024 * 1024,
} as const;
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

/** What is kept of one document of an answer, and the elements of its list. */
export interface EtcdAnswer {
  readonly document: unknown;
  readonly elements: readonly unknown[];
  /** How much has arrived for it. */
  readonly bytes: number;
}

/** An answer is so large that less is to be asked for at a time. */
export class LargeAnswerError extends ConnectionError {}

/** A question, and what of its answer is kept: a value that is longer than one of a lease is cut. */
export interface EtcdQuestion {
  readonly method: string;
  readonly body: unknown;
  readonly kept: Kept;
}

/** The way to etcd v3 through its JSON gateway: to the first of its members that answers. */
export class EtcdDoor implements Disposable {
  readonly #endpoints: readonly string[];
  readonly #user: EtcdAccess["user"];
  readonly #door: HttpDoor;
  #current = 0;
  #token: string | undefined;

  constructor({ endpoints, tls, user }: EtcdAccess, deps: TlsClientDeps) {
    this.#endpoints = [...new Set(endpoints)];
    this.#user = user;
    this.#door = new HttpDoor(deps, { files: tls }, etcdProxyFor);
    this.#door.keepSecret(user?.password);
    for (const endpoint of endpoints) this.#door.keepSecret(passwordIn(endpoint));
  }

  /** The member that is asked now. */
  get endpoint(): string {
    return shownUrl(this.#url);
  }

  get #url(): string {
    return this.#endpoints[this.#current]!;
  }

  get where(): string {
    return `etcd at ${this.endpoint}`;
  }

  /** The certificates that it is asked with. */
  get tls(): HttpDoor["tls"] {
    return this.#door.tls;
  }

  /** Leaves the member that is asked now for the next one. */
  turnAway(): void {
    this.#current = (this.#current + 1) % this.#endpoints.length;
  }

  /** Leaves all connections: this host has another address. What is asked meanwhile is asked again. */
  leaveConnections(): void {
    this.#door.leave();
  }

  /** Has the next request ask for another token: this one is no longer known. */
  forgetToken(): void {
    this.#token = undefined;
  }

  /** Asks one member after the other until one answers, and reads the first document of the answer. */
  async ask(question: EtcdQuestion, { signal }: { readonly signal: AbortSignal }): Promise<EtcdAnswer> {
    let last: unknown;
    const { length } = this.#endpoints;
    // One that wants to be left alone is not waited for where another one may be asked.
    for (let tries = 1; tries < length && this.#door.restMs(this.#url) > 0; tries++) this.turnAway();
    for (let attempt = 0; attempt < length; attempt++) {
      try {
        return await askAgain(() => this.#askOne(question, signal));
      } catch (error) {
        signal.throwIfAborted();
        const isAway = error instanceof ConnectionError && !(error instanceof LargeAnswerError) ||
          error instanceof EtcdError && (error.code === UNAVAILABLE || error.code === DEADLINE);
        if (!isAway) throw error;
        last ??= error;
        this.turnAway();
      }
    }
    throw last;
  }

  async #askOne(question: EtcdQuestion, signal: AbortSignal): Promise<EtcdAnswer> {
    for await (const answer of this.stream(question, { signal })) return answer;
    throw new ConnectionError(`${this.where} answers nothing`);
  }

  /**
   * Asks the member that is asked now, and yields the documents of its answer, until it or the signal ends that. Within
   * a document there are bounds on silence and slowness, and none on how long the next one is waited for.
   */
  async *stream(
    { method, body, kept }: EtcdQuestion,
    { signal }: { readonly signal: AbortSignal },
  ): AsyncGenerator<EtcdAnswer, void, undefined> {
    using abort = new LinkedAbort(signal);
    using _left = this.#door.abortOnLeave(abort);
    const pace = { now: new Pace(PATIENCE) };
    const wait = () => abort.limit(pace.now.waits(performance.now()), pace);
    try {
      await this.#door.rest(this.#url, abort);
      wait();
      const response = await this.#fetch(method, body, abort.signal);
      const answers: EtcdAnswer[] = [];
      let elements: unknown[] = [];
      const sieve = new JsonSieve(kept, {
        document: (document) => {
          answers.push({ document, elements, bytes: pace.now.bytes });
          elements = [];
        },
        element: (element) => elements.push(element),
      }, { maxKeptBytes: MAX_TEXT_BYTES, cuts: true });
      for await (const chunk of chunksOf(response, abort.signal)) {
        pace.now.came(chunk.length, performance.now());
        if (pace.now.isTooMuch) {
          throw new LargeAnswerError(`${this.where} answers with more than ${PATIENCE.maxBytes >> 20} MiB`);
        }
        sieve.write(chunk);
        if (answers.length > 0) {
          abort.limit(Infinity);
          pace.now = new Pace(PATIENCE);
          yield* answers.splice(0);
        }
        if (!sieve.isAtRest) wait();
      }
      if (!sieve.isAtRest) throw new ConnectionError(`${this.where} broke off its answer`);
    } catch (error) {
      throw this.#explained(error, signal, { abort, pace });
    }
  }

  [Symbol.dispose](): void {
    this.#door[Symbol.dispose]();
  }

  async #fetch(method: string, body: unknown, signal: AbortSignal): Promise<Response> {
    const user = this.#user;
    for (let isSecond = false;; isSecond = true) {
      if (user !== undefined) this.#token ??= await this.#authenticate(user, signal);
      const response = await this.#post(method, body, signal);
      if (response.ok) return response;
      const refusal = await this.#refusal(response, signal);
      if (user === undefined || isSecond || !isStaleToken(refusal)) throw refusal;
      this.#token = undefined;
    }
  }

  async #authenticate(
    { name, password }: { name: string; password: string },
    signal: AbortSignal,
  ): Promise<string> {
    const response = await this.#post("auth/authenticate", { name, password }, signal);
    if (!response.ok) {
      const { code, message } = await this.#refusal(response, signal);
      throw new EtcdError(
        code,
        `user ${JSON.stringify(name)} is not let in: ${message}; look at -etcd-username and -etcd-password`,
      );
    }
    const answer = await readHead(response, MAX_TOKEN_BYTES, signal);
    const { data } = tokenSchema.safeParse(JSON.parse(answer));
    if (data === undefined) throw this.strange();
    this.#door.keepSecret(data.token);
    return data.token;
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

  async #refusal(response: Response, signal: AbortSignal): Promise<EtcdError> {
    const hint = proxyHint(etcdProxyFor(this.#url));
    return await refusalOf(response, { shown: (words) => this.shown(words), hint }, signal);
  }

  /** What etcd says, fit for a log. */
  shown(words: string): string {
    return this.#door.shown(words);
  }

  /** An answer can't be true. */
  contradicts(how: string): ConnectionError {
    return new ConnectionError(`${this.where} contradicts itself: ${how}; see what stands between`);
  }

  /** What answers is no etcd that this program knows. */
  strange(): ConnectionError {
    return new ConnectionError(`${this.where} does not answer as etcd v3.4 or later does`);
  }

  #explained(
    error: unknown,
    signal: AbortSignal,
    { abort, pace }: { readonly abort: LinkedAbort; readonly pace: { readonly now: Pace } },
  ): unknown {
    if (signal.aborted) return signal.reason;
    const { reason } = abort.signal;
    if (reason instanceof LeftConnectionError) return reason;
    if (reason === pace) return new ConnectionError(`${this.where} ${pace.now.complaint}`);
    if (error instanceof EtcdError) return error;
    if (error instanceof SyntaxError) return this.strange();
    if (error instanceof ConnectionError) {
      return error instanceof CertificateError || error.message.startsWith("etcd")
        ? error
        : new ConnectionError(`etcd at ${error.message}`, { cause: error });
    }
    const why = this.shown(connectionReason(error));
    return new ConnectionError(`${this.where} broke off its answer: ${why}`, { cause: error });
  }
}

/** Whether a token has ended, etcd was started anew and knows none, or its users have changed since. */
export function isStaleToken({ code, message }: EtcdError): boolean {
  return code === UNAUTHENTICATED || /invalid auth token|revision in header is old/.test(message);
}
