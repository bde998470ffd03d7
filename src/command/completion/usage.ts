import type { CommandUsage } from "../command.ts";

/** How `loden completion` is asked for. */
export const COMPLETION_USAGE: CommandUsage = {
  line: "loden completion SHELL",
  about: [
    "Prints the script that completes commands, flags and their values in a shell:",
    "",
    "  bash  source <(loden completion bash)      in ~/.bashrc",
    "  zsh   source <(loden completion zsh)       in ~/.zshrc, behind compinit",
    "  fish  loden completion fish | source       in ~/.config/fish/config.fish",
  ].join("\n"),
  flags: [],
  words: ["bash", "zsh", "fish"],
};
