import { EtcdClient } from "../../src/registry/etcd/etcd_client.ts";
import type { EtcdAccess } from "../../src/registry/etcd/etcd_door.ts";
import { toBase64 } from "../../src/registry/etcd/etcd_wire.ts";
import type { TlsFiles } from "../../src/registry/http/tls_client.ts";
import { aborted, pause } from "../../src/loop/pause.ts";
import { type Authority, makeAuthority } from "./certificates.ts";
import { freePort, ServerProcess } from "./server_process.ts";

const signal = new AbortController().signal;
/** The root user of a server with users. */
export const ROOT = { name: "root", password: "correct horse" } as const;

/** How the server is guarded. */
export interface EtcdServerOptions {
  readonly tls?: "server" | "both";
  readonly withUsers?: true;
  /** How large its database may become. */
  readonly quotaBytes?: number;
  /** Another etcd than the one in the path. */
  readonly program?: string;
  /** Where hosts ask for it, besides the loopback: its certificate names these too. */
  readonly addresses?: readonly string[];
}

/** A real etcd on the loopback, with its data in a folder of its own. */
export class EtcdServer implements AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly authority: Authority | undefined;
  /** What a test speaks to it with. */
  readonly client: EtcdClient;
  /** What reaches it. */
  readonly access: EtcdAccess;
  readonly #process: ServerProcess;
  readonly #folder: string;
  #backups = 0;

  private constructor(
    port: number,
    access: EtcdAccess,
    authority: Authority | undefined,
    folder: string,
    command: string[],
  ) {
    this.port = port;
    this.url = access.endpoints[0]!;
    this.access = access;
    this.authority = authority;
    this.#folder = folder;
    const readTextFile = (path: string) => Deno.readTextFile(path);
    this.client = new EtcdClient(access, { readTextFile });
    this.#process = new ServerProcess(command, `${folder}/log`, async () => {
      const { user: _, ...nobody } = access;
      using client = new EtcdClient(nobody, { readTextFile });
      try {
        await client.range("/", { signal, isCount: true });
      } catch (error) {
        return /user name is empty/.test(String(error));
      }
      return true;
    });
  }

  static async open(options: EtcdServerOptions = {}): Promise<EtcdServer> {
    const folder = await Deno.makeTempDir({ prefix: "loden-etcd-" });
    const port = freePort();
    const scheme = options.tls === undefined ? "http" : "https";
    const url = `${scheme}://127.0.0.1:${port}`;
    const authority = options.tls && await makeAuthority(folder);
    const addresses = ["127.0.0.1", ...options.addresses ?? []];
    const server = await authority?.issue({ name: "server", commonName: "etcd", addresses });
    const host = options.tls === "both"
      ? await authority?.issue({ name: "host", commonName: "host" })
      : undefined;
    const tls: TlsFiles = {
      ...authority && { caFile: authority.caFile },
      ...host && { certFile: host.certFile, keyFile: host.keyFile },
    };
    const access = { endpoints: [url], tls, ...options.withUsers && { user: ROOT } };
    const etcd = new EtcdServer(port, access, authority, folder, [
      ...[options.program ?? "etcd", "--data-dir", `${folder}/data`, "--log-level", "error"],
      ...options.quotaBytes === undefined ? [] : ["--quota-backend-bytes", String(options.quotaBytes)],
      ...["--listen-client-urls", url, "--advertise-client-urls", url],
      ...["--listen-peer-urls", `http://127.0.0.1:${freePort()}`],
      ...server ? ["--cert-file", server.certFile, "--key-file", server.keyFile] : [],
      ...options.tls === "both" ? ["--client-cert-auth", "--trusted-ca-file", authority!.caFile] : [],
    ]);
    try {
      await etcd.start();
      if (options.withUsers) await etcd.#addUsers();
      // Its connection is opened here, not in the first test that uses it.
      await etcd.client.range("/", { signal, isCount: true });
      return etcd;
    } catch (error) {
      await etcd[Symbol.asyncDispose]();
      throw error;
    }
  }

  start(): Promise<void> {
    return this.#process.start();
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }

  get pid(): number {
    return this.#process.pid;
  }

  signal(name: Deno.Signal): void {
    this.#process.signal(name);
  }

  /** Keeps what there is now, as an operator does; answers with what `restore()` takes. */
  async backUp(): Promise<string> {
    const file = `${this.#folder}/backup-${++this.#backups}`;
    await this.#etcdctl("snapshot", "save", file);
    return file;
  }

  /**
   * Goes back to what was kept, and to its revision.
   *
   * @param options.token Of another one a cluster has another id; of the usual one it has the same.
   */
  async restore(file: string, { token }: { readonly token?: string } = {}): Promise<void> {
    await this.stop();
    await Deno.remove(`${this.#folder}/data`, { recursive: true });
    const tokens = token === undefined ? [] : ["--initial-cluster-token", token];
    await this.#etcdctl("snapshot", "restore", file, "--data-dir", `${this.#folder}/data`, ...tokens);
    await this.start();
  }

  async #etcdctl(...args: string[]): Promise<void> {
    const { success, stderr } = await new Deno.Command("etcdctl", {
      args: ["--endpoints", this.url, ...args],
      env: { ETCDCTL_API: "3" },
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) throw new Error(`Cannot run etcdctl ${args[1]}: ${new TextDecoder().decode(stderr)}`);
  }

  /** Forgets all changes before the last one. */
  async compact(): Promise<void> {
    const { revision } = await this.client.range("/", { signal, isCount: true });
    await this.#post("kv/compaction", { revision: String(revision), physical: true });
  }

  /** Writes a key that does not end by itself. */
  async put(key: string, value: string): Promise<void> {
    await this.putAll([[key, value]]);
  }

  /** Writes keys in one transaction. */
  async putAll(entries: readonly (readonly [key: string, value: string])[]): Promise<void> {
    await this.client.transact({
      compare: [],
      success: entries.map(([key, value]) => ({
        request_put: { key: toBase64(key), value: toBase64(value) },
      })),
    }, { signal });
  }

  /** The names of all leases of etcd's, in use or not. */
  async leases(): Promise<readonly string[]> {
    const { leases } = await this.#post("lease/leases", {}) as { leases?: { ID: string }[] };
    return leases?.map(({ ID }) => ID) ?? [];
  }

  async delete(key: string): Promise<void> {
    await this.client.transact({ compare: [], success: [{ request_delete_range: { key: toBase64(key) } }] }, {
      signal,
    });
  }

  /** The keys that begin with `prefix`, and what stands there. */
  async list(prefix: string): Promise<Record<string, string>> {
    const { entries } = await this.client.range(prefix, { signal });
    return Object.fromEntries(entries.map(({ key, value }) => [key, value]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await this.#process[Symbol.asyncDispose]();
    await Deno.remove(this.#folder, { recursive: true });
  }

  async #addUsers(): Promise<void> {
    await this.#post("auth/user/add", { name: ROOT.name, password: ROOT.password });
    await this.#post("auth/user/grant", { user: ROOT.name, role: "root" });
    await this.#post("auth/enable", {});
  }

  async #post(method: string, body: unknown): Promise<unknown> {
    using client = Deno.createHttpClient({ ...this.authority && { caCerts: [this.authority.caPem] } });
    const response = await fetch(`${this.url}/v3/${method}`, {
      method: "POST",
      body: JSON.stringify(body),
      client,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`Cannot ask etcd for ${method}: ${text}`);
    return JSON.parse(text);
  }
}

/** What stands between hosts and etcd, as a balancer does, and fails as a network does. */
export class EtcdFront implements AsyncDisposable {
  readonly url: string;
  /** What was asked, in order. */
  readonly asked: string[] = [];
  readonly #server: Deno.HttpServer;
  readonly #etcds: readonly Pick<EtcdServer, "url">[];
  readonly #closed = new AbortController();
  #turn = 0;
  #thawed: Promise<void> | undefined;
  #thaw = () => {};
  #lost: string | undefined;
  #between: { readonly method: string; readonly action: () => Promise<void> } | undefined;
  /** Held here, as `fetch` holds signals weakly. */
  readonly #passing = new Set<AbortController>();
  readonly #answers = new Set<Promise<Response>>();
  readonly #bodies = new Set<ReadableStreamDefaultReader<Uint8Array>>();
  #keepsWatches = false;
  #isClosed = false;
  #isMuted = false;
  #bytesPerS = Infinity;
  readonly #rewritten = new Map<string, (answer: string) => string>();

  /** Requests go to one etcd after the other. */
  constructor(...etcds: readonly Pick<EtcdServer, "url">[]) {
    this.#etcds = etcds;
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
      const answer = this.#pass(request).catch(unavailable);
      this.#answers.add(answer);
      return answer.finally(() => this.#answers.delete(answer));
    });
    this.url = `http://127.0.0.1:${(this.#server.addr as Deno.NetAddr).port}`;
  }

  /** Lets nothing through any more, and says nothing about it. */
  freeze(): void {
    this.#thawed = new Promise((resolve) => this.#thaw = resolve);
  }

  /** Ends all answers that are under way. */
  cut(): void {
    for (const body of this.#bodies) void body.cancel().catch(() => {});
  }

  /** Lets everything through again. */
  thaw(): void {
    this.#thaw();
    this.#thawed = undefined;
  }

  /** Says that etcd is away, until `action` is done. */
  async whileClosed(action: () => Promise<void>): Promise<void> {
    this.#isClosed = true;
    await action();
    this.#isClosed = false;
  }

  /** Has etcd do what `method` asks for next, and says that it did not answer. */
  loseAnswer(method: string): void {
    this.#lost = method;
  }

  /** Does `action` when `method` is asked for next, before etcd hears of it; if that fails, etcd never does. */
  between(method: string, action: () => Promise<void>): void {
    this.#between = { method, action };
  }

  /** Keeps watches open from now on, also when etcd has ended them. */
  keepWatches(): void {
    this.#keepsWatches = true;
  }

  /** Hands on nothing of watches any more, and keeps them open. */
  mute(): void {
    this.#isMuted = true;
  }

  /** Hands answers on at a rate. */
  slow(bytesPerS: number): void {
    this.#bytesPerS = bytesPerS;
  }

  /** Changes what is answered to `method`. */
  rewrite(method: string, change: (answer: string) => string): void {
    this.#rewritten.set(method, change);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#thaw();
    this.#closed.abort();
    for (const ended of this.#passing) ended.abort();
    // Of those whose host is gone, too.
    await Promise.allSettled(this.#answers);
    await Promise.allSettled([...this.#bodies].map((body) => body.cancel()));
    await this.#server.shutdown();
  }

  async #pass(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const method = pathname.replace("/v3/", "");
    const body = await request.text();
    await this.#thawed;
    this.asked.push(method);
    if (this.#isClosed) return unavailable();
    if (this.#between !== undefined && method === this.#between.method) {
      const { action } = this.#between;
      this.#between = undefined;
      await action();
    }
    const { url } = this.#etcds[this.#turn++ % this.#etcds.length]!;
    const isWatch = method === "watch";
    const ended = new AbortController();
    this.#passing.add(ended);
    const passed: { reader?: ReadableStreamDefaultReader<Uint8Array> | undefined } = {};
    // Of a body that is there, an abort would leave the connection open.
    const end = () =>
      passed.reader === undefined ? ended.abort() : void passed.reader.cancel().catch(() => {});
    if (!isWatch || !this.#keepsWatches) request.signal.addEventListener("abort", end);
    const response = await fetch(url + pathname, { method: "POST", body, signal: ended.signal });
    if (this.#lost === method) {
      this.#lost = undefined;
      await response.body?.cancel();
      return unavailable();
    }
    const change = this.#rewritten.get(method);
    if (change !== undefined) return new Response(change(await response.text()), { status: response.status });
    this.#passing.delete(ended);
    const reader = passed.reader = response.body?.getReader();
    if (reader !== undefined) this.#bodies.add(reader);
    if (request.signal.aborted) end();
    const pieces = reader === undefined ? null : ReadableStream.from(this.#pieces(reader, isWatch));
    return new Response(pieces, { status: response.status });
  }

  async *#pieces(
    body: ReadableStreamDefaultReader<Uint8Array>,
    isWatch: boolean,
  ): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const { done, value: chunk } = await body.read();
        if (done) break;
        await this.#thawed;
        if (isWatch && this.#isMuted) await aborted(this.#closed.signal);
        const stepBytes = Math.max(1, Math.min(chunk.length, Math.floor(this.#bytesPerS / 20)));
        for (let at = 0; at < chunk.length; at += stepBytes) {
          const piece = chunk.subarray(at, at + stepBytes);
          if (this.#bytesPerS < Infinity) await pause(piece.length / this.#bytesPerS * 1000, this.#closed);
          yield piece;
        }
      }
    } catch (error) {
      if (!isWatch || !this.#keepsWatches) throw error;
    } finally {
      await body.cancel().catch(() => {});
      this.#bodies.delete(body);
    }
    if (isWatch && this.#keepsWatches) await aborted(this.#closed.signal);
  }
}

/** What etcd says when it does not know what has become of a request. */
function unavailable(): Response {
  return Response.json({ code: 14, message: "etcdserver: request timed out" }, { status: 503 });
}
