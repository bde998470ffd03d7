import { basename, dirname, join } from "node:path";
import { removeIfThere } from "./read_file.ts";

/** Bytes that are written at a time. */
const CHUNK_LENGTH = 64 * 1024;

/**
 * Puts a file in place of another, whole or not at all: readers see the old text or the new one, also if the power
 * fails.
 *
 * @param text The pieces of its text.
 * @param mode Permission bits; the umask takes none away.
 * @param named Where it is written first, in the same folder; what is there is removed first, as it
 * may be a FIFO or a link. Absent: a name that nobody has.
 */
export function replaceFile(
  path: string,
  text: Iterable<string>,
  mode: number,
  named?: string,
): void {
  const temporary = named ?? temporaryPath(path);
  try {
    if (named !== undefined) removeIfThere(named);
    {
      using file = Deno.openSync(temporary, { write: true, createNew: true, mode });
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
