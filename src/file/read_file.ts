import { OddFileError, readText } from "./read_text.ts";

/** What lies at a path, without following a link; absent if nothing does. */
export function statIfThere(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Reports whether a path leads to a file; not if it can't be looked at. */
export function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** The text of a file of at most so many bytes; absent if nothing is there, empty if it is something else, a link as well. */
export function readIfThere(path: string, maxBytes: number): string | undefined {
  try {
    const stat = Deno.lstatSync(path);
    return stat.isFile ? readUnlessOdd(path, maxBytes, stat) ?? "" : "";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The text of a file that a path leads to, of at most so many bytes; absent if it is something else. */
export function readUnlessOdd(path: string, maxBytes: number, stat?: Deno.FileInfo): string | undefined {
  try {
    return readText(path, maxBytes, stat);
  } catch (error) {
    if (error instanceof OddFileError) return undefined;
    throw error;
  }
}

/** Removes a file; one that is gone is removed. */
export function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
