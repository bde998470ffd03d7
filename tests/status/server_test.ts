import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { keepServing, serveStatus } from "../../src/status/server.ts";
import { Libc } from "../../src/linux/libc.ts";
import { FullProcess } from "../double/full_process.ts";
import { until } from "../double/overlay_rig.ts";
import { READY } from "./facts.ts";

const libc = new Libc();

async function body(port: number, hostname = "127.0.0.1"): Promise<string> {
  // A connection that is kept would outlive the test.
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  const response = await fetch(`http://${hostname}:${port}/healthz`, { client });
  return await response.text();
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

Deno.test("serveStatus() answers until it is disposed", async () => {
  let port: number;
  {
    await using server = serveStatus(() => READY, { hostname: "127.0.0.1", port: 0, libc });
    port = server.port;
    assertEquals(await body(port), "flanneld is running");
    assertEquals(await body(port), "flanneld is running");
  }
  await assertRejects(() => body(port), TypeError);
});

Deno.test("serveStatus() says in a head alone how long the answer would be", async () => {
  await using server = serveStatus(() => READY, { hostname: "127.0.0.1", port: 0, libc });
  for (const path of ["/healthz", "/status", "/metrics", "/nowhere"]) {
    const url = `http://127.0.0.1:${server.port}${path}`;
    const [head, whole] = [await fetch(url, { method: "HEAD" }), await fetch(url)];
    const length = (await whole.bytes()).length;
    assertEquals([head.status, head.headers.get("content-length")], [whole.status, String(length)]);
    await head.body?.cancel();
  }
});

Deno.test("serveStatus() ends when its signal aborts", async () => {
  const controller = new AbortController();
  const server = serveStatus(() => READY, {
    hostname: "127.0.0.1",
    port: 0,
    libc,
    signal: controller.signal,
  });
  assertEquals(await body(server.port), "flanneld is running");
  controller.abort();
  await server[Symbol.asyncDispose]();
  await assertRejects(() => body(server.port), TypeError);
});

Deno.test("serveStatus() serves an IPv6 address", async () => {
  await using server = serveStatus(() => READY, { hostname: "::1", port: 0, libc });
  assertEquals(await body(server.port, "[::1]"), "flanneld is running");
});

Deno.test("serveStatus() says what to do when the port is taken", async () => {
  await using first = serveStatus(() => READY, { hostname: "127.0.0.1", port: 0, libc });
  const error = assertThrows(
    () => serveStatus(() => READY, { hostname: "127.0.0.1", port: first.port, libc }),
    Error,
  );
  assertEquals(
    error.message,
    `Cannot serve health on 127.0.0.1:${first.port}: address in use by another program; ` +
      "end it, or choose another port with -healthz-port",
  );
});

const refused: [hostname: string, message: string][] = [
  ["198.51.100.77", "Cannot serve health on 198.51.100.77:18081: this host has no such address; "],
  ["2001:db8::77", "Cannot serve health on [2001:db8::77]:18081: this host has no such address; "],
];

for (const [hostname, message] of refused) {
  Deno.test(`serveStatus() refuses ${hostname}, which is not an address of this host`, () => {
    const error = assertThrows(() => serveStatus(() => READY, { hostname, port: 18081, libc }), Error);
    assertEquals(error.message, `${message}choose another with -healthz-ip`);
  });
}

Deno.test("keepServing() serves once another program has gone from the port, and says why not until then", async () => {
  const first = serveStatus(() => READY, { hostname: "127.0.0.1", port: 0, libc });
  const { port } = first;
  const me = `${libc.readSysctl(`/proc/${Deno.pid}/comm`)} (process ${Deno.pid})`;
  const sentence = `Cannot serve health on 127.0.0.1:${port}: address in use by ${me}; ` +
    "end it, or choose another port with -healthz-port";
  const controller = new AbortController();
  await using server = keepServing(() => READY, {
    hostname: "127.0.0.1",
    port,
    libc,
    signal: controller.signal,
  });
  const running = server.run(controller);
  assertEquals(server.conditions, [{ code: "health-port-taken", sentence }]);
  await first[Symbol.asyncDispose]();
  await until("see it served", () => server.conditions.length === 0 || undefined);
  assertEquals(await body(port), "flanneld is running");
  controller.abort();
  await running;
});

Deno.test("keepServing() ends while it waits for its port", async () => {
  await using first = serveStatus(() => READY, { hostname: "127.0.0.1", port: 0, libc });
  const controller = new AbortController();
  await using server = keepServing(() => READY, {
    hostname: "127.0.0.1",
    port: first.port,
    libc,
    signal: controller.signal,
  });
  const running = server.run(controller);
  controller.abort();
  await running;
});

Deno.test("keepServing() says that no connection can be taken, until one can", async () => {
  const full = new FullProcess(libc);
  const { signal } = new AbortController();
  const port = freePort();
  await using server = keepServing(() => READY, { hostname: "127.0.0.1", port, libc: full.libc, signal });
  const answer = body(port);
  const sentence =
    `the health server on 127.0.0.1:${port} takes no connections: EMFILE; it tries again by itself`;
  await until("hear of it", () => server.conditions.length > 0 || undefined);
  assertEquals(server.conditions, [{ code: "health-not-served", sentence }]);
  full.isFull = false;
  assertEquals(await answer, "flanneld is running");
  assertEquals(server.conditions, []);
});

Deno.test("keepServing() refuses what is no address at once", () => {
  const { signal } = new AbortController();
  assertThrows(
    () => keepServing(() => READY, { hostname: "no address", port: 18081, libc, signal }),
    Error,
    "Cannot serve health on no address:18081: it is no IP address; choose one with -healthz-ip",
  );
});

/** What a server answers to a request with these very words. */
async function answerTo(port: number, head: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(`${head}\r\n\r\n`));
  return await new Response(connection.readable).text();
}

Deno.test("a page of another name reads nothing of this host, whose own names are answered as its addresses are", async () => {
  const names = ["node-1.example.com"];
  await using server = serveStatus(() => READY, {
    hostname: "127.0.0.1",
    port: 0,
    libc,
    names,
    podName: "agent-x7k2p",
  });
  const { port } = server;
  const own = (await Deno.readTextFile("/proc/sys/kernel/hostname")).trim();
  const rows: readonly (readonly [host: string, path: string, status: number])[] = [
    [`127.0.0.1:${port}`, "/status", 200],
    ["localhost:1234", "/status", 200],
    [own, "/status", 200],
    ["node-1.example.com", "/status", 200],
    ["kube-flannel.kube-flannel.svc:8081", "/metrics", 200],
    ["rebound.example", "/healthz", 200],
    ["api.example.com:6443", "/status?pod=agent-x7k2p", 200],
    ["api.example.com:6443", "/status?pod=agent-y8l3q", 421],
    ...["/status", "/metrics", "/readyz", "/nothing"].map((path) => ["rebound.example", path, 421] as const),
  ];
  for (const [host, path, status] of rows) {
    const origin = "Origin: http://rebound.example";
    const answer = await answerTo(port, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${origin}`);
    assertEquals(Number(answer.split(" ")[1]), status, `${host} ${path}: ${answer}`);
    assertEquals(/access-control/i.test(answer), false);
    assertEquals(answer.includes("x-content-type-options: nosniff"), true);
    assertEquals(status !== 421 || answer.includes("see -healthz-name for others"), true);
  }
});
