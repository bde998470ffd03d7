import type { CommandUsage } from "../command.ts";

/** How `loden man` is asked for. */
export const MAN_USAGE: CommandUsage = {
  line: "loden man",
  about: [
    "Prints the manual page of all commands, for man(1):",
    "",
    "  loden man | man -l -",
    "  loden man > /usr/local/share/man/man8/loden.8",
  ].join("\n"),
  flags: [],
};
