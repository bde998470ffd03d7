/** Where ip(8) keeps the network namespaces that have names. */
export const NETNS_FOLDER = "/run/netns";

const OF_LAB_NETNS = /^loden([1-9]\d*)-(?:\d+-)?(?:underlay|h\d+(?:-p\d+)?)$/;
const OF_LAB_FOLDER = /^loden([1-9]\d*)-[0-9A-Za-z_-]+$/;

/**
 * What the names of a lab's network namespaces begin with.
 *
 * @param serial Which of the labs of that process, from 1.
 */
export function labName(pid: number, serial: number): string {
  return serial === 1 ? `loden${pid}` : `loden${pid}-${serial}`;
}

/** The process that made the lab which a network namespace belongs to; `undefined` for any other namespace. */
export function ownerOfNetns(name: string): number | undefined {
  return owner(OF_LAB_NETNS, name);
}

/** The process that made the lab which a folder belongs to; `undefined` for any other folder. */
export function ownerOfFolder(name: string): number | undefined {
  return owner(OF_LAB_FOLDER, name);
}

function owner(pattern: RegExp, name: string): number | undefined {
  const pid = pattern.exec(name)?.[1];
  return pid === undefined ? undefined : Number(pid);
}

/** The folder for temporary files, as `Deno.makeTempDir()` chooses it. */
export function temporaryFolder(): string {
  return Deno.env.get("TMPDIR") || "/tmp";
}

/** Names of all network namespaces that have one. */
export async function netnsNames(): Promise<string[]> {
  return await namesIn(NETNS_FOLDER);
}

/** Names in a folder, none where there is no such folder. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
