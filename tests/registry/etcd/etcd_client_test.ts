import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { EtcdClient } from "../../../src/registry/etcd/etcd_client.ts";
import { EtcdError } from "../../../src/registry/etcd/etcd_refusal.ts";
import { toBase64 } from "../../../src/registry/etcd/etcd_wire.ts";
import { ConnectionError } from "../../../src/registry/http/connection_error.ts";
import { makeAuthority } from "../../double/certificates.ts";
import { EtcdServer } from "../../double/etcd.ts";
import { signal } from "./etcd_world.ts";

/** What a gateway that is not etcd's answers, by the method that is asked for. */
type Answers = Record<string, (request: Request) => Response | Promise<Response>>;

/** A gateway that says what real ones say only in bad moments. */
class FakeGateway implements AsyncDisposable {
  readonly url: string;
  /** What was asked, in order. */
  readonly asked: string[] = [];
  readonly #server: Deno.HttpServer;

  constructor(answers: Answers) {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
      const method = new URL(request.url).pathname.replace("/v3/", "");
      this.asked.push(method);
      return answers[method]?.(request) ?? new Response("no such thing", { status: 404 });
    });
    this.url = `http://127.0.0.1:${(this.#server.addr as Deno.NetAddr).port}`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server.shutdown();
  }
}

function clientOf(
  endpoints: readonly string[],
  access: Partial<ConstructorParameters<typeof EtcdClient>[0]> = {},
): EtcdClient {
  return new EtcdClient({ endpoints, tls: {}, ...access }, {
    readTextFile: (path) => Deno.readTextFile(path),
  });
}

/** An answer whose body comes in pieces of `bytes`. */
function inPieces(text: string, bytes: number): Response {
  const whole = new TextEncoder().encode(text);
  let at = 0;
  return new Response(
    new ReadableStream({
      pull: (out) => {
        if (at >= whole.length) return out.close();
        out.enqueue(whole.subarray(at, at += bytes));
      },
    }),
  );
}

const RANGE = JSON.stringify({
  header: { revision: "7" },
  kvs: [{ key: toBase64("k"), value: toBase64("größe"), mod_revision: "7" }],
});

for (const bytes of [1, 2, 3, 7, 1 << 20]) {
  Deno.test(`EtcdClient reads answers and watches that come in pieces of ${bytes} bytes`, async () => {
    const lines = [
      { result: { header: { revision: "7" }, created: true } },
      { result: { header: { revision: "8" }, events: [{ kv: { key: toBase64("k"), mod_revision: "8" } }] } },
      { error: { grpc_code: 14, message: "größe – 网络 🌐" } },
    ];
    await using gateway = new FakeGateway({
      "kv/range": () => inPieces(RANGE, bytes),
      "watch": () => inPieces(lines.map((line) => JSON.stringify(line)).join("\n") + "\n", bytes),
    });
    using client = clientOf([gateway.url]);
    assertEquals((await client.range("k", { signal })).entries[0]!.value, "größe");
    const watch = client.watch("k", 8, { signal });
    const header = { clusterId: "", revision: 7 };
    assertEquals((await watch.next()).value, { header, revision: 7, changes: [] });
    const { value } = await watch.next();
    assert(typeof value === "object");
    assertEquals([value.revision, value.changes[0]!.entry.key], [8, "k"]);
    const error = await assertRejects(() => watch.next(), EtcdError);
    assertEquals([error.code, error.message], [14, "größe – 网络 🌐"]);
  });
}

const away: [what: string, answer: () => Response][] = [
  ["a balancer that has no server", () => new Response("<html>Bad Gateway</html>", { status: 502 })],
  ["a proxy that answers in JSON of its own", () => Response.json({ message: "no" }, { status: 503 })],
  ["a member without a leader", () => Response.json({ code: 14, message: "no leader" }, { status: 503 })],
  ["something that broke", () => new Response("panic", { status: 500 })],
  ["something that is not etcd", () => Response.json({ hello: 1 })],
  ["an empty answer", () => new Response("")],
  ["an answer that is cut off", () => new Response('{"header":{"revi')],
];

