import { join } from "node:path";

/** Where runtimes have their plugins: most of them, and Debian's. */
export const USUAL_PLUGIN_FOLDERS: readonly string[] = ["/opt/cni/bin", "/usr/lib/cni"];

const EXECUTABLE_BITS = 0o111;

/**
 * Of these plugins those that no folder has as a file that can be started. In doubt one is there: a link to what can't
 * be seen from here, as in a container that has the folder and not the host, or a folder that can't be looked into.
 */
export function missingPlugins(types: readonly string[], folders: readonly string[]): string[] {
  return types.filter((type) => !folders.some((folder) => mayBeIn(folder, type)));
}

/**
 * Says which plugins are missing, and what to do.
 *
 * @param where.isSaid Whether an operator has named these folders as the runtime's.
 * @param where.elsewhere Other folders that have all of them.
 */
export function describeMissing(
  missing: readonly string[],
  { folders, isSaid, elsewhere, conflistPath }: {
    readonly folders: readonly string[];
    readonly isSaid: boolean;
    readonly elsewhere: readonly string[];
    readonly conflistPath: string;
  },
): string {
  const isOne = missing.length === 1;
  const [it, is] = isOne ? ["it", "is"] : ["them", "are"];
  const paths = missing.map((type) => join(folders[0]!, type)).join(", ");
  const what = isSaid
    ? `${paths} ${is} not there`
    : `the plugin${isOne ? "" : "s"} ${missing.join(", ")} ${is} in none of ${folders.join(", ")}`;
  const unless = isSaid ? "" : "unless the runtime has another folder, ";
  const hint = elsewhere.length === 0 ? "" : `, as ${elsewhere.join(" and ")} which has ${it}`;
  return `${what}, which the conflist ${conflistPath} names: ${unless}no pod can be started; install ${it} ` +
    `(containernetworking-plugins), or name the folder that the runtime uses with -cni-bin-dir${hint}`;
}

function mayBeIn(folder: string, type: string): boolean {
  const path = join(folder, type);
  try {
    const stat = Deno.lstatSync(path);
    return stat.isSymlink ? leadsToProgram(path) ?? true : isProgram(stat);
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory);
  }
}

function isProgram({ isFile, mode }: Deno.FileInfo): boolean {
  return isFile && ((mode ?? EXECUTABLE_BITS) & EXECUTABLE_BITS) !== 0;
}

/** `undefined` if it leads nowhere. */
function leadsToProgram(path: string): boolean | undefined {
  try {
    return isProgram(Deno.statSync(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
