import { catch as fallback, object, optional, string } from "zod/mini";
import { fileReason } from "../../file/file_reason.ts";
import { chunksOf } from "../http/chunks.ts";
import { CertificateError, ConnectionError } from "../http/connection_error.ts";
import { connectionReason } from "../../log/connection_reason.ts";
import { passwordIn, shownUrl } from "../../log/shown_url.ts";
import { askAgain, HttpDoor, LeftConnectionError } from "../http/http_door.ts";
import { JsonSieve, type Kept, type SieveSink } from "../http/json_sieve.ts";
import { Pace, type Patience } from "../http/pace.ts";
import type { TlsClientDeps } from "../http/tls_client.ts";
import { LinkedAbort } from "../../loop/linked_abort.ts";
import { retryAfterMs } from "../../loop/retry_after.ts";
import { readHead } from "../http/read_head.ts";
import type { KubeAccess } from "./kube_config.ts";

/** What is asked for one object is small, and soon there. */
const OBJECT_PATIENCE: Patience = {
  beginMs: 10_000,
  idleMs: 10_000,
  graceMs: 10_000,
  bytesPerSecond: 1024,
  // etcd takes 1.5 MB, and JSON may write a byte as six.
  maxBytes: 10 * 1024 * 1024,
};
const SILENT = new DOMException("The server fell silent", "TimeoutError");
/** A token is read again from its file after this long; Kubernetes replaces it hours before it ends. */
const TOKEN_MS = 10_000;
/** Of a refusal so much is read. */
const MAX_STATUS_BYTES = 16 * 1024;

export const STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json";
const JSON_CONTENT = "application/json";

/** The API server answered, and refused. */
export class KubeError extends Error {
  override readonly name = "KubeError";

  /**
   * @param status HTTP status, or the `code` of an ERROR event.
   * @param message The server's own sentence.
   * @param retryAfterMs How long it asks to be left alone; nobody asks it before that is over.
   */
  constructor(readonly status: number, message: string, readonly retryAfterMs?: number) {
    super(message);
  }
}

/** Reports whether the API server refused with `status`. */
export function isKubeStatus(error: unknown, status: number): error is KubeError {
  return error instanceof KubeError && error.status === status;
}

const statusSchema = object({ message: fallback(optional(string()), undefined) });

/** One request. */
export interface KubeRequest {
  readonly method?: "GET" | "PATCH" | "POST";
  readonly body?: unknown;
  readonly contentType?: string;
  /** Media types that the answer may have; JSON unless told. */
  readonly accept?: string;
  /** How long it may take; as one object may unless told. */
  readonly patience?: Patience;
  /** Of a value that is kept, no more than this is; 16 KiB unless told. */
  readonly maxKeptBytes?: number;
  readonly signal: AbortSignal;
}

/** What the client needs of the world. */
export interface KubeClientDeps extends TlsClientDeps {
  readonly elapsedMs: () => number;
}

/** A thin client of the API server: requests as they are, and answers through a sieve. */
export class KubeClient implements Disposable {
  readonly #access: KubeAccess;
  readonly #deps: KubeClientDeps;
  readonly #door: HttpDoor;
  #token: { readonly text: string; readonly readMs: number } | undefined;

  constructor(access: KubeAccess, deps: KubeClientDeps) {
    this.#access = access;
    this.#deps = deps;
    this.#door = new HttpDoor(deps, access.tls, access.proxy && (() => access.proxy));
    this.#door.keepSecret(access.token);
    this.#door.keepSecret(passwordIn(access.url));
  }

