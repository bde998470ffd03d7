import { ENOENT, ESRCH, isErrno } from "../linux/errno.ts";
import type { Libc } from "../linux/libc.ts";
import { namesIn, netnsNames, ownerOfFolder, ownerOfNetns } from "./names.ts";
import { deleteNetns } from "./netns.ts";

/**
 * Removes what labs have left whose process is gone: killed, or ended by a crash.
 *
 * @param temporaryFolder Where labs make their folders.
 * @returns Names of the network namespaces and paths of the folders that were removed.
 */
export async function sweepLabs(libc: Libc, temporaryFolder: string): Promise<string[]> {
  const swept: string[] = [];
  for (const name of await netnsNames()) {
    if (!isAbandoned(libc, ownerOfNetns(name))) continue;
    await deleteNetns(name);
    swept.push(name);
  }
  for (const name of await namesIn(temporaryFolder)) {
    if (!isAbandoned(libc, ownerOfFolder(name))) continue;
    const path = `${temporaryFolder}/${name}`;
    if (!(await Deno.lstat(path)).isDirectory) continue;
    await Deno.remove(path, { recursive: true });
    swept.push(path);
  }
  return swept;
}

/** What labs of process `pid` hold: names of network namespaces and paths of folders. */
export async function possessionsOf(pid: number, temporaryFolder: string): Promise<string[]> {
  const folders = (await namesIn(temporaryFolder)).filter((name) => ownerOfFolder(name) === pid);
  return [
    ...(await netnsNames()).filter((name) => ownerOfNetns(name) === pid),
    ...folders.map((name) => `${temporaryFolder}/${name}`),
  ];
}

/** Reports whether there was an owner and it is gone. */
function isAbandoned(libc: Libc, owner: number | undefined): boolean {
  return owner !== undefined && !isAlive(libc, owner);
}

/** Reports whether there is a process of that id that has not ended. */
function isAlive(libc: Libc, pid: number): boolean {
  try {
    return !isZombie(libc.readSysctl(`/proc/${pid}/stat`));
  } catch (error) {
    if (isErrno(error, ENOENT) || isErrno(error, ESRCH)) return false;
    throw error;
  }
}

/**
 * Reports whether a process has ended and only its parent has not asked for it.
 *
 * @param stat `/proc/PID/stat`: id, name in parentheses, state; the name may hold anything.
 *
 * Source: proc(5).
 */
export function isZombie(stat: string): boolean {
  return stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
}
