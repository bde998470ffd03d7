/** What a person or another program may leave in the place of a file. */
export interface OddFile {
  readonly what: string;
  readonly make: (path: string) => Promise<unknown> | void;
  /** Why it is not read; what a file may have at most stands for `MAX`. */
  readonly reason: string;
}

const LARGE_BYTES = 100 * 2 ** 20;

const kind = (name: string) => `it is a ${name}, not a regular file; put one in its place`;

export const ODD_FILES: readonly OddFile[] = [
  { what: "a FIFO", make: makeFifo, reason: kind("FIFO") },
  { what: "a link to a FIFO", make: linkToFifo, reason: kind("FIFO") },
  { what: "a link to /dev/zero", make: (path) => Deno.symlink("/dev/zero", path), reason: kind("device") },
  { what: "a socket", make: makeSocket, reason: kind("socket") },
  { what: "a folder", make: (path) => Deno.mkdir(path), reason: kind("folder") },
  {
    what: "a link to nothing",
    make: (path) => Deno.symlink("nowhere", path),
    reason: "there is no such file or folder",
  },
  {
    what: "a file of 100 MiB",
    make: makeLarge,
    reason: "it has more than MAX bytes; put a smaller one in its place",
  },
];

/** Puts something in the place of what is at a path, in one step as far as the kernel can. */
export async function putInPlace(path: string, make: OddFile["make"]): Promise<void> {
  const temporary = `${path}.new`;
  await make(temporary);
  const isFolder = async (path: string) =>
    (await Deno.lstat(path).catch(() => undefined))?.isDirectory === true;
  for (;;) {
    if (await isFolder(path) || await isFolder(temporary)) {
      await Deno.remove(path, { recursive: true }).catch(ignoreMissing);
    }
    try {
      return await Deno.rename(temporary, path);
    } catch (error) {
      // An agent has written it anew meanwhile.
      const { NotADirectory, IsADirectory } = Deno.errors;
      if (!(error instanceof NotADirectory || error instanceof IsADirectory)) throw error;
    }
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

async function makeFifo(path: string): Promise<void> {
  const { success } = await new Deno.Command("mkfifo", { args: [path] }).output();
  if (!success) throw new Error(`Cannot make the FIFO ${path}`);
}

async function linkToFifo(path: string): Promise<void> {
  const target = await Deno.makeTempDir({ dir: path.slice(0, path.lastIndexOf("/")), prefix: "fifo-" });
  await makeFifo(`${target}/fifo`);
  await Deno.symlink(`${target}/fifo`, path);
}

async function makeSocket(path: string): Promise<void> {
  // A path of a socket may have 107 bytes. Under another name it stays when nobody listens any more.
  const folder = await Deno.makeTempDir();
  using _ = Deno.listen({ transport: "unix", path: `${folder}/s` });
  await Deno.rename(`${folder}/s`, path);
  await Deno.remove(folder);
}

async function makeLarge(path: string): Promise<void> {
  await Deno.writeTextFile(path, "{");
  await Deno.truncate(path, LARGE_BYTES);
}