for (const [what, answer] of away.filter(([what]) => what !== "something that is not etcd")) {
  Deno.test(`EtcdClient asks the next member where it meets ${what}`, async () => {
    await using broken = new FakeGateway({ "kv/range": answer });
    await using good = new FakeGateway({ "kv/range": () => new Response(RANGE) });
    using client = clientOf([broken.url, good.url]);
    assertEquals((await client.range("k", { signal })).revision, 7);
    assertEquals(client.endpoint, good.url);
    await client.range("k", { signal });
    assertEquals(broken.asked.length, 1, "it stays with the one that answers");
  });
}

for (const [what, answer] of away) {
  Deno.test(`EtcdClient fails, and does not ask for ever, when all it meets is ${what}`, async () => {
    await using broken = new FakeGateway({ "kv/range": answer });
    using client = clientOf([broken.url, broken.url]);
    const error = await assertRejects(() => client.range("k", { signal }), Error);
    assert(broken.asked.length <= 2);
    if (error instanceof EtcdError) assertEquals(error.code, 14);
    else assert(error instanceof ConnectionError && error.message.startsWith(`etcd at ${broken.url} `));
  });
}

const impossible: [what: string, answer: unknown, says: string][] = [
  ["counts keys and tells of none", { count: "2" }, "it counts 2 keys and tells of 0"],
  ["has more, and tells of none", { count: "2", more: true }, "it counts 2 keys and tells of 0"],
  [
    "tells of fewer keys than it counts",
    { count: "2", kvs: [{ key: toBase64("k"), mod_revision: "7" }] },
    "tells of 1",
  ],
  [
    "is at a revision that nobody comes to",
    { header: { revision: "9223372036854775807" } },
    "does not answer as etcd",
  ],
  ["is before its beginning", { header: { revision: "-1" } }, "does not answer as etcd"],
];

for (const [what, answer, says] of impossible) {
  Deno.test(`EtcdClient believes no list that ${what}`, async () => {
    const body = { header: { revision: "7" }, ...answer as object };
    await using gateway = new FakeGateway({ "kv/range": () => Response.json(body) });
    using client = clientOf([gateway.url]);
    await assertRejects(() => client.page({ prefix: "k" }, { signal }), ConnectionError, says);
  });
}

Deno.test("EtcdClient does not ask the next member what this one has refused", async () => {
  await using first = new FakeGateway({
    "lease/revoke": () => Response.json({ code: 5, message: "requested lease not found" }, { status: 404 }),
  });
  await using second = new FakeGateway({});
  using client = clientOf([first.url, second.url]);
  const error = await assertRejects(() => client.revoke("77", { signal }), EtcdError);
  assertEquals([error.code, error.message], [5, "requested lease not found"]);
  assertEquals(second.asked, []);
});

Deno.test("EtcdClient shows of a refusal one line of 400 characters, which can't steer a terminal", async () => {
  const message = `\u001b[31m\u202e\nred${"x".repeat(5000)}`;
  await using gateway = new FakeGateway({
    "kv/range": () => Response.json({ code: 3, message }, { status: 400 }),
  });
  using client = clientOf([gateway.url]);
  const error = await assertRejects(() => client.range("k", { signal }), EtcdError);
  assertEquals(error.message, `\\u001b[31m\\u202e red${"x".repeat(380)}…`);
});

Deno.test("EtcdClient shows no password of a URL, and none that is repeated", async () => {
  await using gateway = new FakeGateway({
    "kv/range": ({ url }) => Response.json({ code: 3, message: `${url} by pass@word` }, { status: 400 }),
  });
  using client = clientOf([gateway.url.replace("//", "//user:pass%40word@")]);
  assertEquals(client.endpoint, gateway.url);
  const { message } = await assertRejects(() => client.range("k", { signal }), EtcdError);
  assertEquals(message.includes("pass"), false, message);
});

const stale: [code: number, message: string, status: number][] = [
  [16, "etcdserver: invalid auth token", 401],
  [3, "etcdserver: revision of auth store is old, or: revision in header is old", 400],
];

