import { fileReason } from "../../file/file_reason.ts";
import type { Condition } from "../../model/condition.ts";
import { CertificateError } from "./connection_error.ts";
import { otherThanPem, pemBlocks } from "./pem.ts";
import { openClient, type Proxy } from "./proxy.ts";
import { pairFault } from "./tls_pair.ts";

/** Files are read again after this long, so that what is wrong with them is known before it is needed. */
const LOOK_MS = 60_000;
/** While they can't be used they are read again this often. */
const DOUBT_MS = 1000;
/** A certificate and its key are replaced one after the other; only what stays wrong is told. */
const PATIENCE_MS = 10_000;

/** Files that a TLS connection needs; each may be replaced at any time, as certificates are. */
export interface TlsFiles {
  /** Authorities that the server's certificate may come from, beside those that Deno brings along. */
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

/** What a client needs of the world. */
export interface TlsClientDeps {
  readonly readTextFile: (path: string) => Promise<string>;
  /** Milliseconds of a monotonic clock; the process's if absent. */
  readonly elapsedMs?: () => number;
}

/**
 * A client of `fetch` with the certificates of files. They are read again from time to time, and when a connection has
 * failed; the client with the last ones that could be used stays in use until there are others that can.
 */
export class TlsClient implements Disposable {
  readonly #deps: TlsClientDeps;
  readonly #files: TlsFiles;
  readonly #texts: TlsTexts;
  #client: Deno.HttpClient | undefined;
  /** The same through proxies, by their URL. */
  readonly #proxied = new Map<string, Deno.HttpClient>();
  /** What the client is made of, and what the next one is if the files can't be used. */
  #used: TlsTexts | undefined;
  #lookedAtMs = -Infinity;
  #isStale = false;
  #isClosed = false;
  #opening: Promise<Deno.HttpClient> | undefined;
  #fault: { readonly reason: string; readonly sinceMs: number } | undefined;
  /** What of the files in use is left out. */
  #note: string | undefined;
  /** What was refused last, so that it is not tried again and again. */
  #refused: { readonly texts: TlsTexts; readonly reason: string } | undefined;

  constructor(deps: TlsClientDeps, tls: { readonly files?: TlsFiles; readonly texts?: TlsTexts }) {
    this.#deps = deps;
    this.#files = tls.files ?? {};
    this.#texts = tls.texts ?? {};
  }

  /** Whether the server is shown a certificate of this host's. */
  get hasCertificate(): boolean {
    return this.#used?.cert !== undefined;
  }

  /** That the files can't be used, while a client with earlier ones is in use; and what of those in use is left out. */
  get conditions(): readonly Condition[] {
    const fault = this.#fault;
    const isTold = fault !== undefined && this.#used !== undefined &&
      this.#elapsedMs() - fault.sinceMs >= PATIENCE_MS;
    const old = isTold &&
      `${fault.reason}; what was read before stays in use as long as the registry takes it`;
    return [old, this.#note].flatMap((sentence) =>
      sentence ? [{ code: "certificate-unusable" as const, sentence }] : []
    );
  }

  /** Reads the files again if that is due, also while nobody asks. */
  async look(): Promise<void> {
    try {
      await this.client();
    } catch {
      // Who asks is told.
    }
  }

  /** The certificates may have been replaced: a connection has failed. */
  doubt(): void {
    this.#isStale = true;
  }

  /** Closes all connections; the next client has new ones. */
  leave(): void {
    this.#client?.close();
    this.#client = undefined;
    this.#leaveProxies();
  }

