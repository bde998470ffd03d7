import { createHash } from "node:crypto";
import { temporaryPath } from "../file/replace_file.ts";
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
  const temporary = temporaryPath(path);
  try {
    Deno.copyFileSync(source, temporary);
    Deno.chmodSync(temporary, PROGRAM_MODE);
    {
      using file = Deno.openSync(temporary, { read: true });
      file.syncSync();
    }
    Deno.renameSync(temporary, path);
    return true;
  } catch (error) {
    try {
      Deno.removeSync(temporary);
    } catch {
      // What was wrong first is the better reason.
    }
    throw error;
  }
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
  using file = Deno.openSync(path, { read: true });
  const buffer = new Uint8Array(READ_BYTES);
  for (let length = file.readSync(buffer); length !== null; length = file.readSync(buffer)) {
    hash.update(buffer.subarray(0, length));
  }
  return hash.digest("hex");
}
