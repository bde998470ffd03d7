import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { Json } from "../../double/api_objects.ts";
import type { TestApiServer } from "../../double/api_server.ts";
import { bareNode, onBothServers, onTheDouble, useRealServer } from "./servers.ts";

useRealServer();

const NODES = "/api/v1/nodes";
const STRATEGIC = "application/strategic-merge-patch+json";
const MERGE = "application/merge-patch+json";

/** A client of one server, for one test. */
class Caller implements Disposable {
  readonly #client: Deno.HttpClient;

  private constructor(readonly server: TestApiServer, caCerts: string[]) {
    this.#client = Deno.createHttpClient({ caCerts });
  }

  static async open(server: TestApiServer): Promise<Caller> {
    return new Caller(server, server.caFile === undefined ? [] : [await Deno.readTextFile(server.caFile)]);
  }

  fetch(method: string, path: string, options: CallOptions = {}): Promise<Response> {
    const { token = this.server.tokens.admin, body, type = "application/json", signal } = options;
    return fetch(this.server.url + path, {
      method,
      client: this.#client,
      headers: { ...token !== "" && { authorization: `Bearer ${token}` }, "content-type": type },
      ...body !== undefined && { body: JSON.stringify(body) },
      ...signal !== undefined && { signal },
    });
  }

  /** Status and answer. */
  async ask(method: string, path: string, options?: CallOptions): Promise<[number, Json]> {
    const response = await this.fetch(method, path, options);
    return [response.status, await response.json()];
  }

