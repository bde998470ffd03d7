import type { CommandUsage } from "../command.ts";

/** How `loden plan` is asked for. */
export const PLAN_USAGE: CommandUsage = {
  line: "loden plan",
  about: [
    "Says what would change on this host now, an object a line: + it is added,",
    "- it goes, ~ it gets another value. Changes nothing. The agent is asked; if none",
    "runs, it is planned what one would do with the flags given here, or else with",
    "those of the last one. Ends with 0 if nothing is to be done, 2 if something is,",
    "and 1 if that is not known.",
  ].join("\n"),
  flags: [
    {
      name: "all",
      kind: "boolean",
      default: false,
      help: "list every change, not the first 100 of each stage",
    },
    { name: "json", kind: "boolean", default: false, help: "print JSON" },
  ],
  takesAgentFlags: true,
};