for (const [code, message, status] of stale) {
  Deno.test(`EtcdClient asks for another token, once, when etcd says "${message}"`, async () => {
    let tokens = 0;
    await using gateway = new FakeGateway({
      "auth/authenticate": () => Response.json({ token: `token-${++tokens}` }),
      "kv/range": ({ headers }) =>
        headers.get("authorization") === "token-2"
          ? new Response(RANGE)
          : Response.json({ code, message }, { status }),
    });
    using client = clientOf([gateway.url], { user: { name: "loden", password: "secret" } });
    await client.range("k", { signal });
    assertEquals(gateway.asked, ["auth/authenticate", "kv/range", "auth/authenticate", "kv/range"]);
    tokens = 7;
    await client.range("k", { signal });
    assertEquals(gateway.asked.length, 5, "the token is kept");
  });
}

Deno.test("EtcdClient asks for another token when a watch is canceled as its own has ended", async () => {
  let tokens = 0;
  // As etcd 3.5 does: the watch is let in, and ended.
  const canceled = { created: true, canceled: true, cancel_reason: "etcdserver: invalid auth token" };
  await using gateway = new FakeGateway({
    "auth/authenticate": () => Response.json({ token: `token-${++tokens}` }),
    "watch": ({ headers }) => {
      const isKnown = headers.get("authorization") === "token-2";
      return Response.json({
        result: { header: { revision: "7" }, ...isKnown ? { created: true } : canceled },
      });
    },
  });
  using client = clientOf([gateway.url], { user: { name: "loden", password: "secret" } });
  await assertRejects(() => client.watch("k", 8, { signal }).next(), EtcdError, "invalid auth token");
  const watch = client.watch("k", 8, { signal });
  assertEquals((await watch.next()).done, false);
  await watch.return("compacted");
});

const endings: [what: string, line: unknown, message: RegExp][] = [
  ["its reason", { result: { header: {}, canceled: true, cancel_reason: "no leader" } }, /^no leader$/],
  ["an error", { error: { grpc_code: 8, message: "too many requests" } }, /^too many requests$/],
  ["an error of a later gateway", { error: { code: 14, message: "no leader", details: [] } }, /^no leader$/],
  [
    "an event of unknown type",
    { result: { header: {}, events: [{ type: "MOVE", kv: { key: "aw==" } }] } },
    /does not answer as etcd v3\.4 or later does$/,
  ],
  ["something else", { hello: 1 }, /does not answer as etcd v3\.4 or later does$/],
  ["what is no JSON", "{", /does not answer as etcd v3\.4 or later does$|broke off its answer/],
];

for (const [what, line, message] of endings) {
  Deno.test(`EtcdClient.watch() ends with ${what}`, async () => {
    const text = typeof line === "string" ? line : JSON.stringify(line);
    await using gateway = new FakeGateway({ "watch": () => new Response(text + "\n") });
    using client = clientOf([gateway.url]);
    const error = await assertRejects(() => client.watch("k", 8, { signal }).next(), Error);
    assertMatch(error.message, message);
  });
}

Deno.test("EtcdClient gives up when a new token is refused too", async () => {
  await using gateway = new FakeGateway({
    "auth/authenticate": () => Response.json({ token: "t" }),
    "kv/range": () => Response.json({ code: 16, message: "etcdserver: invalid auth token" }, { status: 401 }),
  });
  using client = clientOf([gateway.url], { user: { name: "loden", password: "secret" } });
  await assertRejects(() => client.range("k", { signal }), EtcdError, "invalid auth token");
  assertEquals(gateway.asked.length, 4);
});

Deno.test("EtcdClient ends a request when its signal aborts, with the reason of that", async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Response>();
  await using gateway = new FakeGateway({
    "kv/range": () => {
      asked.resolve();
      return answer.promise;
    },
  });
  using client = clientOf([gateway.url, gateway.url]);
  const controller = new AbortController();
  const asking = client.range("k", controller);
  await asked.promise;
  const reason = new Error("the agent ends");
  controller.abort(reason);
  assertEquals(await asking.catch((error) => error), reason);
  assertEquals(gateway.asked.length, 1);
  answer.resolve(new Response(RANGE));
});

Deno.test("EtcdClient does not speak with an etcd whose certificate another authority has issued", async () => {
  await using server = await EtcdServer.open({ tls: "server" });
  const folder = await Deno.makeTempDir({ prefix: "loden-other-authority-" });
  try {
    const { caFile } = await makeAuthority(folder);
    using client = clientOf([server.url], { tls: { caFile } });
    await assertRejects(
      () => client.range("k", { signal }),
      ConnectionError,
      `etcd at ${new URL(server.url).host} does not answer: `,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
