import { DEFAULT_NETWORKS_DIR } from "../../leftovers/host_local.ts";
import { DEFAULT_RESULTS_DIR } from "../../leftovers/leftover_facts.ts";
import type { CommandUsage } from "../command.ts";

/** What a flanneld that comes has its rules in. */
export const RULE_MODES = ["auto", "iptables", "iptables-legacy", "nftables"] as const;

/** How `loden hand-back` is asked for. */
export const HAND_BACK_USAGE: CommandUsage = {
  line: "loden hand-back",
  about: [
    "Turns what Loden has on this host into what flanneld and its plugin have, while",
    "packets flow: routes, rules, the conflist, the state of pods, subnet.env; and",
    "removes the rest. End the agent first, start flanneld then: docs/flannel.md.",
    "What is not given is as the last agent had it. Ends with 1 if something is left.",
  ].join("\n"),
  flags: [
    { name: "dry-run", kind: "boolean", default: false, help: "only say what would be done" },
    { name: "json", kind: "boolean", default: false, help: "print what is done as JSON" },
    {
      name: "stay",
      kind: "boolean",
      default: false,
      help: "wait for a signal then, as a pod of a DaemonSet does",
    },
    {
      name: "rules",
      kind: "string",
      value: "MODE",
      default: "auto",
      isRequired: true,
      help: "iptables, iptables-legacy or nftables",
    },
    {
      name: "networks-dir",
      kind: "string",
      value: "DIR",
      default: DEFAULT_NETWORKS_DIR,
      isRequired: true,
      help: "reservations of host-local",
    },
    {
      name: "results-dir",
      kind: "string",
      value: "DIR",
      default: DEFAULT_RESULTS_DIR,
      isRequired: true,
      help: "what the runtime keeps",
    },
  ],
  takesAgentFlags: true,
};
