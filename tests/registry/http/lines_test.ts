import { assert, assertEquals, assertRejects } from "@std/assert";
import { linesOf } from "../../../src/registry/http/lines.ts";

/** The lines of an answer that comes in chunks of so many bytes. */
async function read(text: string, chunkBytes: number): Promise<string[]> {
  const bytes = new TextEncoder().encode(text);
  const chunks = Array.from(
    { length: Math.ceil(bytes.length / chunkBytes) },
    (_, at) => bytes.subarray(at * chunkBytes, (at + 1) * chunkBytes),
  );
  const response = new Response(ReadableStream.from(chunks));
  return await Array.fromAsync(linesOf(response, new AbortController().signal));
}

const cases: [text: string, lines: string[], why: string][] = [
  ["a\nb\n", ["a", "b"], "each line ends"],
  ["a\nb", ["a", "b"], "the last one need not end"],
  ["\n\na\n\n", ["a"], "empty ones say nothing"],
  ["", [], "there is nothing"],
  ["ä€𐍈\n𐍈", ["ä€𐍈", "𐍈"], "characters are cut anywhere"],
];

for (const [text, lines, why] of cases) {
  Deno.test(`linesOf() reads ${JSON.stringify(text)} in chunks of any size: ${why}`, async () => {
    for (const chunkBytes of [1, 2, 3, 1000]) assertEquals(await read(text, chunkBytes), lines);
  });
}

Deno.test("linesOf() reads a line of 40 MB in a time that grows with its length", async () => {
  const startedMs = performance.now();
  const [line] = await read("x".repeat(40_000_000), 16_384);
  assertEquals(line!.length, 40_000_000);
  assert(performance.now() - startedMs < 4000);
});

Deno.test("linesOf() ends when its signal aborts, in the middle of a line", async () => {
  const controller = new AbortController();
  const response = new Response(ReadableStream.from((async function* () {
    yield new TextEncoder().encode("half of a li");
    await new Promise((resolve) => controller.signal.addEventListener("abort", resolve, { once: true }));
  })()));
  setTimeout(() => controller.abort(new Error("asked to end")), 5);
  await assertRejects(() => Array.fromAsync(linesOf(response, controller.signal)), Error, "asked to end");
});
