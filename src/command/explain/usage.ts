import type { CommandUsage } from "../command.ts";

/** How `loden explain` is asked for. */
export const EXPLAIN_USAGE: CommandUsage = {
  line: "loden explain ADDRESS",
  about: [
    "Each link of the chain of a packet from a pod of this host to an address, and",
    "what is wrong with it: lease, rule, route, neighbour, FDB entry, MTU, packet",
    "filter, the way back. Asks the agent who holds the address, and the kernel for",
    "the rest; without an agent the kernel alone. Changes nothing. Needs root.",
    "",
    "Ends with 0 if nothing on this host stops the packet, 1 if something does.",
  ].join("\n"),
  flags: [
    {
      name: "from",
      kind: "string",
      value: "ADDRESS",
      help: "where it comes from: a pod's address, or this host's",
    },
    {
      name: "live",
      kind: "string",
      value: "DURATION",
      bare: "0s",
      help: "send packets, read why they are dropped; then listen",
    },
    { name: "json", kind: "boolean", default: false, help: "one JSON document, as docs/explain.md tells" },
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
