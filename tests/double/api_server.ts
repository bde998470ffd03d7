import {
  isJson,
  type Json,
  mergePatch,
  type Refusal,
  refusal,
  statusObject,
  strategicMerge,
} from "./api_objects.ts";
import { Misdeeds, type RequestKind } from "./misdeeds.ts";
import { checkPodCidrs, withPodCidrs } from "./node_rules.ts";
import { freePort } from "./server_process.ts";

/** What tests need of an API server, whether it is real or not. */
export interface TestApiServer extends AsyncDisposable {
  /** `http://127.0.0.1:1234`, or with https. */
  readonly url: string;
  readonly port: number;
  /** The authority of its certificate. */
  readonly caFile: string | undefined;
  /** Bearer tokens: of one who may do everything, of the agent, and of one who may do nothing. */
  readonly tokens: { readonly admin: string; readonly agent: string; readonly nobody: string };
  createNode(node: Json): Promise<void>;
  /** Merges a patch into a node; into its status where that is said. */
  patchNode(name: string, patch: Json, subresource?: "status"): Promise<void>;
  deleteNode(name: string): Promise<void>;
  node(name: string): Promise<Json | undefined>;
  createPod(namespace: string, name: string, nodeName: string): Promise<void>;
  events(): Promise<readonly Json[]>;
  /** What the agent may do from now on: verbs by resource. */
  permitAgent(rules: Readonly<Record<string, readonly string[]>>): Promise<void>;
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** What flannel's manifest lets its service account do. */
export const FLANNEL_RULES: Readonly<Record<string, readonly string[]>> = {
  pods: ["get"],
  nodes: ["get", "list", "watch"],
  "nodes/status": ["patch"],
};

export const TOKENS = { admin: "admin-token", agent: "agent-token", nobody: "nobody-token" } as const;

/** All nodes at a revision. */
export interface Backup {
  readonly revision: number;
  readonly nodes: ReadonlyMap<string, Json>;
  readonly changes: readonly Change[];
}

interface Change {
  readonly revision: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: Json;
}

/** How a body merges into an object, by its content type. */
const PATCHES: Readonly<Record<string, (target: unknown, patch: unknown) => unknown>> = {
  "application/strategic-merge-patch+json": strategicMerge,
  "application/merge-patch+json": mergePatch,
};

/** An API server inside of the test: nodes, pods and events, as far as an agent sees them. */
export class ApiServerDouble implements TestApiServer {
  readonly tokens = TOKENS;
  readonly caFile = undefined;
  readonly port = freePort();
  readonly #nodes = new Map<string, Json>();
  readonly #pods = new Map<string, Json>();
  readonly #events: Json[] = [];
  readonly #changes: Change[] = [];
  readonly #watches = new Set<AbortController>();
  #agentRules = FLANNEL_RULES;
  #revision = 1;
  #compacted = 0;
  /** What the watch cache begins behind: a restart empties it, and what came before is too old to watch from. */
  #cachedFrom = 0;
  #wake = Promise.withResolvers<void>();
  #server: Deno.HttpServer<Deno.NetAddr> | undefined;
  #hasRun = false;
  #serial = 0;
  /** Answers are cut into pieces of so many bytes. */
  chunkBytes = Infinity;
  /** A bookmark is sent this often. */
  bookmarkMs = 60_000;
  /** The revision that the last bookmark told. */
  bookmarked = 0;
  /** Method, path and query of each request. */
  readonly requests: string[] = [];
  /** What the next requests are refused with, before anything is looked at. */
  readonly refusals: Refusal[] = [];
  /** What else it does wrong. */
  readonly misdeeds = new Misdeeds();
  /** Whether it has the streaming list, as servers do from 1.34 on. */
  streamsLists = false;

