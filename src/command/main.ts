import { COMMANDS } from "./commands.ts";
import { runCommand } from "./run_command.ts";

/** Runs the command that is asked for by name and returns the exit code of the process. */
export async function main(name: string, args: readonly string[]): Promise<number> {
  return await runCommand(name, args, Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined);
}
