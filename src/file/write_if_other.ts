import { dirname } from "node:path";
import { readText } from "./read_text.ts";
import { statIfThere } from "./read_file.ts";
import { makeFolder } from "./make_folder.ts";
import { replaceFile } from "./replace_file.ts";

/**
 * Writes a file so that a reader sees the old or the new one, never a part of it. One that says the same already is
 * left alone; permission bits of one that is there are kept.
 *
 * @param mode Permission bits of one that is new.
 * @returns Whether it was written.
 * @throws What the file system says; nothing is left behind.
 */
export function writeIfOther(path: string, text: string, mode: number): boolean {
  const existing = statIfThere(path);
  if (existing?.isDirectory) throw new Error("it is a folder");
  const isFile = existing?.isFile === true;
  const isAsLong = isFile && existing.size === new TextEncoder().encode(text).length;
  if (isAsLong && readText(path, existing.size, existing) === text) return false;
  makeFolder(dirname(path));
  replaceFile(path, [text], isFile && existing.mode !== null ? existing.mode & 0o777 : mode);
  return true;
}
