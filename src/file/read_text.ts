import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** A first guess at the length of a file that does not say it, as those of /proc. */
const GUESS_BYTES = 4096;

/** What is at a path is not read: it is no regular file, or a larger one than is of use. */
export class OddFileError extends Error {
  override readonly name = "OddFileError";

  constructor(readonly what: string, wayOut: string) {
    super(`${what}; ${wayOut}`);
  }
}

/**
 * Reads a text file that a person or another program may have replaced by anything: what is no regular file is not
 * opened, and never more than `maxBytes` are read, even if the file says that it is shorter. Never waits for a writer:
 * where a FIFO takes the file's place behind the first look, it is opened without waiting, and seen.
 *
 * @param stat What is at the path, if the caller has looked.
 * @throws {OddFileError} If it is no regular file or too large: what it is, and what to do.
 * @throws What the file system says.
 */
export function readText(path: string, maxBytes: number, stat = Deno.statSync(path)): string {
  refuseOdd(stat, maxBytes);
  const file = open(path);
  try {
    const opened = fstatSync(file);
    refuse(opened.isFile() ? undefined : "file of another kind by now", opened.size, maxBytes);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(readUpTo(file, opened.size, maxBytes));
  } finally {
    closeSync(file);
  }
}

/** @throws {OddFileError} If what is at a path is no regular file, or says that it is too large. */
export function refuseOdd(stat: Deno.FileInfo, maxBytes: number): void {
  refuse(kindOf(stat), stat.size, maxBytes);
}

function kindOf(stat: Deno.FileInfo): string | undefined {
  if (stat.isFile) return undefined;
  if (stat.isDirectory) return "folder";
  if (stat.isFifo) return "FIFO";
  if (stat.isSocket) return "socket";
  return stat.isCharDevice || stat.isBlockDevice ? "device" : "file of an unknown kind";
}

function refuse(kind: string | undefined, sizeBytes: number, maxBytes: number): void {
  if (kind !== undefined) {
    throw new OddFileError(`it is a ${kind}, not a regular file`, "put one in its place");
  }
  if (sizeBytes > maxBytes) {
    throw new OddFileError(`it has more than ${maxBytes} bytes`, "put a smaller one in its place");
  }
}

function readUpTo(file: number, sizeBytes: number, maxBytes: number): Uint8Array {
  // One byte more than is expected: what does not fill it is the whole file.
  let bytes = new Uint8Array(Math.min(sizeBytes || GUESS_BYTES, maxBytes) + 1);
  let length = 0;
  for (;;) {
    const read = readSync(file, bytes, length, bytes.length - length, null);
    if (read === 0) return bytes.subarray(0, length);
    length += read;
    refuse(undefined, length, maxBytes);
    if (length < bytes.length) continue;
    const larger = new Uint8Array(Math.min(2 * length, maxBytes + 1));
    larger.set(bytes);
    bytes = larger;
  }
}

/** Opens a file; says what is wrong as Deno does. */
function open(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    if (code === "ENOENT") throw new Deno.errors.NotFound(path);
    if (code === "EACCES" || code === "EPERM") throw new Deno.errors.PermissionDenied(path);
    throw error;
  }
}
