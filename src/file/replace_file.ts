import { basename, dirname, join } from "node:path";
import { ExclusiveFile, syncFolder } from "./exclusive_file.ts";
import { removeIfThere, statIfThere } from "./read_file.ts";

/** Bytes that are written at a time. */
const CHUNK_LENGTH = 64 * 1024;
/** What `crypto.randomUUID()` makes. */
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** No writer needs that long, so that one which has left this behind was killed. */
const ABANDONED_MS = 60_000;

/**
 * Puts a file in place of another, whole or not at all: readers see the old text or the new one, also if the power
 * fails. When this returns, it is on the disk, the name as well. What writers of the same file left that were killed is
 * removed.
 *
 * @param text The pieces of its text.
 * @param mode Permission bits; the umask takes none away.
 * @param isCrowded Whether the folder has so many files that what was left is looked for less often, by somebody else.
 * @throws What the file system says; nothing is left behind.
 */
export function replaceFile(
  path: string,
  text: Iterable<string>,
  mode: number,
  { isCrowded = false }: { readonly isCrowded?: boolean } = {},
): void {
  if (!isCrowded) removeAbandoned(path);
  replaceFileWith(path, mode, (file) => {
    const encoder = new TextEncoder();
    let chunk = "";
    for (const piece of text) {
      chunk += piece;
      if (chunk.length < CHUNK_LENGTH) continue;
      file.write(encoder.encode(chunk));
      chunk = "";
    }
    file.write(encoder.encode(chunk));
  });
}

/** As `replaceFile()`, of bytes that `write` gives to the new file, and without a look at what was left. */
export function replaceFileWith(path: string, mode: number, write: (file: ExclusiveFile) => void): void {
  const temporary = temporaryPath(path);
  try {
    {
      using file = ExclusiveFile.make(temporary, mode);
      write(file);
      file.sync();
    }
    Deno.renameSync(temporary, path);
  } catch (error) {
    // What is there in its place is not this writer's.
    if (!(error instanceof Deno.errors.AlreadyExists)) removeQuietly(temporary);
    throw error;
  }
  syncFolder(dirname(path));
}

/** Removes what writers of the file at `path` have left that were killed. Never throws: what stays is in nobody's way. */
export function removeAbandoned(path: string): void {
  const [folder, start] = [dirname(path), hiddenName(path)];
  try {
    for (const { name, isFile } of Deno.readDirSync(folder)) {
      if (!isFile || !name.startsWith(start) || !UUID.test(name.slice(start.length))) continue;
      removeIfAbandoned(join(folder, name));
    }
  } catch {
    // The folder may be none, or be read by nobody.
  }
}

/** Removes a file that nobody has written to for longer than a writer lives: by a clock that may be set, and have files of the future. */
export function removeIfAbandoned(path: string): void {
  const writtenMs = statIfThere(path)?.mtime?.getTime();
  if (writtenMs !== undefined && Math.abs(Date.now() - writtenMs) > ABANDONED_MS) removeIfThere(path);
}

/** A name in the same folder, so that it can be renamed; hidden, and not to be guessed. */
function temporaryPath(path: string): string {
  return join(dirname(path), `${hiddenName(path)}${crypto.randomUUID()}`);
}

function hiddenName(path: string): string {
  return `.${basename(path)}`;
}

function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // What was wrong first is the better reason.
  }
}
