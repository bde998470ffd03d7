import type { CommandFlag } from "../command.ts";
import type { CommandEntry } from "../command_table.ts";

/** A word of the script, in single quotes. */
function quoted(text: string): string {
  return `'${text.replaceAll(/[\\']/g, "\\$&")}'`;
}

function lineOf(command: string, { name, kind, bare, words, help }: CommandFlag, isAgents: boolean): string {
  const old = isAgents ? ` -o ${name}` : "";
  const value = kind === "boolean" || bare !== undefined
    ? ""
    : words === undefined
    ? " -r -F"
    : ` -x -a ${quoted(words.join(" "))}`;
  const seen = quoted(`__fish_seen_subcommand_from ${command}`);
  return `complete -c loden -n ${seen} -l ${name}${old}${value} -d ${quoted(help)}`;
}

/** The script for fish. */
export function fishScript(entries: readonly CommandEntry[]): string {
  return [
    "# Completes the commands and flags of loden in fish: loden completion fish | source",
    "complete -c loden -e",
    "complete -c loden -f",
    ...entries.map(({ name, summary }) =>
      `complete -c loden -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`
    ),
    ...entries.flatMap(({ name, flags, agentFlags, words }) => [
      ...flags.map((flag) => lineOf(name, flag, name === "agent")),
      ...agentFlags.map((flag) => lineOf(name, flag, true)),
      ...words.length === 0 ? [] : [
        `complete -c loden -n ${quoted(`__fish_seen_subcommand_from ${name}`)} -a ${quoted(words.join(" "))}`,
      ],
    ]),
  ].join("\n");
}
