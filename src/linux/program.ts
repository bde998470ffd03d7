/** What a program has printed. */
export interface ProgramEnd {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where programs of an administrator are. */
const FOLDERS: readonly string[] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
/** What a program may take: another one may hold iptables' lock. */
const DEADLINE_MS = 10_000;

/** The path of an administrator's program; `undefined` where there is none, or this process may start none. */
export function findProgram(name: string): string | undefined {
  if (Deno.permissions.querySync({ name: "run" }).state !== "granted") return undefined;
  return FOLDERS.map((folder) => `${folder}/${name}`).find(isFile);
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/**
 * Runs a program without a shell and with nothing of this process's environment.
 *
 * @throws {Error} If it can't be started.
 */
export async function runProgram(path: string, args: readonly string[], input: string): Promise<ProgramEnd> {
  const child = new Deno.Command(path, {
    args: [...args],
    clearEnv: true,
    env: { PATH: FOLDERS.join(":"), LC_ALL: "C" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(DEADLINE_MS),
  }).spawn();
  const writer = child.stdin.getWriter();
  // One that ends before it has read says so itself.
  await writer.write(new TextEncoder().encode(input)).then(() => writer.close()).catch(() => {});
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
