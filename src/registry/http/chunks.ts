/** Pieces are read into memory of this size, again and again: of a long answer no garbage is left. */
const BUFFER_BYTES = 64 * 1024;

/**
 * The pieces of an answer's body as they come, until it ends or `signal` aborts. The memory of a piece is used again for
 * the next one: what is to be kept of it has to be copied.
 *
 * The body is cancelled by hand: `fetch` of Deno 2.7 makes a signal of its own from the one that it is given, which is
 * held weakly, so that after a garbage collection an abort no longer reaches a body that streams for long.
 *
 * @throws What `signal` was aborted with.
 */
export async function* chunksOf(
  response: Response,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = response.body?.getReader({ mode: "byob" });
  if (reader === undefined) return;
  let buffer = new ArrayBuffer(BUFFER_BYTES);
  // What goes wrong then is of no use to a caller.
  const cancel = () => void reader.cancel().catch(() => {});
  signal.addEventListener("abort", cancel, { once: true });
  try {
    signal.throwIfAborted();
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(buffer));
      signal.throwIfAborted();
      if (done) return;
      yield value;
      buffer = value.buffer;
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}
