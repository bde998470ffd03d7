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

/** The text of a file of at most so many bytes; absent if there is something else or nothing. */
export function readUpTo(path: string, maxBytes: number): string | undefined {
  const stat = statIfThere(path);
  return stat?.isFile === true && stat.size <= maxBytes ? Deno.readTextFileSync(path) : undefined;
}

/** Removes a file; one that is gone is removed. */
export function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
