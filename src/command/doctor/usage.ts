import type { CommandUsage } from "../command.ts";

/** What the command needs of the process that it runs in. */
export interface DoctorDeps {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly print: (line: string) => void;
}

/** How `loden doctor` is asked for. */
export const DOCTOR_USAGE: CommandUsage = {
  line: "loden doctor",
  about: `Looks at what the agent needs of this host and its registry, and changes
nothing: one line a check, with what to do. "?" is in doubt and may be meant
so, "-" was not looked at. Ends with 1 if something is wrong. Takes the
agent's flags and variables; what is not given is as the last agent had it.`,
  flags: [
    { name: "json", kind: "boolean", default: false, help: "print findings as JSON" },
    {
      name: "aws",
      kind: "boolean",
      default: false,
      help: "look at AWS alone, and print the smallest policy",
    },
  ],
  takesAgentFlags: true,
};
