import type { CommandFlag } from "../command.ts";
import type { CommandEntry } from "../command_table.ts";

/** What is typed for a flag: one with a value ends with the sign that the value stands behind. */
function formsOf({ name, kind, bare }: CommandFlag): string[] {
  if (kind === "boolean") return [`--${name}`];
  return bare === undefined ? [`--${name}=`] : [`--${name}`, `--${name}=`];
}

/** The script for bash. All words in it are names of commands and flags, and values that they may have. */
export function bashScript(entries: readonly CommandEntry[]): string {
  const valueCases = entries.flatMap(({ name, flags, agentFlags }) =>
    [...flags, ...agentFlags].filter(({ words }) => words !== undefined)
      .map((flag) => `      "${name} --${flag.name}") words="${flag.words!.join(" ")}" ;;`)
  );
  const cases = entries.map(({ name, flags, agentFlags, words }) => {
    const forms = [...words, ...[...flags, ...agentFlags].flatMap(formsOf)];
    return `      "${name} ") words="${forms.join(" ")}" ;;`;
  });
  return [
    "# Completes the commands and flags of loden in bash: source <(loden completion bash)",
    "_loden() {",
    "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}",
    "  local command=${COMP_WORDS[1]} flag= words=",
    "  COMPREPLY=()",
    "  if (( COMP_CWORD == 1 )); then",
    `    words="${entries.map(({ name }) => name).join(" ")}"`,
    "  else",
    "    # Bash takes the equals sign for a word.",
    "    if [[ $current == '=' ]]; then flag=$previous current=",
    "    elif [[ $previous == '=' ]]; then flag=${COMP_WORDS[COMP_CWORD - 2]}; fi",
    "    [[ $flag == -[^-]* ]] && flag=-$flag",
    '    case "$command $flag" in',
    ...valueCases,
    ...cases,
    "    esac",
    "  fi",
    "  # Flags are understood with one dash, too.",
    "  [[ $current == -[^-]* ]] && words=${words//--/-}",
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    "  if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi",
    "  return 0",
    "}",
    "complete -o default -F _loden loden",
  ].join("\n");
}
