import { printable } from "../../log/printable.ts";
import { Secrets } from "../../log/secrets.ts";
import type { LinkedAbort } from "../../loop/linked_abort.ts";
import { pause } from "../../loop/pause.ts";
import { retryAfterMs } from "../../loop/retry_after.ts";
import { ConnectionError } from "./connection_error.ts";
import { connectionReason } from "../../log/connection_reason.ts";
import { type Proxy, proxyFor, proxyHint } from "./proxy.ts";
import { TlsClient, type TlsClientDeps, type TlsFiles, type TlsTexts } from "./tls_client.ts";

/** A question is asked again this often because its connection was left. */
const MAX_LEFTS = 3;
/** Of a rest that a server asks for, up to so much more is taken: the hosts that it asked alike come back spread. */
const REST_SPREAD = 1 / 2;
/** Of a server's words so many signs are shown. */
const MAX_SHOWN_LENGTH = 400;
/** What a server answers that has too much to do. */
const BUSY: ReadonlySet<number> = new Set([429, 503]);

/** The connection was left, as it came from an address that this host has no more. The request may be repeated at once. */
export class LeftConnectionError extends ConnectionError {
  constructor() {
    super("the connection was left with the address that it came from");
  }
}

/** Asks, and asks again, a few times, when the connection was left meanwhile. */
export async function askAgain<T>(ask: () => Promise<T>): Promise<T> {
  for (let lefts = 0;; lefts++) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof LeftConnectionError) || lefts === MAX_LEFTS) throw error;
    }
  }
}

/**
 * The way out to one registry: `fetch` with the certificates of files, which are read again when a connection failed
 * and they have changed.
 */
export class HttpDoor implements Disposable {
  readonly #elapsedMs: () => number;
  readonly #tls: TlsClient;
  readonly #leaving = new Set<LinkedAbort>();
  /** Until when a server wants to be left alone, by its origin. */
  readonly #rests = new Map<string, number>();
  /** What the server is asked with, and may repeat. */
  readonly #secrets = new Secrets();
  readonly #proxyOf: (url: string) => Proxy | undefined;

  /** @param proxyOf What a server is asked through; that of the process's variables if absent. */
  constructor(
    deps: TlsClientDeps,
    tls: { readonly files?: TlsFiles; readonly texts?: TlsTexts },
    proxyOf = (url: string) => proxyFor(url, Deno.env),
  ) {
    this.#proxyOf = proxyOf;
    this.#elapsedMs = deps.elapsedMs ?? (() => performance.now());
    this.#tls = new TlsClient(deps, tls);
  }

  /** The certificates that it asks with. */
  get tls(): Pick<TlsClient, "conditions" | "look"> {
    return this.#tls;
  }

  /** Keeps what the server is asked with out of what is shown of its words. */
  keepSecret(secret: string | undefined): void {
    this.#secrets.keep(secret);
  }

  /** The server's words, fit for a log: one line, not too long, without what it was asked with. */
  shown(words: string): string {
    return printable(this.#secrets.hide(words), MAX_SHOWN_LENGTH).trim();
  }

  /**
   * Leaves all connections: this host has another address, and what is sent from the old one comes to nothing, for
   * minutes. What waits for an answer there is aborted.
   */
  leave(): void {
    this.#tls.leave();
    for (const abort of [...this.#leaving]) abort.abort(new LeftConnectionError());
  }

  /** Aborts with a `LeftConnectionError` when all connections are left, until it is disposed of. */
  abortOnLeave(abort: LinkedAbort): Disposable {
    this.#leaving.add(abort);
    return { [Symbol.dispose]: () => void this.#leaving.delete(abort) };
  }

  /** How long the server of `url` still wants to be left alone, in milliseconds. */
  restMs(url: string): number {
    return Math.max((this.#rests.get(new URL(url).origin) ?? 0) - this.#elapsedMs(), 0);
  }

  /**
   * Waits as long as the server of `url` wants to be left alone.
   *
   * @throws What `signal` was aborted with.
   */
  async rest(url: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    for (let leftMs = this.restMs(url); leftMs > 0 && !signal.aborted; leftMs = this.restMs(url)) {
      await pause(leftMs, { signal });
    }
    signal.throwIfAborted();
  }

  /**
   * Asks, and returns the answer as soon as its head is there, with any status.
   *
   * @throws {ConnectionError} If no answer comes, in one sentence.
   * @throws What `init.signal` was aborted with.
   */
  async fetch(url: string, init: RequestInit & { readonly signal: AbortSignal }): Promise<Response> {
    const proxy = this.#proxyFor(url);
    this.keepSecret(proxy?.basicAuth?.password);
    const client = await this.#tls.client(proxy);
    try {
      const response = await fetch(url, { ...init, redirect: "error", client });
      this.#heed(url, response);
      return response;
    } catch (error) {
      init.signal.throwIfAborted();
      this.#tls.doubt();
      const reason = connectionReason(error, { hasCertificate: this.#tls.hasCertificate });
      // A server that misses a certificate says so, but may be cut off before it is heard.
      const isCutOff = url.startsWith("https") && /closed|reset|broken pipe/i.test(reason);
      const guess = isCutOff && !this.#tls.hasCertificate
        ? "; perhaps it wants a certificate of this host's that it knows: name one, and its key"
        : url.startsWith("http:") && /closed/.test(reason)
        ? "; perhaps it speaks TLS there: write https://"
        : "";
      const why = `${this.shown(reason)}${guess}${proxyHint(proxy)}`;
      throw new ConnectionError(`${new URL(url).host} does not answer: ${why}`, { cause: error });
    }
  }

  [Symbol.dispose](): void {
    this.#tls[Symbol.dispose]();
  }

  /** @throws {ConnectionError} If a variable names a proxy that can't be used. */
  #proxyFor(url: string): Proxy | undefined {
    try {
      return this.#proxyOf(url);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw new ConnectionError(`${new URL(url).host} is not asked: ${error.message}`);
    }
  }

  /** Keeps how long a server that has too much to do asks to be left alone. */
  #heed(url: string, { status, headers }: Response): void {
    const askedMs = BUSY.has(status) ? retryAfterMs(headers) : undefined;
    if (askedMs === undefined) return;
    const spreadMs = askedMs * Math.random() * REST_SPREAD;
    this.#rests.set(new URL(url).origin, this.#elapsedMs() + askedMs + spreadMs);
  }
}
