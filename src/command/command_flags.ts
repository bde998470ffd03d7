import { type Flag, FLAG_GROUPS, type FlagValue } from "../config/flag.ts";
import { FLAGS } from "../config/flags.ts";
import { nearest } from "../config/nearest.ts";
import { readFlags } from "../config/parse_flags.ts";
import { UsageError } from "../config/usage_error.ts";
import type { CommandFlag, CommandUsage } from "./command.ts";

const [group] = FLAG_GROUPS;

/** What a command was asked for with. */
export interface CommandWords {
  /** The value of each flag that was given or has a default. */
  readonly values: ReadonlyMap<string, FlagValue>;
  /** What is not a flag, in its order. */
  readonly words: readonly string[];
  /** The agent's flags, as they were given. */
  readonly agentArgs: readonly string[];
}

/**
 * Reads what a command was asked for with; `undefined` where that is its help. Flags may stand before, between and behind
 * other words.
 *
 * @throws {UsageError} If a flag is unknown or has a bad value.
 */
export function readCommandWords(args: readonly string[], usage: CommandUsage): CommandWords | undefined {
  const table = usage.flags.map((flag): Flag & CommandFlag => ({ ...flag, group, isNew: true }));
  const own: string[] = [];
  const agentArgs: string[] = [];
  const words: string[] = [];
  const waiting = [...args];
  for (let word = waiting.shift(); word !== undefined; word = waiting.shift()) {
    if (word === "--") {
      words.push(...waiting);
      break;
    }
    if (!/^--?[^-]/.test(word)) {
      words.push(word);
      continue;
    }
    const [, name = "", equals] = /^--?([^=]+)(=)?/.exec(word) ?? [];
    if (name === "help" || name === "h") return undefined;
    const ofCommand = table.find((flag) => flag.name === name);
    const ofAgent = usage.takesAgentFlags && FLAGS.find((flag: Flag) => flag.name === name);
    const flag = ofCommand ?? ofAgent;
    if (!flag) throw unknown(word, name, usage);
    const side = ofCommand ? own : agentArgs;
    if (ofCommand?.bare !== undefined && equals === undefined) {
      side.push(`${word}=${ofCommand.bare}`);
      continue;
    }
    side.push(word);
    if (flag.kind !== "boolean" && equals === undefined && waiting.length > 0) side.push(waiting.shift()!);
  }
  // Not from the environment: what a command does is said where it is called.
  const outcome = readFlags(own, {}, table);
  if (outcome.kind !== "values") return undefined;
  return { values: outcome.reading.values, words, agentArgs };
}

function unknown(word: string, name: string, { line, flags }: CommandUsage): UsageError {
  const near = nearest(name, flags.map((flag) => flag.name));
  const command = line.split(" ").slice(0, 2).join(" ");
  const hint = near === undefined ? `see '${command} --help'` : `did you mean --${near}?`;
  return new UsageError(`Cannot read flag ${JSON.stringify(word)}: there is no such flag; ${hint}`);
}

/** How a flag is written. */
export function flagForm({ name, kind, value, bare }: CommandFlag): string {
  if (kind === "boolean") return `--${name}`;
  const given = `=${value ?? "VALUE"}`;
  return `--${name}${bare === undefined ? given : `[${given}]`}`;
}

/** What `--help` of a command prints. */
export function commandHelp({ line, about, flags, takesAgentFlags }: CommandUsage): string {
  const forms = flags.map(flagForm);
  const width = Math.max(0, ...forms.map(({ length }) => length));
  return [
    `Usage: ${line} [FLAGS]${takesAgentFlags ? " [THE AGENT'S FLAGS]" : ""}`,
    "",
    about,
    ...flags.length === 0 ? [] : [""],
    ...flags.map((flag, at) => `  ${forms[at]!.padEnd(width)}  ${flag.help}${initially(flag)}`),
  ].join("\n");
}

function initially({ kind, bare, default: initial }: CommandFlag): string {
  if (bare !== undefined) return ` (${bare})`;
  return kind === "boolean" || initial === undefined || initial === "" ? "" : ` (${initial})`;
}
