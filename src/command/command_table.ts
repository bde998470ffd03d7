import { FLAGS } from "../config/flags.ts";
import type { Command, CommandFlag } from "./command.ts";

/** A command as completion and the man page tell it. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** The command and the words that it takes; its name where it does not say. */
  readonly line: string;
  /** What it does, in some lines; empty where it does not say. */
  readonly about: string;
  /** Its own flags. */
  readonly flags: readonly CommandFlag[];
  /** The agent's, where it takes them too. */
  readonly agentFlags: readonly CommandFlag[];
  /** The words that it takes, where there are only some. */
  readonly words: readonly string[];
}

/** What every command is told by. */
const HELP: CommandFlag = {
  name: "help",
  kind: "boolean",
  default: false,
  help: "print what the command does",
};

/** All commands in their order, so that what is made from them has each flag that they have. */
export async function commandEntries(commands: Readonly<Record<string, Command>>): Promise<CommandEntry[]> {
  const names = Object.keys(commands);
  return await Promise.all(names.map(async (name): Promise<CommandEntry> => {
    const { summary, usage: given, loadUsage } = commands[name]!;
    const usage = given ?? await loadUsage?.();
    return {
      name,
      summary,
      line: usage?.line ?? `loden ${name}`,
      about: usage?.about ?? "",
      flags: usage === undefined ? [] : [...usage.flags, ...has(usage.flags, HELP) ? [] : [HELP]],
      agentFlags: usage?.takesAgentFlags ? FLAGS.filter((flag) => !has(usage.flags, flag)) : [],
      words: name === "help" ? names.filter((other) => other !== "help") : usage?.words ?? [],
    };
  }));
}

function has(flags: readonly CommandFlag[], { name }: Pick<CommandFlag, "name">): boolean {
  return flags.some((flag) => flag.name === name);
}
