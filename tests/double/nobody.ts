/** The user that nothing belongs to. */
export const NOBODY = 65534;

/** Runs a program as that user, in no group but its own. */
export async function asNobody(program: string, ...args: readonly string[]): Promise<boolean> {
  const rights = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
  const { success } = await new Deno.Command("setpriv", {
    args: [...rights, program, ...args],
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}

/** Reports whether that user can read a file: who can may hold a lock on it, too. */
export function nobodyReads(path: string): Promise<boolean> {
  return asNobody("head", "--bytes=1", path);
}

/** Reports whether that user can hold the lock of flock(2) that keeps others from it. */
export function nobodyLocks(path: string): Promise<boolean> {
  return asNobody("flock", "--exclusive", "--nonblock", path, "true");
}