  /** What a watch says until it ends. */
  async watch(query: string, token?: string): Promise<Json[]> {
    const response = await this.fetch("GET", `${NODES}?${query}`, token === undefined ? {} : { token });
    const text = await response.text();
    return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

interface CallOptions {
  readonly token?: string;
  readonly body?: unknown;
  readonly type?: string;
  readonly signal?: AbortSignal;
}

function bothAnswer(name: string, test: (caller: Caller, server: TestApiServer) => Promise<void>): void {
  onBothServers(`an API server ${name}`, async (server) => {
    using caller = await Caller.open(server);
    await test(caller, server);
  });
}

function metadataOf(object: Json | undefined): Json {
  return object!.metadata as Json;
}

function versionOf(object: Json | undefined): string {
  return metadataOf(object).resourceVersion as string;
}

function told(events: readonly Json[]): string[] {
  return events.map(({ type, object }) => `${type} ${metadataOf(object as Json).name}`);
}

bothAnswer("lists kind first, and items without one", async (caller, server) => {
  await server.createNode(bareNode("n1"));
  const [status, list] = await caller.ask("GET", NODES);
  assertEquals([status, Object.keys(list)], [200, ["kind", "apiVersion", "metadata", "items"]]);
  assertEquals([list.kind, list.apiVersion], ["NodeList", "v1"]);
  const [item] = list.items as Json[];
  assertEquals([item!.kind, item!.apiVersion], [undefined, undefined]);
});

bothAnswer("lists in pages of one moment", async (caller, server) => {
  for (let n = 1; n <= 5; n++) await server.createNode(bareNode(`n${n}`));
  const [, first] = await caller.ask("GET", `${NODES}?limit=2`);
  await server.createNode(bareNode("n6"));
  const next = encodeURIComponent(metadataOf(first).continue as string);
  const [, second] = await caller.ask("GET", `${NODES}?limit=2&continue=${next}`);
  const last = encodeURIComponent(metadataOf(second).continue as string);
  const [, third] = await caller.ask("GET", `${NODES}?limit=2&continue=${last}`);
  const pages = [first, second, third];
  const names = pages.map(({ items }) => (items as Json[]).map((item) => metadataOf(item).name));
  assertEquals(names, [["n1", "n2"], ["n3", "n4"], ["n5"]]);
  assertEquals(pages.map((page) => metadataOf(page).remainingItemCount), [3, 1, undefined]);
  assertEquals(new Set(pages.map(versionOf)).size, 1);
});

bothAnswer("lists with resourceVersion=0", async (caller, server) => {
  await server.createNode(bareNode("n1"));
  const [status, list] = await caller.ask("GET", `${NODES}?resourceVersion=0`);
  assertEquals([status, list.kind], [200, "NodeList"]);
});

bothAnswer("gives a new node an identity", async (_caller, server) => {
  await server.createNode(bareNode("n1"));
  const { uid, creationTimestamp, resourceVersion } = metadataOf(await server.node("n1"));
  assert(typeof uid === "string" && uid !== "");
  assertMatch(creationTimestamp as string, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assertMatch(resourceVersion as string, /^[1-9]\d*$/);
});

const refused: [why: string, method: string, path: string, CallOptions, token: string, code: number, Json][] =
  [
    ["what is not there", "GET", `${NODES}/x`, {}, "admin", 404, {
      reason: "NotFound",
      message: 'nodes "x" not found',
    }],
    ["a patch of what is not there", "PATCH", `${NODES}/x`, { type: STRATEGIC, body: {} }, "admin", 404, {
      reason: "NotFound",
      message: 'nodes "x" not found',
    }],
    ["a pod that is not there", "GET", "/api/v1/namespaces/default/pods/x", {}, "admin", 404, {
      reason: "NotFound",
      message: 'pods "x" not found',
    }],
    ["a token it does not know", "GET", NODES, { token: "stranger" }, "", 401, {
      reason: "Unauthorized",
      message: "Unauthorized",
    }],
    ["a list", "GET", NODES, {}, "nobody", 403, {
      reason: "Forbidden",
      message:
        'nodes is forbidden: User "nobody" cannot list resource "nodes" in API group "" at the cluster scope',
    }],
    ["a watch", "GET", `${NODES}?watch=true`, {}, "nobody", 403, {
      reason: "Forbidden",
      message:
        'nodes is forbidden: User "nobody" cannot watch resource "nodes" in API group "" at the cluster scope',
    }],
    ["one node", "GET", `${NODES}/n1`, {}, "nobody", 403, {
      reason: "Forbidden",
      message:
        'nodes "n1" is forbidden: User "nobody" cannot get resource "nodes" in API group "" at the cluster scope',
    }],
    ["a patch of a status", "PATCH", `${NODES}/n1/status`, { type: STRATEGIC, body: {} }, "nobody", 403, {
      reason: "Forbidden",
      message:
        'nodes "n1" is forbidden: User "nobody" cannot patch resource "nodes/status" in API group "" at the cluster scope',
    }],
    [
      "the agent a patch of a whole node",
      "PATCH",
      `${NODES}/n1`,
      { type: STRATEGIC, body: {} },
      "agent",
      403,
      {
        reason: "Forbidden",
        message:
          'nodes "n1" is forbidden: User "agent" cannot patch resource "nodes" in API group "" at the cluster scope',
      },
    ],
    ["a pod in another namespace", "GET", "/api/v1/namespaces/kube-system/pods/x", {}, "nobody", 403, {
      reason: "Forbidden",
      message:
        'pods "x" is forbidden: User "nobody" cannot get resource "pods" in API group "" in the namespace "kube-system"',
    }],
    ["the agent an event", "POST", "/api/v1/namespaces/default/events", { body: {} }, "agent", 403, {
      reason: "Forbidden",
      message:
        'events is forbidden: User "agent" cannot create resource "events" in API group "" in the namespace "default"',
    }],
    ["no form of a patch", "PATCH", `${NODES}/n1`, { type: "text/plain", body: {} }, "admin", 415, {
      reason: "UnsupportedMediaType",
      message: "415: Unsupported Media Type",
    }],
    ["a node that is there", "POST", NODES, { body: { metadata: { name: "n1" } } }, "admin", 409, {
      reason: "AlreadyExists",
      message: 'nodes "n1" already exists',
    }],
  ];

for (const [why, method, path, options, user, code, expected] of refused) {
  bothAnswer(
    `refuses ${why} with ${code}: ${method} ${path} by ${user || "a stranger"}`,
    async (caller, server) => {
      await server.createNode(bareNode("n1"));
      const token = user === "" ? options.token! : server.tokens[user as keyof typeof server.tokens];
      const [status, { kind, apiVersion, reason, message, code: told }] = await caller.ask(method, path, {
        ...options,
        token,
      });
      assertEquals([status, told], [code, code]);
      assertEquals([kind, apiVersion], ["Status", "v1"]);
      assertEquals({ reason, message }, expected);
    },
  );
}

for (const type of [STRATEGIC, MERGE]) {
  bothAnswer(`merges annotations of a ${type}, and null deletes one`, async (caller, server) => {
    await server.createNode({ metadata: { name: "n1", annotations: { a: "1", b: "2" } } });
    const body = { metadata: { annotations: { b: null, c: "3" } } };
    assertEquals((await caller.ask("PATCH", `${NODES}/n1/status`, { type, body }))[0], 200);
    assertEquals(metadataOf(await server.node("n1")).annotations, { a: "1", c: "3" });
  });
}

bothAnswer(
  "merges conditions by type, and leaves the rest of a node alone at …/status",
  async (caller, server) => {
    await server.createNode(bareNode("n1"));
    const patch = async (condition: Json, spec: Json) => {
      const body = { spec, status: { conditions: [condition] } };
      await caller.ask("PATCH", `${NODES}/n1/status`, { type: STRATEGIC, body });
    };
    await patch({ type: "A", status: "True", reason: "r" }, { unschedulable: true });
    await patch({ type: "B", status: "True" }, {});
    await patch({ type: "A", status: "False" }, {});
    const node = await server.node("n1");
    const conditions = (node!.status as Json).conditions as Json[];
    const pick = ({ type, status, reason }: Json) => [type, status, reason];
    assertEquals(conditions.map(pick).sort(), [["A", "False", "r"], ["B", "True", undefined]]);
    assertEquals((node!.spec as Json | undefined)?.unschedulable, undefined);
  },
);

bothAnswer("ignores status in a patch of the whole node", async (caller, server) => {
  await server.createNode(bareNode("n1"));
  const body = { metadata: { labels: { a: "1" } }, status: { conditions: [{ type: "A", status: "True" }] } };
  await caller.ask("PATCH", `${NODES}/n1`, { type: STRATEGIC, body });
  const node = await server.node("n1");
  assertEquals((metadataOf(node).labels as Json).a, "1");
  const conditions = (node!.status as Json | undefined)?.conditions as Json[] | undefined;
  assertEquals(conditions?.find(({ type }) => type === "A"), undefined);
});

bothAnswer("makes nothing of a patch that changes nothing", async (caller, server) => {
  await server.createNode({ metadata: { name: "n1", annotations: { a: "1" } } });
  const before = versionOf(await server.node("n1"));
  const body = { metadata: { annotations: { a: "1", gone: null } } };
  assertEquals((await caller.ask("PATCH", `${NODES}/n1/status`, { type: STRATEGIC, body }))[0], 200);
  assertEquals(versionOf(await server.node("n1")), before);
  assertEquals(await caller.watch(`watch=true&resourceVersion=${before}&timeoutSeconds=1`), []);
});

bothAnswer("gives a node that has a podCIDR the list of it", async (_caller, server) => {
  await server.createNode({ metadata: { name: "n1" }, spec: { podCIDR: "10.244.1.0/24" } });
  assertEquals((await server.node("n1"))!.spec, {
    ...(await server.node("n1"))!.spec as Json,
    podCIDRs: ["10.244.1.0/24"],
  });
});

bothAnswer("takes a podCIDR once, and refuses another", async (caller, server) => {
  await server.createNode(bareNode("n1"));
  const patch = (podCIDR: string) =>
    caller.ask("PATCH", `${NODES}/n1`, { type: STRATEGIC, body: { spec: { podCIDR, podCIDRs: [podCIDR] } } });
  const [status, { reason, message }] = await patch("nonsense");
  assertEquals([status, reason], [422, "Invalid"]);
  // 1.20 shows the whole list, 1.36 the value that is wrong, and examples of right ones.
  assertMatch(
    message as string,
    /^Node "n1" is invalid: spec\.podCIDRs\[0\]: Invalid value: (?:\[\]string\{"nonsense"\}|"nonsense"): must be (?:a )?valid CIDR/,
  );
  assertEquals((await patch("10.244.1.0/24"))[0], 200);
  const before = await server.node("n1");
  const [laterStatus, later] = await patch("10.244.2.0/24");
  assertEquals([laterStatus, later.reason], [422, "Invalid"]);
  // 1.20 writes the list as Go does and adds a general sentence, 1.36 as JSON does.
  assertMatch(
    later.message as string,
    /^Node "n1" is invalid: \[spec\.podCIDRs: Invalid value: .*"10\.244\.2\.0\/24", ?"10\.244\.1\.0\/24".*: may specify no more than one CIDR for each IP family, spec\.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid[,\]]/,
  );
  assertEquals(await server.node("n1"), before);
});

bothAnswer("takes a second podCIDR of the other family with the first", async (_caller, server) => {
  const podCIDRs = ["10.244.1.0/24", "fd00:10:244:1::/64"];
  await server.createNode(bareNode("n1", podCIDRs));
  assertEquals(((await server.node("n1"))!.spec as Json).podCIDRs, podCIDRs);
});

bothAnswer("deletes a node, and says that it did", async (caller, server) => {
  await server.createNode(bareNode("n1"));
  const [status, answer] = await caller.ask("DELETE", `${NODES}/n1`);
  assertEquals([status, answer.status], [200, "Success"]);
  assertEquals(await server.node("n1"), undefined);
});

bothAnswer("refuses a token of a page that it did not give, with 400", async (caller) => {
  const [status, { reason, message }] = await caller.ask("GET", `${NODES}?limit=1&continue=bogus`);
  assertEquals([status, reason], [400, "BadRequest"]);
  assertMatch(message as string, /^invalid continue token: continue key is not valid/);
});

for (const watch of ["1", "true"]) {
  bothAnswer(`watch=${watch} without a version begins with what is there now`, async (caller, server) => {
    await server.createNode(bareNode("gone"));
    await server.createNode(bareNode("n1"));
    await server.createNode(bareNode("n2"));
    await server.patchNode("n1", { metadata: { labels: { a: "1" } } });
    await server.deleteNode("gone");
    const events = await caller.watch(`watch=${watch}&timeoutSeconds=1`);
    assertEquals(told(events).sort(), ["ADDED n1", "ADDED n2"]);
  });
}

bothAnswer("tells a watch what came after its version, in order", async (caller, server) => {
  await server.createNode(bareNode("n1"));
  const from = versionOf(await server.node("n1"));
  await server.patchNode("n1", { metadata: { labels: { a: "1" } } });
  await server.createNode(bareNode("n2"));
  await server.deleteNode("n1");
  const events = await caller.watch(
    `watch=true&resourceVersion=${from}&timeoutSeconds=1`,
    server.tokens.agent,
  );
  assertEquals(told(events), ["MODIFIED n1", "ADDED n2", "DELETED n1"]);
  const versions = events.map(({ object }) => Number(versionOf(object as Json)));
  assertEquals(versions, versions.toSorted((a, b) => a - b));
  assertEquals(events.map(({ object }) => (object as Json).kind), ["Node", "Node", "Node"]);
  assertEquals(metadataOf(events[2]!.object as Json).labels, {
    ...metadataOf(events[0]!.object as Json).labels as Json,
  });
});

bothAnswer("tells a deletion with a version of its own", async (caller, server) => {
  await server.createNode(bareNode("n1"));
  const from = versionOf(await server.node("n1"));
  await server.deleteNode("n1");
  const [event] = await caller.watch(`watch=true&resourceVersion=${from}&timeoutSeconds=1`);
  assert(Number(versionOf(event!.object as Json)) > Number(from));
});

bothAnswer("ends a watch after timeoutSeconds", async (caller) => {
  const start = performance.now();
  await caller.watch("watch=true&timeoutSeconds=1");
  const tookMs = performance.now() - start;
  assert(tookMs >= 900 && tookMs < 5000, `it took ${tookMs} ms`);
});

bothAnswer("watches from version 0 as from none", async (caller, server) => {
  await server.createNode(bareNode("n1"));
  await server.patchNode("n1", { metadata: { labels: { a: "1" } } });
  assertEquals(told(await caller.watch("watch=true&resourceVersion=0&timeoutSeconds=1")), ["ADDED n1"]);
});

bothAnswer(
  "has forgotten older versions after a restart: 410 as an event, not as a status",
  async (caller, server) => {
    await server.createNode(bareNode("n1"));
    const from = versionOf(await server.node("n1"));
    await server.createNode(bareNode("n2"));
    await server.stop();
    await server.start();
    const [event, ...others] = await caller.watch(`watch=true&resourceVersion=${from}&timeoutSeconds=1`);
    const { kind, code, reason, message } = event!.object as Json;
    assertEquals([event!.type, kind, code, reason, others], ["ERROR", "Status", 410, "Expired", []]);
    assertMatch(message as string, new RegExp(`^too old resource version: ${from} \\(\\d+\\)$`));
    const current = metadataOf((await caller.ask("GET", NODES))[1]).resourceVersion;
    assertEquals(await caller.watch(`watch=true&resourceVersion=${current}&timeoutSeconds=1`), []);
  },
);

bothAnswer("has the same nodes on the same port after a restart", async (caller, server) => {
  await server.createNode(bareNode("n1"));
  const [{ url }, before] = [server, await server.node("n1")];
  await server.stop();
  await assertRejects(() => caller.fetch("GET", NODES), TypeError);
  await server.start();
  assertEquals([server.url, await server.node("n1")], [url, before]);
});

onTheDouble("an API server stops also when a watch begins meanwhile", async (server) => {
  using caller = await Caller.open(server);
  let stopped: Promise<void> | undefined;
  // The request is there, and its watch has not begun.
  server.requests.push = () => {
    stopped ??= server.stop();
    return 0;
  };
  const answer = await caller.fetch("GET", `${NODES}?watch=true&resourceVersion=0`, {
    signal: AbortSignal.timeout(10_000),
  });
  await answer.text();
  await stopped;
});
