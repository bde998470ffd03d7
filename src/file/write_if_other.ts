import { dirname } from "node:path";
import { readText } from "./read_text.ts";
import { statIfThere } from "./read_file.ts";
import { replaceFile } from "./replace_file.ts";

const DEFAULT_MODE = 0o644;

/**
 * Writes a file so that a reader sees the old or the new one, never a part of it. One that says the same already is
 * left alone; permission bits of one that is there are kept.
 *
 * @returns Whether it was written.
 * @throws What the file system says; nothing is left behind.
 */
export function writeIfOther(path: string, text: string): boolean {
  const existing = statIfThere(path);
  if (existing?.isDirectory) throw new Error("it is a folder");
  const isFile = existing?.isFile === true;
  const isAsLong = isFile && existing.size === new TextEncoder().encode(text).length;
  if (isAsLong && readText(path, existing.size, existing) === text) return false;
  Deno.mkdirSync(dirname(path), { recursive: true });
  replaceFile(path, [text], isFile && existing.mode !== null ? existing.mode & 0o777 : DEFAULT_MODE);
  return true;
}
