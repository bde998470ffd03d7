import type { Libc } from "./libc.ts";

/** `O_RDONLY | O_CLOEXEC | O_NONBLOCK` of open(2): for a FIFO it waits for no writer. */
const O_RDONLY = 0o2000000 | 0o4000;
const CHUNK_BYTES = 64 * 1024;

/**
 * Reads a file off the main thread, in system calls that may wait for ever.
 *
 * @returns At most one byte more than `maxBytes`; `undefined` if it can't be read.
 */
export async function readAside(
  { call }: Libc,
  path: string,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const name = new TextEncoder().encode(`${path}\0`);
  const fd = await call.openAside(name, O_RDONLY);
  if (fd < 0) return undefined;
  try {
    let bytes = new Uint8Array(CHUNK_BYTES);
    for (let length = 0;;) {
      const chunk = new Uint8Array(Math.min(CHUNK_BYTES, maxBytes + 1 - length));
      const read = await call.readAside(fd, chunk, BigInt(chunk.length));
      if (read < 0) return undefined;
      if (length + read > bytes.length) {
        const larger = new Uint8Array(2 * bytes.length + read);
        larger.set(bytes);
        bytes = larger;
      }
      bytes.set(chunk.subarray(0, read), length);
      length += read;
      if (read === 0 || length > maxBytes) return bytes.subarray(0, length);
    }
  } finally {
    call.close(fd);
  }
}