  /** Where the API server is, without a password. */
  get url(): string {
    return shownUrl(this.#access.url);
  }

  /** The certificates that it is asked with. */
  get tls(): HttpDoor["tls"] {
    return this.#door.tls;
  }

  /** Leaves all connections: this host has another address. What is asked meanwhile is asked again. */
  leaveConnections(): void {
    this.#door.leave();
  }

  /**
   * Asks for one object and keeps `kept` of the answer.
   *
   * @throws {KubeError} If the server refuses.
   * @throws {ConnectionError} If it does not answer.
   */
  async request(path: string, kept: Kept, request: KubeRequest): Promise<unknown> {
    return await askAgain(async () => {
      let answer: unknown;
      const sink = { document: (value: unknown) => answer = value };
      for await (const _ of this.stream(path, kept, sink, { patience: OBJECT_PATIENCE, ...request }));
      return answer;
    });
  }

  /**
   * Asks, and hands what is kept of the answer to `sink` as it comes, until the server or the signal ends it. Yields
   * once the server has agreed, and after each piece that was handed over: a caller that is slow to come back slows the
   * server down.
   */
  async *stream(
    path: string,
    kept: Kept,
    sink: SieveSink,
    request: KubeRequest & { readonly patience: Patience },
  ): AsyncGenerator<void, void, undefined> {
    const { maxKeptBytes } = request;
    const sieve = new JsonSieve(kept, sink, maxKeptBytes === undefined ? {} : { maxKeptBytes });
    using abort = new LinkedAbort(request.signal);
    const { signal } = abort;
    using _left = this.#door.abortOnLeave(abort);
    const pace = new Pace(request.patience);
    const wait = () => abort.limit(pace.waits(performance.now()), SILENT);
    const came = (bytes: number) => {
      pace.came(bytes, performance.now());
      // While the caller has it, the server is not waited for.
      abort.limit(Infinity);
      if (pace.isTooMuch) throw new ConnectionError(`${this.#host} answers more than ${pace.bytes} bytes`);
    };
    try {
      await this.#door.rest(this.url, { signal });
      wait();
      const response = await this.#fetch(path, { ...request, signal });
      came(0);
      yield;
      wait();
      for await (const chunk of chunksOf(response, signal)) {
        came(chunk.length);
        sieve.write(chunk);
        yield;
        wait();
      }
      if (!sieve.isAtRest) throw new ConnectionError(`${this.#host} ended its answer in the middle`);
    } catch (error) {
      request.signal.throwIfAborted();
      if (signal.reason instanceof LeftConnectionError) throw signal.reason;
      if (signal.reason === SILENT) {
        throw new ConnectionError(`${this.#host} ${pace.complaint}; ${this.#access.hint}`);
      }
      if (error instanceof ConnectionError) throw error;
      if (error instanceof KubeError) {
        // Also what stands in an event, which only who reads it knows to be a refusal.
        const message = this.#door.shown(error.message) || `HTTP status ${error.status}`;
        throw new KubeError(error.status, message, error.retryAfterMs);
      }
      const reason = this.#door.shown(connectionReason(error));
      throw new ConnectionError(`${this.#host} broke off its answer: ${reason}`, { cause: error });
    }
  }

  [Symbol.dispose](): void {
    this.#door[Symbol.dispose]();
  }

  get #host(): string {
    return `the API server ${this.url}`;
  }

  async #fetch(path: string, request: KubeRequest): Promise<Response> {
    const { method = "GET", body, contentType = JSON_CONTENT, accept = JSON_CONTENT, signal } = request;
    const token = await this.#readToken();
    const headers = {
      accept,
      "user-agent": "loden",
      ...token !== undefined && { authorization: `Bearer ${token}` },
      ...body !== undefined && { "content-type": contentType },
    };
    let response: Response;
    try {
      response = await this.#door.fetch(this.#access.url + path, {
        method,
        headers,
        ...body !== undefined && { body: JSON.stringify(body) },
        signal,
      });
    } catch (error) {
      if (!(error instanceof ConnectionError) || error instanceof CertificateError) throw error;
      throw new ConnectionError(`the API server at ${error.message}; ${this.#access.hint}`, { cause: error });
    }
    if (response.ok) return response;
    if (response.status === 401) this.#token = undefined;
    const { status } = response;
    const message = messageIn(await readHead(response, MAX_STATUS_BYTES, signal));
    throw new KubeError(status, message, retryAfterMs(response.headers));
  }

  async #readToken(): Promise<string | undefined> {
    const { token, tokenFile } = this.#access;
    if (tokenFile === undefined) return token;
    const nowMs = this.#deps.elapsedMs();
    if (this.#token !== undefined && nowMs - this.#token.readMs < TOKEN_MS) return this.#token.text;
    try {
      const text = (await this.#deps.readTextFile(tokenFile)).trim();
      if (text === "") throw new Error("it is empty");
      this.#token = { text, readMs: nowMs };
      this.#door.keepSecret(text);
      return text;
    } catch (error) {
      // As with client-go the file is the stronger one while it can be read.
      const known = this.#token?.text ?? token;
      if (known !== undefined) return known;
      throw new ConnectionError(
        `the token ${tokenFile} can't be read: ${fileReason(error)}`,
      );
    }
  }
}

/** The server's own sentence about a refusal. */
function messageIn(text: string): string {
  try {
    return statusSchema.safeParse(JSON.parse(text)).data?.message ?? text;
  } catch {
    // Not a Status; perhaps a proxy stands between.
    return text;
  }
}
