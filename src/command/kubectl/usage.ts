import type { CommandUsage } from "../command.ts";

/** How `loden kubectl` is asked for, or `kubectl loden`. */
export const KUBECTL_USAGE: CommandUsage = {
  line: "loden kubectl status [NODE]...",
  about: [
    "Prints one line a node of a cluster: whether its network is there and why not,",
    "its subnet, its agent. Called as kubectl-loden this is 'kubectl loden status'.",
    "With --peers all agents are asked, with NODE these, and each tells its peers;",
    "that needs agents whose health is served to the cluster (-healthz-ip).",
    "Ends with 0 if all that is told of is ready, 1 if not.",
  ].join("\n"),
  words: ["status"],
  flags: [
    {
      name: "peers",
      kind: "boolean",
      default: false,
      help: "ask each agent how it is",
    },
    { name: "all", kind: "boolean", default: false, help: "all nodes, however many" },
    { name: "json", kind: "boolean", default: false, help: "one JSON document, as docs/status.md tells" },
    {
      name: "context",
      kind: "string",
      default: "",
      value: "NAME",
      help: "else the current one",
    },
    {
      name: "kubeconfig",
      kind: "string",
      default: "",
      value: "FILE",
      help: "else KUBECONFIG, ~/.kube/config",
    },
    {
      name: "server",
      kind: "string",
      default: "",
      value: "URL",
      help: "as of kubectl proxy",
    },
    { name: "selector", kind: "string", default: "app=flannel", value: "LABELS", help: "of agents' pods" },
    {
      name: "annotation-prefix",
      kind: "string",
      default: "flannel.alpha.coreos.com",
      value: "PREFIX",
      help: "of nodes",
    },
  ],
};
