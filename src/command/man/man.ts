import { UsageError } from "../../config/usage_error.ts";
import { VERSION } from "../../model/version.ts";
import type { Command, CommandFlag } from "../command.ts";
import { commandHelp, flagForm, readCommandWords } from "../command_flags.ts";
import { commandEntries, type CommandEntry } from "../command_table.ts";
import { MAN_USAGE } from "./usage.ts";

/** Characters of a line of text, which man(1) fills again. */
const LINE_LENGTH = 78;

/**
 * What `loden man` prints: the manual page of all commands, in the language of man(7).
 *
 * @throws {UsageError} If there are words that it does not know.
 */
export async function manOf(
  args: readonly string[],
  commands: Readonly<Record<string, Command>>,
): Promise<string> {
  const asked = readCommandWords(args, MAN_USAGE);
  if (asked === undefined) return commandHelp(MAN_USAGE);
  if (asked.words.length > 0) {
    throw new UsageError(
      `Cannot read ${JSON.stringify(asked.words[0])}: there is one manual page; see 'loden man --help'`,
    );
  }
  return manPage(await commandEntries(commands));
}

/** The page, as lines of man(7). */
export function manPage(entries: readonly CommandEntry[]): string {
  return [
    `.TH LODEN 8 "" "loden ${VERSION}"`,
    ".SH NAME",
    "loden \\- a layer 3 network for pods that heals itself",
    ".SH SYNOPSIS",
    ".B loden",
    ".I COMMAND",
    "[\\fB\\-\\-\\fIFLAG\\fR[=\\fIVALUE\\fR]]...",
    ".SH DESCRIPTION",
    ...textLines(
      "Loden gives each host of a cluster a subnet for its pods, and keeps what leads to the subnets of all others in " +
        "the kernel. It takes the place of flanneld: flags without a command are the agent's.",
    ),
    ".SH COMMANDS",
    ...entries.flatMap(commandLines),
    ".SH EXIT STATUS",
    ".TP",
    ".B 0",
    "All is well.",
    ".TP",
    ".B 1",
    "It is not, or the command failed.",
    ".TP",
    ".B 2",
    "The words of the command are wrong.",
    ".PP",
    ...textLines("What is different for a command stands with it."),
    ".SH FILES",
    ".TP",
    ".B /run/flannel/subnet.env",
    ...textLines(
      "This host's subnet; beside it the agent keeps what it knows, and the socket loden.sock, at which root asks it.",
    ),
    ".TP",
    ".B /etc/kube\\-flannel/net\\-conf.json",
    "The network of the cluster.",
    ".SH SEE ALSO",
    ".BR ip (8),",
    ".BR bridge (8)",
  ].join("\n");
}

function commandLines({ name, summary, line, about, flags, agentFlags }: CommandEntry): string[] {
  return [
    `.SS ${roff(line)}`,
    ...about === "" ? textLines(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`) : aboutLines(about),
    ...flags.flatMap(flagLines),
    ...agentFlags.length === 0 ? [] : [".PP", ...textLines(`The flags of loden agent are understood, too.`)],
    ...name === "help"
      ? [".PP", ...textLines("With the name of a command: what that command prints for --help.")]
      : [],
  ];
}

/** Paragraphs are filled; what is indented stays as it is. */
function aboutLines(about: string): string[] {
  const lines: string[] = [];
  let filled: string[] = [];
  const end = () => {
    if (filled.length > 0) lines.push(...textLines(filled.join(" ")));
    filled = [];
  };
  for (const line of about.split("\n")) {
    const isAsItIs = line.startsWith(" ");
    if (!isAsItIs && line !== "") filled.push(line);
    else end();
    if (isAsItIs) lines.push(".nf", safe(roff(line)), ".fi");
    else if (line === "" && lines.at(-1) !== ".PP") lines.push(".PP");
  }
  end();
  return lines.join("\n").replaceAll("\n.fi\n.nf", "").replaceAll(".fi\n.PP\n.nf", ".sp").split("\n");
}

function flagLines(flag: CommandFlag): string[] {
  const { default: initial, bare, words } = flag;
  const usual = bare ?? (typeof initial === "boolean" || initial === undefined ? "" : String(initial));
  const notes = [
    ...words === undefined ? [] : [`one of ${words.join(", ")}`],
    ...usual === "" ? [] : [usual],
  ];
  return [
    ".TP",
    `.B ${roff(flagForm(flag))}`,
    ...textLines(notes.length === 0 ? flag.help : `${flag.help} (${notes.join("; ")})`),
  ];
}

/** Text for the page, in short lines, which it fills by itself. */
function textLines(text: string): string[] {
  const lines: string[] = [];
  for (const word of roff(text).split(/\s+/)) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length >= LINE_LENGTH) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.map(safe);
}

/** A line that is not taken for a request. */
function safe(line: string): string {
  return /^[.']/.test(line) ? `\\&${line}` : line;
}

/** Text with dashes that can be copied. */
function roff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll('"', "\\(dq");
}
