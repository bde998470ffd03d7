import { UsageError } from "../../config/usage_error.ts";
import type { Command } from "../command.ts";
import { commandHelp, readCommandWords } from "../command_flags.ts";
import { commandEntries, type CommandEntry } from "../command_table.ts";
import { bashScript } from "./bash.ts";
import { fishScript } from "./fish.ts";
import { COMPLETION_USAGE } from "./usage.ts";
import { zshScript } from "./zsh.ts";

/** What is printed for each shell. */
const SCRIPTS: Readonly<Record<string, (entries: readonly CommandEntry[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/**
 * What `loden completion SHELL` prints.
 *
 * @throws {UsageError} If there is nothing for the shell.
 */
export async function completionOf(
  args: readonly string[],
  commands: Readonly<Record<string, Command>>,
): Promise<string> {
  const asked = readCommandWords(args, COMPLETION_USAGE);
  if (asked === undefined) return commandHelp(COMPLETION_USAGE);
  const [shell = "", ...others] = asked.words;
  const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
  if (script === undefined || others.length > 0) {
    throw new UsageError(
      "Cannot tell for which shell: name one of bash, zsh, fish; see 'loden completion --help'",
    );
  }
  return script(await commandEntries(commands));
}
