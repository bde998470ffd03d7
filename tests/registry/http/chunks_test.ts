import { assert, assertEquals, assertRejects } from "@std/assert";
import { chunksOf } from "../../../src/registry/http/chunks.ts";

const BYTES = 8 * 2 ** 20;

/** Serves as many bytes as are wanted, and one more that never comes if it is told to. */
function serve({ isEndless = false }: { isEndless?: boolean } = {}) {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    let left = BYTES;
    return new Response(
      new ReadableStream({
        pull: (out) => {
          if (left > 0) out.enqueue(new Uint8Array(Math.min(left, 100_000)).fill(7));
          else if (!isEndless) return out.close();
          else return new Promise(() => {});
          left -= 100_000;
        },
      }),
    );
  });
  return server;
}

Deno.test("chunksOf() yields all of an answer, and makes no more memory of it than one piece", async () => {
  await using server = serve();
  using client = Deno.createHttpClient({});
  const response = await fetch(`http://127.0.0.1:${server.addr.port}/`, { client });
  let [bytes, largest] = [0, 0];
  for await (const chunk of chunksOf(response, new AbortController().signal)) {
    assertEquals([chunk[0], chunk.at(-1)], [7, 7]);
    bytes += chunk.length;
    largest = Math.max(largest, chunk.buffer.byteLength);
  }
  assertEquals([bytes, largest], [BYTES, 64 * 1024]);
});

Deno.test("chunksOf() ends with its signal in the middle of an answer, and yields nothing of one without a body", async () => {
  await using server = serve({ isEndless: true });
  using client = Deno.createHttpClient({});
  const response = await fetch(`http://127.0.0.1:${server.addr.port}/`, { client });
  const abort = new AbortController();
  const read = async () => {
    let bytes = 0;
    for await (const chunk of chunksOf(response, abort.signal)) {
      bytes += chunk.length;
      if (bytes >= BYTES) setTimeout(() => abort.abort(new Error("the end")), 10);
    }
  };
  await assertRejects(read, Error, "the end");
  assert((await Array.fromAsync(chunksOf(new Response(null), new AbortController().signal))).length === 0);
});
