import type { CommandFlag } from "../command.ts";
import type { CommandEntry } from "../command_table.ts";

/** A word of the script, in single quotes. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A text inside a specification of `_arguments` or `_describe`. */
function plain(text: string): string {
  return text.replaceAll(/[\\[\]:]/g, "\\$&");
}

function specOf({ name, kind, bare, value, words, help }: CommandFlag): string {
  const repeated = kind === "list" ? "*" : "";
  if (kind === "boolean") return `--${name}[${plain(help)}]`;
  const of = `${plain(value ?? "VALUE")}:${
    words === undefined ? isFile(value) ? "_files" : " " : `(${words.join(" ")})`
  }`;
  return `${repeated}--${name}=${bare === undefined ? "" : "-"}[${plain(help)}]:${
    bare === undefined ? "" : ":"
  }${of}`;
}

/** Whether a value is called as the path of a file is. */
function isFile(value: string | undefined): boolean {
  return value !== undefined && /^(?:FILE|PATH|FOLDER|DIR)/.test(value);
}

/** The script for zsh, to be sourced, or to be the file `_loden` of a folder of functions. */
export function zshScript(entries: readonly CommandEntry[]): string {
  const cases = entries.map(({ name, flags, agentFlags, words }) => {
    const specs = [
      ...[...flags, ...agentFlags].map(specOf),
      ...words.length === 0 ? ["*: :_files"] : [`*: :(${words.join(" ")})`],
    ];
    return [`    ${name})`, ...specs.map((spec) => `      specs+=(${quoted(spec)})`), "      ;;"].join("\n");
  });
  return [
    "#compdef loden",
    "# Completes the commands and flags of loden in zsh: source <(loden completion zsh)",
    "_loden() {",
    "  local -a commands specs",
    "  if (( CURRENT == 2 )); then",
    ...entries.map(({ name, summary }) => `    commands+=(${quoted(`${name}:${plain(summary)}`)})`),
    "    _describe -t commands command commands",
    "    return",
    "  fi",
    "  local command=$words[2]",
    "  shift words",
    "  (( CURRENT-- ))",
    "  case $command in",
    ...cases,
    "    *) return 1 ;;",
    "  esac",
    "  _arguments $specs",
    "}",
    'if [[ $funcstack[1] == _loden ]]; then _loden "$@"; else compdef _loden loden; fi',
  ].join("\n");
}
