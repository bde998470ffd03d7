import { BoundedOutput } from "./bounded_output.ts";
import { LifeLine } from "./life_line.ts";

/** What a program has printed. */
export interface ProgramEnd {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where programs of an administrator are. */
const FOLDERS: readonly string[] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
/** What a program may take, and print. */
export interface ProgramLimits {
  /** From its start to its end: another one may hold iptables' lock. */
  readonly deadlineMs: number;
  /** From its end to that of what it prints, which a process that it has started may keep open. */
  readonly graceMs: number;
  /** All rules of a large cluster are some 10 MB. */
  readonly outputBytes: number;
}

const LIMITS: ProgramLimits = { deadlineMs: 10_000, graceMs: 1000, outputBytes: 64 << 20 };
/** Of what went wrong the first lines are of use. */
const ERROR_BYTES = 64 * 1024;

/** Whether this process may start programs; what has given that up does not get it again. */
export function mayRunPrograms(): boolean {
  return Deno.permissions.querySync({ name: "run" }).state === "granted";
}

/** The path of an administrator's program; `undefined` where there is none, or this process may start none. */
export function findProgram(name: string): string | undefined {
  if (!mayRunPrograms()) return undefined;
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
 * Runs a program without a shell and with nothing of this process's environment. One that does not end in time is killed,
 * with what it has started; it ends when this process does.
 *
 * @throws {Error} If it can't be started, takes too long, or prints too much.
 */
export async function runProgram(
  path: string,
  args: readonly string[],
  input: string,
  limits: Partial<ProgramLimits> = {},
): Promise<ProgramEnd> {
  const { deadlineMs, graceMs, outputBytes } = { ...LIMITS, ...limits };
  using line = LifeLine.open();
  const child = new Deno.Command(path, {
    args: [...args],
    clearEnv: true,
    env: { PATH: FOLDERS.join(":"), LC_ALL: "C" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    // A process group of its own, which can be killed as one.
    detached: true,
  }).spawn();
  // What would still change rules when the next agent has read them.
  line?.tie(child.pid);
  const stdout = new BoundedOutput(child.stdout, outputBytes, "is refused");
  const stderr = new BoundedOutput(child.stderr, ERROR_BYTES, "is dropped");
  let isOver = false;
  try {
    void feed(child.stdin, input);
    const status = await before(child.status, deadlineMs);
    if (status === undefined) {
      throw new Error(`Cannot run ${path}: it did not end within ${deadlineMs / 1000} s`);
    }
    isOver = await before(Promise.all([stdout.read, stderr.read]), graceMs) !== undefined;
    if (stdout.isCut) throw new Error(`Cannot run ${path}: it printed more than ${outputBytes} bytes`);
    return { code: status.code, stdout: stdout.text, stderr: stderr.text };
  } finally {
    // Its number may be another's by then, but for what still has its pipes.
    if (!isOver) killGroup(child.pid);
    await before(child.status, graceMs);
    await Promise.all([stdout.cancel(), stderr.cancel()]);
  }
}

/** Ends what is left of a program and of what it has started. */
function killGroup(pid: number): void {
  try {
    Deno.kill(-pid, "SIGKILL");
  } catch {
    // There is nothing left, as it should be.
  }
}

/** Writes what a program reads. One that ends before it has read says so itself. */
async function feed(stdin: WritableStream<Uint8Array>, input: string): Promise<void> {
  try {
    const writer = stdin.getWriter();
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
  } catch {
    // The pipe is broken, or closed already.
  }
}

/** What `promise` becomes; `undefined` if that takes longer. */
async function before<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const late = AbortSignal.timeout(ms);
  const { promise: over, resolve } = Promise.withResolvers<undefined>();
  late.addEventListener("abort", () => resolve(undefined), { once: true });
  return await Promise.race([promise, over]);
}
