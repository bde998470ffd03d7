import { errorText } from "../../log/error_text.ts";
import { fileReason } from "../../file/file_reason.ts";
import type { LinkedAbort } from "../../loop/linked_abort.ts";
import { pause } from "../../loop/pause.ts";
import { retryAfterMs } from "../../loop/retry_after.ts";

/** A question is asked again this often because its connection was left. */
const MAX_LEFTS = 3;
/** Of a rest that a server asks for, up to so much more is taken: the hosts that it asked alike come back spread. */
const REST_SPREAD = 1 / 2;
/** What a server answers that has too much to do. */
const BUSY: ReadonlySet<number> = new Set([429, 503]);

/** Files that a TLS connection needs; each may be replaced at any time, as certificates are. */
export interface TlsFiles {
  /** The authorities that the server's certificate must come from; the system's where absent. */
  readonly caFile?: string;
  /** The own certificate and its key, where the server asks for one. */
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** The same as texts, where a configuration carries them itself. */
export interface TlsTexts {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** A server could not be asked: it is away, or not who it should be. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}

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

/** What the door needs of the world. */
export interface HttpDoorDeps {
  readonly readTextFile: (path: string) => Promise<string>;
  /** Milliseconds of a monotonic clock; the process's if absent. */
  readonly elapsedMs?: () => number;
}

/**
 * The way out to one registry: `fetch` with the certificates of files, which are read again when a connection failed
 * and they have changed.
 */
export class HttpDoor implements Disposable {
  readonly #deps: HttpDoorDeps;
  readonly #files: TlsFiles;
  readonly #texts: TlsTexts;
  #opened: { readonly texts: TlsTexts; readonly client: Deno.HttpClient } | undefined;
  #isStale = false;
  readonly #leaving = new Set<LinkedAbort>();
  /** Until when a server wants to be left alone, by its origin. */
  readonly #rests = new Map<string, number>();

  constructor(deps: HttpDoorDeps, tls: { readonly files?: TlsFiles; readonly texts?: TlsTexts }) {
    this.#deps = deps;
    this.#files = tls.files ?? {};
    this.#texts = tls.texts ?? {};
  }

  /**
   * Leaves all connections: this host has another address, and what is sent from the old one comes to nothing, for
   * minutes. What waits for an answer there is aborted.
   */
  leave(): void {
    this.#opened?.client.close();
    this.#opened = undefined;
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
    const client = await this.#client();
    try {
      const response = await fetch(url, { ...init, redirect: "error", client });
      this.#heed(url, response);
      return response;
    } catch (error) {
      init.signal.throwIfAborted();
      // Perhaps a certificate was replaced.
      this.#isStale = true;
      const reason = connectionReason(error);
      // A server that misses a certificate says so, but may be cut off before it is heard.
      const isCutOff = url.startsWith("https") && /closed|reset|broken pipe/i.test(reason);
      const guess = isCutOff && this.#opened?.texts.cert === undefined
        ? "; perhaps it wants a certificate of this host's that it knows: name one, and its key"
        : "";
      throw new ConnectionError(`${new URL(url).host} does not answer: ${reason}${guess}`, { cause: error });
    }
  }

  [Symbol.dispose](): void {
    this.#opened?.client.close();
    this.#opened = undefined;
  }

  get #elapsedMs(): () => number {
    return this.#deps.elapsedMs ?? (() => performance.now());
  }

  /** Keeps how long a server that has too much to do asks to be left alone. */
  #heed(url: string, { status, headers }: Response): void {
    const askedMs = BUSY.has(status) ? retryAfterMs(headers) : undefined;
    if (askedMs === undefined) return;
    const spreadMs = askedMs * Math.random() * REST_SPREAD;
    this.#rests.set(new URL(url).origin, this.#elapsedMs() + askedMs + spreadMs);
  }

  async #client(): Promise<Deno.HttpClient> {
    if (this.#opened !== undefined && !this.#isStale) return this.#opened.client;
    const texts = await this.#read();
    this.#isStale = false;
    const before = this.#opened;
    if (before !== undefined && isSame(before.texts, texts)) return before.client;
    const { ca, cert, key } = texts;
    let client: Deno.HttpClient;
    try {
      // A client of its own also without certificates: connections of Deno's own one can't be left.
      client = Deno.createHttpClient({
        ...ca !== undefined && { caCerts: [ca] },
        ...cert !== undefined && key !== undefined && { cert, key },
      });
    } catch (error) {
      const { caFile, certFile, keyFile } = this.#files;
      const names = [caFile, certFile, keyFile].filter((name) => name !== undefined).join(", ");
      const where = names === "" ? "the configuration" : names;
      throw new ConnectionError(`the certificates of ${where} can't be used: ${lastPart(error)}`, {
        cause: error,
      });
    }
    this.#opened = { texts, client };
    before?.client.close();
    return client;
  }

  async #read(): Promise<TlsTexts> {
    const { caFile, certFile, keyFile } = this.#files;
    const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map(async (path) => {
      if (path === undefined) return undefined;
      try {
        return await this.#deps.readTextFile(path);
      } catch (error) {
        throw new ConnectionError(`${path} can't be read: ${fileReason(error)}`, { cause: error });
      }
    }));
    return {
      ...this.#texts,
      ...ca !== undefined && { ca },
      ...cert !== undefined && { cert },
      ...key !== undefined && { key },
    };
  }
}

function isSame(a: TlsTexts, b: TlsTexts): boolean {
  return a.ca === b.ca && a.cert === b.cert && a.key === b.key;
}

/** What went wrong with a connection, in a person's words where the cause is known. */
function connectionReason(error: unknown): string {
  const text = lastPart(error);
  if (/UnknownIssuer|BadSignature/.test(text)) {
    return "its certificate comes from an authority that is not trusted; name the right one's file";
  }
  if (/Expired/.test(text)) return "its certificate has expired, or this host's clock is wrong";
  if (/NotValidYet/.test(text)) return "its certificate is not valid yet, or this host's clock is wrong";
  if (/NotValidForName/.test(text)) return "its certificate is for another name or address";
  if (/CertificateRequired|BadCertificate|HandshakeFailure/.test(text)) {
    return "it wants a certificate of this host's that it knows; name one, and its key";
  }
  if (/InvalidContentType|InvalidMessage/.test(text)) {
    return "it does not speak TLS there; write http:// or another port";
  }
  return text;
}

/** The innermost cause of what `fetch` throws: `Connection refused (os error 111)`. */
function lastPart(error: unknown): string {
  const text = errorText(error);
  const [innermost] = text.split(/: (?=[A-Za-z])/).slice(-1);
  return innermost!.replace(/ \(os error \d+\)$/, "").replaceAll(/\s+/g, " ").slice(0, 300);
}
