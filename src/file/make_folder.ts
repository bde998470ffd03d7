import { dirname } from "node:path";
import { syncFolder } from "./exclusive_file.ts";

/** Others may look, and nobody else may write: also where the umask would let them. */
const MODE = 0o755;

/**
 * Makes a folder, and those above it that are missing; one that is there stays as it is.
 *
 * @param mode Permission bits of what is made, of which the umask takes some away.
 * @throws What the file system says.
 */
export function makeFolder(path: string, mode: number = MODE): void {
  try {
    if (Deno.statSync(path).isDirectory) return;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  Deno.mkdirSync(path, { recursive: true, mode });
  // The files in it are synced by their writers, with its names; its own name is another folder's.
  syncFolder(dirname(path));
}