  static async open(): Promise<ApiServerDouble> {
    const server = new ApiServerDouble();
    await server.start();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  start(): Promise<void> {
    if (this.#hasRun) this.#cachedFrom = this.#revision;
    this.#hasRun = true;
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: this.port, onListen: () => {} },
      (request) => this.#answer(request),
    );
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.dropWatches();
    this.misdeeds.end();
    await server?.shutdown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** What there is at the moment, to go back to. */
  backUp(): Backup {
    return { revision: this.#revision, nodes: new Map(this.#nodes), changes: [...this.#changes] };
  }

  /**
   * Is again as it was at `backup`: its etcd was restored. Watches go on, deaf until the revision is past theirs; a
   * server that is started anew knows none of them.
   */
  restore({ revision, nodes, changes }: Backup): void {
    this.#revision = revision;
    this.#nodes.clear();
    for (const [name, node] of nodes) this.#nodes.set(name, node);
    this.#changes.length = 0;
    this.#changes.push(...changes);
    this.#compacted = Math.min(this.#compacted, revision);
    this.#cachedFrom = Math.min(this.#cachedFrom, revision);
  }

  /** Forgets what changed up to now: a watch that resumes from there has to list anew. */
  compact(): void {
    this.#compacted = this.#cachedFrom = this.#revision;
  }

  /** Ends every watch. */
  dropWatches(): void {
    for (const watch of this.#watches) watch.abort();
    this.#watches.clear();
  }

  createNode(node: Json): Promise<void> {
    this.#create(node);
    return Promise.resolve();
  }

  patchNode(name: string, patch: Json, subresource?: "status"): Promise<void> {
    this.#patch(name, subresource, (node) => strategicMerge(node, patch));
    return Promise.resolve();
  }

  deleteNode(name: string): Promise<void> {
    this.#delete(name);
    return Promise.resolve();
  }

  node(name: string): Promise<Json | undefined> {
    return Promise.resolve(this.#nodes.get(name));
  }

  createPod(namespace: string, name: string, nodeName: string): Promise<void> {
    this.#pods.set(`${namespace}/${name}`, {
      kind: "Pod",
      metadata: { name, namespace },
      spec: { nodeName },
    });
    return Promise.resolve();
  }

  events(): Promise<readonly Json[]> {
    return Promise.resolve(this.#events);
  }

  permitAgent(rules: Readonly<Record<string, readonly string[]>>): Promise<void> {
    this.#agentRules = rules;
    // A watch that is running is not asked again, here and there.
    return Promise.resolve();
  }

  #delete(name: string): Json {
    const node = this.#nodes.get(name);
    if (node === undefined) throw notFound("nodes", name);
    this.#nodes.delete(name);
    this.#tell("DELETED", node);
    const { uid } = node.metadata as Json;
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Success",
      details: { name, kind: "nodes", uid },
    };
  }

  #create(node: Json): Json {
    const metadata = node.metadata as Json;
    const name = metadata.name as string;
    if (this.#nodes.has(name)) throw refusal(409, "AlreadyExists", `nodes "${name}" already exists`);
    const stamped: Json = {
      kind: "Node",
      apiVersion: "v1",
      ...withPodCidrs(node),
      metadata: { ...metadata, uid: `uid-${++this.#serial}`, creationTimestamp: "2026-01-01T00:00:00Z" },
    };
    checkPodCidrs(undefined, stamped);
    const told = this.#tell("ADDED", stamped);
    this.#nodes.set(name, told);
    return told;
  }

  #patch(name: string, subresource: string | undefined, apply: (node: Json) => unknown): Json {
    const before = this.#nodes.get(name);
    if (before === undefined) throw notFound("nodes", name);
    const { status: patchedStatus, ...whole } = apply(before) as Json;
    const merged: Json = subresource === "status"
      ? { ...before, metadata: whole.metadata, ...patchedStatus !== undefined && { status: patchedStatus } }
      : { ...withPodCidrs(whole), ...before.status !== undefined && { status: before.status } };
    checkPodCidrs(before, merged);
    if (JSON.stringify(merged) === JSON.stringify(before)) return before;
    const told = this.#tell("MODIFIED", merged);
    this.#nodes.set(name, told);
    return told;
  }

