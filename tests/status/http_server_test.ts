import { assert, assertEquals, assertLessOrEqual, assertStringIncludes } from "@std/assert";
import { Libc } from "../../src/linux/libc.ts";
import { TcpListener } from "../../src/linux/tcp_listener.ts";
import { parseAddress } from "../../src/model/address.ts";
import { HttpServer, type ServerDeps, type ServerLimits } from "../../src/status/http_server.ts";
import { FullProcess } from "../double/full_process.ts";
import { until } from "../double/overlay_rig.ts";

const libc = new Libc();
const HOSTNAME = "127.0.0.1";
const FOR_EVER_MS = 2 ** 30;
const PATIENT = { headMs: FOR_EVER_MS, answerMs: FOR_EVER_MS, closeMs: FOR_EVER_MS };

/** Where each server listens. */
const ports = new WeakMap<HttpServer, number>();

function listen(limits: Partial<ServerLimits> = {}, answer = () => new Response("well")): HttpServer {
  return serve({ libc, answer, limits });
}

function serve(deps: ServerDeps): HttpServer {
  const listener = TcpListener.open(deps.libc, parseAddress(HOSTNAME), 0);
  const server = HttpServer.serve(listener, deps);
  ports.set(server, listener.port);
  return server;
}

function connect(server: HttpServer): Promise<Deno.TcpConn> {
  return Deno.connect({ hostname: HOSTNAME, port: ports.get(server)! });
}

/** All that comes until the end; what came before a connection was cut off is not told. */
async function received(conn: Deno.TcpConn): Promise<string> {
  return await new Response(conn.readable).text().catch(() => "cut off");
}

async function ask(server: HttpServer, text: string): Promise<string> {
  const conn = await connect(server);
  await conn.write(new TextEncoder().encode(text));
  return await received(conn);
}

const GET = "GET / HTTP/1.1\r\n\r\n";

Deno.test("an HttpServer answers in whatever pieces the request comes", async () => {
  await using server = listen();
  using conn = await connect(server);
  for (const piece of ["GE", "T / HTTP/1.1\r\nA: b", "\r\n\r", "\n"]) {
    await conn.write(new TextEncoder().encode(piece));
  }
  assertStringIncludes(await received(conn), "\r\ncontent-length: 4\r\n");
});

Deno.test("an HttpServer answers who says no more, who asks by HEAD, and who sends a body that is not read", async () => {
  await using server = listen();
  {
    using conn = await connect(server);
    await conn.write(new TextEncoder().encode(GET));
    await conn.closeWrite();
    assertStringIncludes(await received(conn), "\r\n\r\nwell");
  }
  const head = await ask(server, "HEAD / HTTP/1.1\r\n\r\n");
  assertStringIncludes(head, "content-length: 4");
  assertEquals(head.endsWith("\r\n\r\n"), true);
  const large = "x".repeat(500_000);
  assertStringIncludes(
    await ask(server, `POST / HTTP/1.1\r\ncontent-length: 500000\r\n\r\n${large}`),
    "well",
  );
});

const refused: [request: string, status: string][] = [
  ["nonsense\r\n\r\n", "400 Bad Request"],
  ["CONNECT a:1 HTTP/1.1\r\n\r\n", "400 Bad Request"],
  ["GET http://[ HTTP/1.1\r\n\r\n", "400 Bad Request"],
  [`GET /${"a".repeat(9000)} HTTP/1.1\r\n\r\n`, "431 Request Header Fields Too Large"],
];

for (const [request, status] of refused) {
  Deno.test(`an HttpServer answers ${status} to ${JSON.stringify(request.slice(0, 20))}`, async () => {
    await using server = listen();
    assertEquals((await ask(server, request)).split("\r\n")[0], `HTTP/1.1 ${status}`);
    assertStringIncludes(await ask(server, GET), "well", "and goes on");
  });
}

Deno.test("an HttpServer answers 500 when there is no answer, and goes on", async () => {
  let isWell = false;
  await using server = listen({}, () => {
    if (isWell) return new Response("well");
    throw new Error("no answer");
  });
  assertStringIncludes(await ask(server, GET), "500 Internal Server Error");
  isWell = true;
  assertStringIncludes(await ask(server, GET), "well");
});

Deno.test("an HttpServer with no room cuts off the oldest that has not asked, and answers who comes", async () => {
  await using server = listen({ ...PATIENT, connections: 10 });
  const idle: Deno.TcpConn[] = [];
  const ends: Promise<string>[] = [];
  for (let at = 0; at < 100; at++) {
    const conn = await connect(server);
    idle.push(conn);
    // Half of them have begun to ask.
    if (at % 2 === 0) await conn.write(new TextEncoder().encode("GET / HT"));
    ends.push(received(conn));
    if (at % 10 === 0) assertStringIncludes(await ask(server, GET), "well");
    assertLessOrEqual(server.connections, 10);
  }
  await Promise.all(ends.slice(0, 80));
});

