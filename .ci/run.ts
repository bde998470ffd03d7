/** Flags for Deno: nothing but what deno.lock names, with the digests it names. */
export const LOCKED: readonly string[] = ["--lock=deno.lock", "--frozen"];

/** What a command is run with. */
export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
}

/**
 * Runs a command with this terminal. No shell has a part in it.
 *
 * @throws {Error} If it fails or is not there.
 */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<void> {
  const words = [command, ...args].join(" ");
  let status: Deno.CommandStatus;
  try {
    status = await new Deno.Command(command, {
      args: [...args],
      stdin: "null",
      stdout: "inherit",
      stderr: "inherit",
      ...options,
    }).spawn().status;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new Error(`Cannot run ${words}: ${command} is not installed`);
    }
    throw error;
  }
  const { code, signal } = status;
  if (code !== 0) throw new Error(`Cannot run ${words}: it ended with ${signal ?? `exit code ${code}`}`);
}

/** Does the work of a script, and ends the process with one line if that fails. */
export async function runScript(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    // deno-lint-ignore no-console
    console.error(error instanceof Error ? error.message : String(error));
    Deno.exit(1);
  }
}
