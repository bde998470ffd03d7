import { createHash } from "node:crypto";
import { removeAbandoned, replaceFileWith } from "../file/replace_file.ts";
import { statIfThere } from "../file/read_file.ts";

const PROGRAM_MODE = 0o755;
const READ_BYTES = 1 << 20;

/**
 * Installs a program in place of what is at `path`, so that a runtime that starts it meanwhile starts the old or the
 * new one, whole. One that is the same already is left alone.
 *
 * @returns Whether it was written.
 * @throws What the file system says; nothing is left behind.
 */
export function installProgram(source: string, path: string): boolean {
  if (isInstalled(source, path)) return false;
  removeAbandoned(path);
  replaceFileWith(path, PROGRAM_MODE, (file) => {
    for (const piece of pieces(source)) file.write(piece);
  });
  return true;
}

/** Whether `path` is that program already, and may be started by every user. */
function isInstalled(source: string, path: string): boolean {
  const existing = statIfThere(path);
  if (
    existing?.isFile !== true || existing.mode === null || (existing.mode & PROGRAM_MODE) !== PROGRAM_MODE
  ) {
    return false;
  }
  return isSameFile(source, path);
}

/** Reports whether two files hold the same. */
export function isSameFile(one: string, other: string): boolean {
  return Deno.statSync(one).size === Deno.statSync(other).size && digestOf(one) === digestOf(other);
}

function digestOf(path: string): string {
  const hash = createHash("sha256");
  for (const piece of pieces(path)) hash.update(piece);
  return hash.digest("hex");
}

/** What a file holds, from its beginning; each piece is good until the next one. */
function* pieces(path: string): Generator<Uint8Array, void, undefined> {
  using file = Deno.openSync(path, { read: true });
  const buffer = new Uint8Array(READ_BYTES);
  for (let length = file.readSync(buffer); length !== null; length = file.readSync(buffer)) {
    yield buffer.subarray(0, length);
  }
}
