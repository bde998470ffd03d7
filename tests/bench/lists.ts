import type { Json } from "../double/api_objects.ts";
import { KubeApiServer } from "../double/kube_apiserver.ts";
import { cpuMs } from "./machine.ts";

/** How often each list is read. */
const TIMES = 5;
/** Nodes that are made at a time. */
const AT_A_TIME = 10;
const LIST_END = "k8s.io/initial-events-end";
const METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/** What one list of all nodes costs a real API server and its etcd. */
export interface ListFigures extends Record<string, string | number> {
  readonly list: string;
  readonly MB: number;
  readonly "server CPU ms": number;
  readonly "etcd CPU ms": number;
}

/** Asks a server for nodes, and reads all that it answers. */
class Reader implements Disposable {
  readonly #client: Deno.HttpClient;
  readonly #decoder = new TextDecoder();

  constructor(readonly server: KubeApiServer) {
    this.#client = Deno.createHttpClient({ caCerts: [Deno.readTextFileSync(server.caFile)] });
  }

  /** @returns The length, and the token of the next page. An answer that does not end is left at its end mark. */
  async read(query: string, headers: Record<string, string> = {}): Promise<[bytes: number, next: string]> {
    const response = await fetch(`${this.server.url}/api/v1/nodes?${query}`, {
      client: this.#client,
      headers: {
        "accept-encoding": "identity",
        "user-agent": "loden",
        authorization: `Bearer ${this.server.tokens.admin}`,
        ...headers,
      },
    });
    let bytes = 0;
    let head = "";
    let tail = "";
    for await (const chunk of response.body!) {
      bytes += chunk.length;
      const text = this.#decoder.decode(chunk, { stream: true });
      if (head.length < 1000) head += text;
      tail = (tail + text).slice(-1000);
      if (query.startsWith("watch") && tail.includes(LIST_END)) break;
    }
    if (!response.ok || head.startsWith('{"type":"ERROR"')) return [0, ""];
    return [bytes, /"continue":"([^"]+)"/.exec(head)?.[1] ?? ""];
  }

  async readPages(): Promise<number> {
    let bytes = 0;
    let next = "";
    do {
      const [length, token] = await this.read(`limit=500&continue=${encodeURIComponent(next)}`);
      bytes += length;
      next = token;
    } while (next !== "");
    return bytes;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/**
 * Measures each way to read `count` nodes out of a real API server: that of `KUBEBUILDER_ASSETS`, else the cached one. A
 * way that it does not have is 0.
 */
export async function measureLists(count: number, node: (number: number) => Json): Promise<ListFigures[]> {
  await using server = await KubeApiServer.open();
  for (let first = 0; first < count; first += AT_A_TIME) {
    const numbers = Array.from({ length: Math.min(AT_A_TIME, count - first) }, (_, at) => first + at);
    await Promise.all(numbers.map((number) => server.createNode(node(number))));
  }
  const { name } = node(count - 1).metadata as { name: string };
  const { resourceVersion } = (await server.node(name))!.metadata as { resourceVersion: string };
  const floor = `resourceVersion=${resourceVersion}&resourceVersionMatch=NotOlderThan`;
  const streamed = `watch=true&sendInitialEvents=true&allowWatchBookmarks=true&${floor}`;
  using reader = new Reader(server);
  const ways: [list: string, read: () => Promise<number>][] = [
    ["pages, out of etcd", () => reader.readPages()],
    ["out of memory", async () => (await reader.read(floor))[0]],
    ["streamed out of memory", async () => (await reader.read(streamed))[0]],
    ["metadata out of memory", async () => (await reader.read(floor, { accept: METADATA }))[0]],
  ];
  const figures: ListFigures[] = [];
  for (const [list, read] of ways) {
    const before = await Promise.all([server.pid, server.etcd.pid].map(cpuMs));
    let bytes = 0;
    for (let time = 0; time < TIMES; time++) bytes = await read();
    const after = await Promise.all([server.pid, server.etcd.pid].map(cpuMs));
    const [serverMs, etcdMs] = after.map((ms, at) => (ms - before[at]!) / TIMES);
    figures.push({ list, MB: bytes / 1e6, "server CPU ms": serverMs!, "etcd CPU ms": etcdMs! });
  }
  return figures;
}
