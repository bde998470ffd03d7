import type { CommandUsage } from "../command.ts";

/** How long `--wait` waits where it does not say. */
const USUAL_WAIT = "5m";

/** How `loden status` is asked for. */
export const STATUS_USAGE: CommandUsage = {
  line: "loden status",
  about: [
    "How this host is: ready or why not, its place in the overlay, what is to be",
    "known and done about it, and its peers. Asks the agent; where none answers,",
    "the kernel and what the last agent left beside the subnet file. Needs root.",
    "",
    "Ends with 0 if the host is ready, 1 if not, 2 for wrong words, 3 if no agent",
    "answers.",
  ].join("\n"),
  flags: [
    {
      name: "peers",
      kind: "boolean",
      default: false,
      help: "one line a peer, those that are not well first",
    },
    { name: "all", kind: "boolean", default: false, help: "all of them, however many" },
    {
      name: "wait",
      kind: "string",
      value: "DURATION",
      bare: USUAL_WAIT,
      help: "until it is ready; ends with 1 if it is not by then",
    },
    {
      name: "watch",
      kind: "boolean",
      default: false,
      help: "look every 2 s; without a terminal, what changes",
    },
    { name: "json", kind: "boolean", default: false, help: "one JSON document, as docs/status.md tells" },
    {
      name: "subnet-file",
      kind: "string",
      value: "FILE",
      default: "/run/flannel/subnet.env",
      isRequired: true,
      help: "the agent's",
    },
  ],
};
