import { basename, dirname, join } from "node:path";

/** Bytes that are written at a time. */
const CHUNK_LENGTH = 64 * 1024;

/**
 * Puts a file in place of another, whole or not at all: readers see the old text or the new one, also if the power
 * fails.
 *
 * @param text The pieces of its text.
 * @param mode Permission bits; the umask takes none away.
 * @param temporary Where it is written first, in the same folder; what is there is overwritten.
 */
export function replaceFile(
  path: string,
  text: Iterable<string>,
  mode: number,
  temporary = temporaryPath(path),
): void {
  try {
    {
      using file = Deno.openSync(temporary, { write: true, create: true, truncate: true, mode });
      let chunk = "";
      for (const piece of text) {
        chunk += piece;
        if (chunk.length < CHUNK_LENGTH) continue;
        writeAll(file, chunk);
        chunk = "";
      }
      writeAll(file, chunk);
      // The umask of the process has taken bits away.
      Deno.chmodSync(temporary, mode);
      file.syncSync();
    }
    Deno.renameSync(temporary, path);
  } catch (error) {
    try {
      Deno.removeSync(temporary);
    } catch {
      // What was wrong first is the better reason.
    }
    throw error;
  }
}

function writeAll(file: Deno.FsFile, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) written += file.writeSync(bytes.subarray(written));
}

/** A name in the same folder, so that it can be renamed; hidden, and not to be guessed. */
export function temporaryPath(path: string): string {
  return join(dirname(path), `.${basename(path)}${crypto.randomUUID()}`);
}