  /**
   * The client to ask with, through a proxy or without one.
   *
   * @throws {CertificateError} If none can be made of the files, and none could before.
   */
  async client(proxy?: Proxy): Promise<Deno.HttpClient> {
    const direct = await this.#direct();
    if (proxy === undefined) return direct;
    const known = this.#proxied.get(proxy.url);
    if (known !== undefined) return known;
    const made = makeClient(this.#used!, this.#names.ca, proxy);
    // What the direct one was made of can be used here too.
    if ("reason" in made) throw new CertificateError(made.reason);
    if (!this.#isClosed) this.#proxied.set(proxy.url, made.client);
    return made.client;
  }

  async #direct(): Promise<Deno.HttpClient> {
    const isYoung = this.#elapsedMs() - this.#lookedAtMs < (this.#fault === undefined ? LOOK_MS : DOUBT_MS);
    if (this.#client !== undefined && isYoung && !this.#isStale) return this.#client;
    return await (this.#opening ??= this.#open().finally(() => this.#opening = undefined));
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.leave();
  }

  #elapsedMs(): number {
    return this.#deps.elapsedMs?.() ?? performance.now();
  }

  async #open(): Promise<Deno.HttpClient> {
    this.#isStale = false;
    this.#lookedAtMs = this.#elapsedMs();
    let reason: string | undefined;
    try {
      const texts = await this.#read();
      if (this.#client === undefined || !isSame(this.#used, texts)) this.#use(texts);
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      reason = error.message;
      this.#fault = { reason, sinceMs: this.#fault?.sinceMs ?? this.#elapsedMs() };
      if (this.#used === undefined) throw error;
      if (this.#client === undefined) this.#use(this.#used);
    }
    if (reason === undefined) this.#fault = undefined;
    const client = this.#client!;
    if (this.#isClosed) this.leave();
    return client;
  }

  /** Makes a client; the one before stays if that can't be. */
  #use(texts: TlsTexts): void {
    const before = this.#client;
    this.#client = this.#make(texts);
    this.#used = texts;
    before?.close();
    this.#leaveProxies();
  }

  #leaveProxies(): void {
    for (const client of this.#proxied.values()) client.close();
    this.#proxied.clear();
  }

  #make(texts: TlsTexts): Deno.HttpClient {
    const reason = isSame(this.#refused?.texts, texts) ? this.#refused!.reason : this.#pairFault(texts);
    if (reason === undefined) {
      const made = makeClient(texts, this.#names.ca);
      if ("client" in made) {
        this.#note = made.note;
        return made.client;
      }
      this.#refused = { texts, reason: made.reason };
    } else this.#refused = { texts, reason };
    throw new CertificateError(this.#refused.reason);
  }

  #pairFault({ cert, key }: TlsTexts): string | undefined {
    return cert === undefined || key === undefined ? undefined : pairFault({ cert, key }, this.#names);
  }

  /** What the three are called. */
  get #names(): { readonly ca: string; readonly cert: string; readonly key: string } {
    const { caFile, certFile, keyFile } = this.#files;
    return {
      ca: caFile ?? "certificate-authority-data of the kubeconfig",
      cert: certFile ?? "client-certificate-data of the kubeconfig",
      key: keyFile ?? "client-key-data of the kubeconfig",
    };
  }

  async #read(): Promise<TlsTexts> {
    const { caFile, certFile, keyFile } = this.#files;
    const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map(async (path) => {
      if (path === undefined) return undefined;
      try {
        return await this.#deps.readTextFile(path);
      } catch (error) {
        throw new CertificateError(`${path} can't be read: ${fileReason(error)}`, { cause: error });
      }
    }));
    const texts = {
      ...this.#texts,
      ...ca !== undefined && { ca },
      ...cert !== undefined && { cert },
      ...key !== undefined && { key },
    };
    // A mark of Windows' editors.
    return Object.fromEntries(
      Object.entries(texts).map(([name, text]) => [name, text.replace(/^\ufeff/, "")]),
    );
  }
}

/** A client, and what of its authorities is left out; or why there is none. */
type Made = { readonly client: Deno.HttpClient; readonly note: string | undefined } | {
  readonly reason: string;
};

/** Makes a client of a pair that can be used. Authorities that can't be are left out, as Go's clients do. */
function makeClient({ ca, cert, key }: TlsTexts, caName: string, proxy?: Proxy): Made {
  const open = (caCerts?: string[]) =>
    openClient({
      ...caCerts && { caCerts },
      ...cert !== undefined && key !== undefined && { cert, key },
    }, proxy);
  // A client of its own also without certificates: connections of Deno's own one can't be left.
  if (ca === undefined) return { client: open(), note: undefined };
  const all = pemBlocks(ca).filter(({ label }) => label === "CERTIFICATE").map(({ text }) => text);
  if (all.length === 0) return { reason: `${caName} ${otherThanPem(ca, "certificate")}` };
  try {
    return { client: open(all), note: undefined };
  } catch {
    const usable = all.filter(isAuthority);
    if (usable.length === 0) return { reason: `the certificate ${caName} is damaged` };
    const left = all.length - usable.length;
    const note =
      `${left} of ${all.length} certificates in ${caName} are damaged, and left out; mend the file`;
    return { client: open(usable), note };
  }
}

function isAuthority(pem: string): boolean {
  try {
    Deno.createHttpClient({ caCerts: [pem] }).close();
    return true;
  } catch {
    return false;
  }
}

function isSame(a: TlsTexts | undefined, b: TlsTexts): boolean {
  return a !== undefined && a.ca === b.ca && a.cert === b.cert && a.key === b.key;
}
