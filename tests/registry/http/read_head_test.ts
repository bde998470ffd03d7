import { assertEquals, assertLess, assertRejects } from "@std/assert";
import { readHead } from "../../../src/registry/http/read_head.ts";

const signal = new AbortController().signal;

Deno.test("readHead() reads as much as it is told to, and lets go of the rest", async () => {
  let pulled = 0;
  let isCancelled = false;
  const endless = new ReadableStream({
    type: "bytes",
    pull: (out) => {
      pulled++;
      out.enqueue(new TextEncoder().encode("größe "));
    },
    cancel: () => void (isCancelled = true),
  });
  assertEquals(await readHead(new Response(endless), 11, signal), "größe gr\ufffd");
  assertEquals(isCancelled, true);
  assertLess(pulled, 10);
});

Deno.test("readHead() reads a short answer whole, also where a sign comes in two pieces", async () => {
  const bytes = new TextEncoder().encode("größe");
  const left = [bytes.slice(0, 3), bytes.slice(3)];
  const pieces = new ReadableStream({
    type: "bytes",
    pull: (out) => {
      const piece = left.shift();
      if (piece !== undefined) return out.enqueue(piece);
      out.close();
      out.byobRequest?.respond(0);
    },
  });
  assertEquals(await readHead(new Response(pieces), 100, signal), "größe");
  assertEquals(await readHead(new Response(null), 100, signal), "");
});

Deno.test("readHead() takes a bomb of gzip for its first bytes", async () => {
  const zipped = new Response(new Uint8Array(64 * 2 ** 20)).body!.pipeThrough(new CompressionStream("gzip"));
  const body = await new Response(zipped).bytes();
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response(body, { headers: { "content-encoding": "gzip" } }),
  );
  using client = Deno.createHttpClient({});
  const response = await fetch(`http://127.0.0.1:${server.addr.port}/`, { client });
  const before = Deno.memoryUsage().rss;
  assertEquals((await readHead(response, 1000, signal)).length, 1000);
  assertLess(Deno.memoryUsage().rss - before, 32 * 2 ** 20);
});

Deno.test("readHead() ends with its signal", async () => {
  const abort = new AbortController();
  const silent = new Response(new ReadableStream({ type: "bytes" }));
  const read = assertRejects(() => readHead(silent, 100, abort.signal), Error, "the end");
  abort.abort(new Error("the end"));
  await read;
});
