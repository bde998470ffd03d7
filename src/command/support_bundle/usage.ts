import type { CommandUsage } from "../command.ts";

/** How `loden support-bundle` is asked for. */
export const SUPPORT_BUNDLE_USAGE: CommandUsage = {
  line: "loden support-bundle",
  about: `Collects what others need to find out what is wrong with this host, in one
.tar.gz that only its owner can read: versions, the agent's status and plan,
what the doctor finds, the kernel's links, routes, neighbours and rules,
settings, files and the end of the log. No passwords, tokens, keys or
variables. Takes less than 10 s, and names what could not be collected.
What flags of the agent are not given is as the last agent had it.`,
  flags: [
    {
      name: "output",
      kind: "string",
      default: "",
      value: "FILE",
      help: "a file that is not there yet; else a new one here",
    },
    { name: "json", kind: "boolean", default: false, help: "print what was collected as JSON" },
  ],
  takesAgentFlags: true,
};
