import { basename, dirname } from "node:path";

const ENOSPC = 28;
/** Of the file system that a host's files are on. */
const DISK_BYTES = 4 * 2 ** 20;

/** Puts a small file system of its own in the place of a folder. Disposal takes it away again. */
export async function mountSmallDisk(path: string): Promise<AsyncDisposable> {
  await mustRun("mount", "-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tmpfs", path);
  // An agent may still have its log open.
  return { [Symbol.asyncDispose]: () => mustRun("umount", "--lazy", path) };
}

async function mustRun(command: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await new Deno.Command(command, { args, stdin: "null" }).output();
  if (code !== 0) {
    throw new Error(`Cannot run ${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  }
}

/** Deletes all files of a folder but the log, which its agent would go on to write to. */
export async function emptyFolder(path: string): Promise<void> {
  for await (const { name } of Deno.readDir(path)) {
    if (name !== "agent.log") await Deno.remove(`${path}/${name}`, { recursive: true });
  }
}

/** Fills the file system of a folder to the last byte. `freeFolder()` undoes it. */
export async function fillFolder(path: string): Promise<void> {
  await Deno.mkdir(ballastPath(path));
  using file = await Deno.open(`${ballastPath(path)}/zeros`, { write: true, create: true });
  for (let bytes = 64 * 1024; bytes > 0;) {
    try {
      await file.write(new Uint8Array(bytes));
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes(`os error ${ENOSPC}`)) throw error;
      bytes >>= 1;
    }
  }
}

/** Takes a file out of a full file system without freeing what it takes up. */
export async function moveIntoBallast(path: string): Promise<void> {
  await Deno.rename(path, `${ballastPath(dirname(path))}/${basename(path)}`);
}

/** Frees what `fillFolder()` has taken. */
export async function freeFolder(path: string): Promise<void> {
  await Deno.remove(ballastPath(path), { recursive: true });
}

function ballastPath(path: string): string {
  return `${path}/ballast`;
}