Deno.test("an HttpServer makes few answers however many ask, and answers all, each question by its own", async () => {
  let made = 0;
  const answer = (request: Request) => {
    made++;
    return new Response(new URL(request.url).pathname);
  };
  const burst = 5;
  await using server = serve({ libc, answer, pace: { burst, perSecond: 1, keptMs: FOR_EVER_MS } });
  // Both are known before there are no more to be made.
  for (const path of ["/a", "/b"]) {
    assertStringIncludes(await ask(server, GET.replace("/", path)), `\n${path}`);
  }
  const startedMs = performance.now();
  for (let round = 0; round < 10; round++) {
    const texts = await Promise.all(Array.from({ length: 20 }, (_, at) => {
      const path = at % 2 === 0 ? "/a" : "/b";
      return ask(server, GET.replace("/", path)).then((text) => [path, text] as const);
    }));
    for (const [path, text] of texts) assertEquals(text.endsWith(path), true, text);
  }
  const most = burst + 1 + (performance.now() - startedMs) / 1000;
  assertLessOrEqual(made, most);
  // Whatever nobody has asked yet waits until it may be made.
  assertStringIncludes(await ask(server, GET.replace("/", "/new")), "/new");
});

Deno.test("an HttpServer answers who asks something else before the many that all ask one thing", async () => {
  const made: string[] = [];
  const answer = (request: Request) => {
    made.push(new URL(request.url).pathname);
    return new Response("well");
  };
  await using server = serve({ libc, answer, pace: { burst: 1, perSecond: 20, keptMs: 1 } });
  const many = Array.from({ length: 40 }, () => ask(server, GET.replace("/", "/many")));
  await until("see some of them answered", () => made.length > 1 || undefined);
  assertStringIncludes(await ask(server, GET.replace("/", "/other")), "well");
  assertLessOrEqual(made.indexOf("/other"), made.length - 1);
  const waited = made.length;
  assertLessOrEqual(waited, 20, `${waited} others were answered before`);
  for (const text of await Promise.all(many)) assertStringIncludes(text, "well");
});

Deno.test("an HttpServer tells a question by what is accepted, too", async () => {
  const answer = (request: Request) => new Response(request.headers.get("accept") ?? "none");
  await using server = serve({ libc, answer, pace: { burst: 2, perSecond: 1000, keptMs: FOR_EVER_MS } });
  const withAccept = GET.replace("\r\n\r\n", "\r\nACCEPT:  text/x \r\n\r\n");
  for (let round = 0; round < 10; round++) {
    assertStringIncludes(await ask(server, GET), "\r\n\r\nnone");
    assertStringIncludes(await ask(server, withAccept), "\r\n\r\ntext/x");
  }
});

Deno.test("an HttpServer waits neither for a head, nor for a reader, nor for the end, longer than it is told", async () => {
  const long = "x".repeat(32 << 20);
  await using server = listen(
    { headMs: 50, answerMs: 50, closeMs: 50, heldBytes: 2 ** 30 },
    () => new Response(long),
  );
  using silent = await connect(server);
  using half = await connect(server);
  await half.write(new TextEncoder().encode("GET / HTTP/1.1\r\n"));
  using deaf = await connect(server);
  await deaf.write(new TextEncoder().encode(GET));
  await until("see all cut off", () => server.connections === 0 || undefined);
  assert(silent && half && deaf);
});

Deno.test("an HttpServer holds no more of answers that nobody reads than it is told, and cuts the oldest off", async () => {
  const long = "x".repeat(16 << 20);
  const limits = { ...PATIENT, heldBytes: 40 << 20 };
  await using server = listen(limits, () => new Response(long));
  const deaf: Deno.TcpConn[] = [];
  try {
    for (let at = 0; at < 6; at++) {
      const conn = await connect(server);
      deaf.push(conn);
      await conn.write(new TextEncoder().encode(GET));
      // It has begun to be answered.
      await conn.read(new Uint8Array(1));
    }
    assertEquals(server.connections, 2);
  } finally {
    for (const conn of deaf) conn.close();
  }
});

Deno.test("an HttpServer goes on when no connection can be taken for a while, and says so meanwhile", async () => {
  const full = new FullProcess(libc);
  await using server = serve({
    libc: full.libc,
    answer: () => new Response("well"),
  });
  using waiting = await connect(server);
  await until("hear of it", () => server.fault === "EMFILE" || undefined);
  full.isFull = false;
  assertStringIncludes(await ask(server, GET), "well");
  assertEquals(server.fault, undefined);
  assert(waiting);
});

Deno.test("an HttpServer that ends cuts off who has not asked at once, and who does not read soon", async () => {
  const server = listen(PATIENT, () => new Response("x".repeat(32 << 20)));
  using silent = await connect(server);
  using deaf = await connect(server);
  await deaf.write(new TextEncoder().encode(GET));
  await deaf.read(new Uint8Array(1));
  await server[Symbol.asyncDispose]();
  assertEquals(server.connections, 0);
  assert(silent && deaf);
});