  #tell(type: Change["type"], node: Json): Json {
    const revision = ++this.#revision;
    const object = { ...node, metadata: { ...node.metadata as Json, resourceVersion: String(revision) } };
    this.#changes.push({ revision, type, object });
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
    return object;
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    this.requests.push(`${request.method} ${pathname}${search}`);
    const misdeed = this.misdeeds.take(...kindOf(request));
    if (misdeed === undefined) return await this.#answerRight(request);
    return await this.misdeeds.commit(misdeed, () => this.#answerRight(request));
  }

  async #answerRight(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    try {
      const next = this.refusals.shift();
      if (next !== undefined) throw next;
      const text = await request.text();
      const body = text === "" ? undefined : JSON.parse(text);
      const [, resource = "", name = "", subresource] =
        /^\/api\/v1\/(?:namespaces\/[^/]+\/)?(\w+)\/?([^/]*)\/?(\w*)$/.exec(pathname) ?? [];
      const full = subresource ? `${resource}/${subresource}` : resource;
      this.#authorize(request, full, name);
      switch (`${request.method} ${full}`) {
        case "GET nodes":
          this.#checkVersion(searchParams);
          if (name !== "") {
            return this.#json(this.#nodes.get(decodeURIComponent(name)) ?? notFoundThrow("nodes", name));
          }
          if (searchParams.has("watch")) {
            const isPartial = request.headers.get("accept")?.includes("as=PartialObjectMetadata;") ?? false;
            return this.#watch(searchParams, isPartial, request.signal);
          }
          return this.#json(
            this.#list(
              searchParams,
              request.headers.get("accept")?.includes("as=PartialObjectMetadataList;"),
            ),
          );
        case "POST nodes":
          return this.#json(this.#create(body), 201);
        case "DELETE nodes":
          return this.#json(this.#delete(decodeURIComponent(name)));
        case "PATCH nodes/status":
        case "PATCH nodes": {
          const merge = PATCHES[request.headers.get("content-type") ?? ""];
          if (merge === undefined) {
            throw refusal(415, "UnsupportedMediaType", "415: Unsupported Media Type");
          }
          return this.#json(this.#patch(decodeURIComponent(name), subresource, (node) => merge(node, body)));
        }
        case "GET pods": {
          const [, namespace] = /namespaces\/([^/]+)\//.exec(pathname)!;
          return this.#json(this.#pods.get(`${namespace}/${name}`) ?? notFoundThrow("pods", name));
        }
        case "POST events":
          this.#events.push(body);
          return this.#json(body, 201);
        default:
          throw refusal(404, "NotFound", "the server could not find the requested resource");
      }
    } catch (error) {
      if (isJson(error) && typeof error.status === "number") {
        return this.#json(statusObject(error as unknown as Refusal), error.status);
      }
      throw error;
    }
  }

  #authorize(request: Request, resource: string, name: string): void {
    const { pathname, searchParams: query } = new URL(request.url);
    const token = request.headers.get("authorization")?.replace(/^Bearer /, "");
    const user = Object.entries(TOKENS).find(([, value]) => value === token)?.[0];
    if (user === undefined) throw refusal(401, "Unauthorized", "Unauthorized");
    const verbs: Record<string, string> = {
      GET: name !== "" ? "get" : query.has("watch") ? "watch" : "list",
      PATCH: "patch",
      POST: "create",
      DELETE: name !== "" ? "delete" : "deletecollection",
    };
    const verb = verbs[request.method]!;
    if (user === "admin" || user === "agent" && this.#agentRules[resource]?.includes(verb)) return;
    const what = name === "" ? resource : `${resource.split("/")[0]} "${name}"`;
    const [, namespace] = /^\/api\/v1\/namespaces\/([^/]+)\//.exec(pathname) ?? [];
    const scope = namespace === undefined ? "at the cluster scope" : `in the namespace "${namespace}"`;
    throw refusal(
      403,
      "Forbidden",
      `${what} is forbidden: User "${user}" cannot ${verb} resource "${resource}" in API group "" ${scope}`,
    );
  }

  /** What has to be no older than the server is, can't be told. */
  #checkVersion(query: URLSearchParams): void {
    const [version, match] = [query.get("resourceVersion"), query.get("resourceVersionMatch")];
    if (query.has("watch")) {
      if (query.has("sendInitialEvents") ? !this.streamsLists : match !== null) {
        const why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        throw refusal(
          422,
          "Invalid",
          `ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: ${why}`,
        );
      }
      if (!query.has("sendInitialEvents")) return;
    }
    if (Number(version ?? 0) <= this.#revision) return;
    throw refusal(504, "Timeout", `Too large resource version: ${version}, current: ${this.#revision}`);
  }

  #list(query: URLSearchParams, isPartial = false): Json {
    const limit = Number(query.get("limit") ?? 0) || Infinity;
    const token = query.get("continue");
    const { revision, after } = token ? readContinue(token) : { revision: this.#revision, after: "" };
    if (revision < this.#compacted) {
      throw refusal(
        410,
        "Expired",
        "The provided continue parameter is too old to display a consistent list result.",
      );
    }
    const [, only] = /^metadata\.name=(.+)$/.exec(query.get("fieldSelector") ?? "") ?? [];
    const all = this.#nodesAt(revision).filter(([name]) => name > after && name === (only ?? name));
    const items = all.slice(0, limit);
    const more = all.length - items.length;
    const next = more > 0
      ? { continue: btoa(JSON.stringify({ revision, after: items.at(-1)![0] })), remainingItemCount: more }
      : {};
    return {
      kind: "NodeList",
      apiVersion: "v1",
      metadata: { resourceVersion: String(revision), ...next },
      // Only the list says what its items are.
      items: items.map(([, { kind: _, apiVersion: __, ...node }]) =>
        isPartial ? { metadata: node.metadata } : node
      ),
    };
  }

  /** The nodes as they were at a revision, by name. */
  #nodesAt(revision: number): [string, Json][] {
    const nodes = new Map(revision === this.#revision ? this.#nodes : []);
    if (revision !== this.#revision) {
      for (const { type, object, revision: at } of this.#changes) {
        if (at > revision) break;
        const name = (object.metadata as Json).name as string;
        if (type === "DELETED") nodes.delete(name);
        else nodes.set(name, object);
      }
    }
    return [...nodes].sort(([a], [b]) => a < b ? -1 : 1);
  }

  #watch(query: URLSearchParams, isPartial: boolean, gone: AbortSignal): Response {
    const text = query.get("resourceVersion") || "0";
    if (!/^\d+$/.test(text)) {
      const reason = `strconv.ParseUint: parsing "${text}": invalid syntax`;
      throw refusal(500, "", `resourceVersion: Invalid value: "${text}": ${reason}`);
    }
    const from = Number(text);
    const controller = new AbortController();
    this.#watches.add(controller);
    // A watch that begins while the server stops would keep it from stopping.
    if (this.#server === undefined) controller.abort();
    const timeoutMs = Number(query.get("timeoutSeconds") ?? 1800) * 1000;
    const signal = AbortSignal.any([controller.signal, gone, AbortSignal.timeout(timeoutMs)]);
    const show = (object: Json) =>
      isPartial
        ? { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata }
        : object;
    const isList = query.get("sendInitialEvents") === "true";
    const withBookmarks = query.get("allowWatchBookmarks") === "true";
    return this.#chunked(this.#eventsFrom(isList ? 0 : from, { withBookmarks, isList, show, signal }));
  }

  async *#eventsFrom(
    from: number,
    { withBookmarks, isList, show, signal }: {
      readonly withBookmarks: boolean;
      readonly isList: boolean;
      readonly show: (object: Json) => Json;
      readonly signal: AbortSignal;
    },
  ): AsyncGenerator<string> {
    // Zero is what is there at the moment, also after changes were forgotten.
    if (from !== 0 && from < this.#cachedFrom) {
      const expired = refusal(410, "Expired", `too old resource version: ${from} (${this.#cachedFrom})`);
      yield `${JSON.stringify({ type: "ERROR", object: statusObject(expired) })}\n`;
      return;
    }
    let told = from;
    if (from === 0) {
      told = this.#revision;
      for (const [, object] of this.#nodesAt(told)) {
        yield `${JSON.stringify({ type: "ADDED", object: show(object) })}\n`;
      }
      if (isList) {
        const annotations = { "k8s.io/initial-events-end": "true" };
        const object = {
          kind: "Node",
          apiVersion: "v1",
          metadata: { resourceVersion: String(told), annotations },
        };
        yield `${JSON.stringify({ type: "BOOKMARK", object })}\n`;
      }
    }
    let bookmarkAtMs = performance.now() + this.bookmarkMs;
    const ended = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    while (!signal.aborted) {
      // The changes are in the order of revisions; the last ones are of interest.
      let first = this.#changes.length;
      while (first > 0 && this.#changes[first - 1]!.revision > told) first--;
      for (const { type, object, revision } of this.#changes.slice(first)) {
        told = revision;
        yield `${JSON.stringify({ type, object: show(object) })}\n`;
      }
      if (told < (this.#changes.at(-1)?.revision ?? 0)) continue;
      // A watch from a version that is yet to come hears nothing.
      if (withBookmarks && told <= this.#revision && performance.now() >= bookmarkAtMs) {
        bookmarkAtMs = performance.now() + this.bookmarkMs;
        const object = {
          kind: "Node",
          apiVersion: "v1",
          metadata: { resourceVersion: String(told), creationTimestamp: null },
        };
        yield `${JSON.stringify({ type: "BOOKMARK", object })}\n`;
        this.bookmarked = told;
      }
      let timer: number | undefined;
      const bookmark = new Promise<void>((resolve) => timer = setTimeout(resolve, this.bookmarkMs));
      await Promise.race([this.#wake.promise, ended, bookmark]);
      clearTimeout(timer);
    }
  }

  #json(value: unknown, status = 200): Response {
    const text = JSON.stringify(value);
    return this.#chunked(ReadableStream.from([text]), status);
  }

  /** An answer in pieces that may end anywhere, also inside a character. */
  #chunked(texts: AsyncIterable<string>, status = 200): Response {
    const cut = new TransformStream<Uint8Array, Uint8Array>({
      transform: (bytes, controller) => {
        const step = Math.min(this.chunkBytes, bytes.length);
        for (let at = 0; at < bytes.length; at += step) controller.enqueue(bytes.subarray(at, at + step));
      },
    });
    const body = ReadableStream.from(texts).pipeThrough(new TextEncoderStream()).pipeThrough(cut);
    return new Response(body, { status, headers: { "content-type": "application/json" } });
  }
}

function notFound(resource: string, name: string): Refusal {
  return refusal(404, "NotFound", `${resource} "${name}" not found`);
}

function notFoundThrow(resource: string, name: string): never {
  throw notFound(resource, name);
}

/** What is asked for, and of which object. */
function kindOf({ method, url }: Request): [kind: RequestKind, name: string] {
  const { pathname, searchParams } = new URL(url);
  const [, name = ""] = /^\/api\/v1\/(?:namespaces\/[^/]+\/)?\w+\/([^/]+)/.exec(pathname) ?? [];
  const kinds: Record<string, RequestKind> = { PATCH: "patch", POST: "create", DELETE: "delete" };
  const reads = name !== "" ? "get" : searchParams.has("watch") ? "watch" : "list";
  return [kinds[method] ?? reads, decodeURIComponent(name)];
}

/** Reads the token of a list's next page. */
function readContinue(token: string): { revision: number; after: string } {
  try {
    return JSON.parse(atob(token));
  } catch {
    throw refusal(400, "BadRequest", "invalid continue token: continue key is not valid");
  }
}
