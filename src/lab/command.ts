/** What a command left behind. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `ip` is the only program that is started directly; all others run as `ip netns exec NAME COMMAND`. */
const IP = "ip";

/**
 * Runs ip(8); a failure is in the result.
 *
 * @param signal Ends the command when it aborts.
 */
export async function runIp(args: readonly string[], signal?: AbortSignal): Promise<CommandResult> {
  const command = new Deno.Command(IP, {
    args: [...args],
    stdin: "null",
    // Numbers are read from what is printed.
    env: { LC_ALL: "C" },
    // A Ctrl-C at the terminal is for the lab, which then ends what it has started.
    detached: true,
    ...signal !== undefined && { signal },
  });
  const output = await command.output();
  const decoder = new TextDecoder();
  return {
    code: output.code,
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
  };
}

/**
 * Runs ip(8) and returns what it printed.
 *
 * @throws {Error} If it fails, with its own words.
 */
export async function mustRunIp(args: readonly string[], signal?: AbortSignal): Promise<string> {
  const { code, stdout, stderr } = await runIp(args, signal);
  if (code !== 0) {
    throw new Error(`Cannot run ${IP} ${args.join(" ")}: ${stderr.trim() || `exit code ${code}`}`);
  }
  return stdout;
}

/** Starts a command in a network namespace and leaves it running. */
export function spawnInNetns(
  netns: string,
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
): Deno.ChildProcess {
  return new Deno.Command(IP, {
    // ip(8) becomes the command, so the process is the command's own.
    args: ["netns", "exec", netns, ...command],
    stdin: "null",
    stdout: "null",
    stderr: "null",
    clearEnv: true,
    env: { ...environment },
    detached: true,
  }).spawn();
}

/** Reports whether a program called `name` is in one of the folders of `searchPath`, as `$PATH` lists them. */
export async function isInstalled(name: string, searchPath: string): Promise<boolean> {
  for (const folder of searchPath.split(":")) {
    if (folder !== "" && await pathExists(`${folder}/${name}`)) return true;
  }
  return false;
}

/** Reports whether there is a file or folder at `path`. */
export async function pathExists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch {
    return false;
  }
}
