import { type Flag, FLAG_GROUPS } from "../config/flag.ts";
import { readFlags } from "../config/parse_flags.ts";
import { UsageError } from "../config/usage_error.ts";
import { AF_INET, AF_INET6, type Family } from "../model/address.ts";

/** As many hosts as a machine of ordinary size has memory for. */
const MAX_DEMO_HOSTS = 50;

const [group] = FLAG_GROUPS;

const FLAGS = [
  {
    name: "hosts",
    kind: "integer",
    group,
    default: 3,
    range: [1, MAX_DEMO_HOSTS],
    value: "N",
    help: "how many hosts to make",
    isNew: true,
  },
  {
    name: "routed",
    kind: "boolean",
    group,
    default: false,
    help: "each host in a segment of its own, a router between them",
    isNew: true,
  },
  { name: "ipv6", kind: "boolean", group, default: false, help: "IPv6 in place of IPv4", isNew: true },
  { name: "dual", kind: "boolean", group, default: false, help: "IPv4 and IPv6", isNew: true },
  {
    name: "keep",
    kind: "boolean",
    group,
    default: false,
    help: "leave the hosts running, to look around, until Ctrl-C",
    isNew: true,
  },
] as const satisfies readonly Flag[];

/** How the lab is asked for, as far as completion and the man page tell it. */
export const LAB_USAGE = {
  line: "loden lab",
  about: [
    "Makes several hosts on this machine, in network namespaces, with an agent and a pod",
    "on each, measures the overlay between the pods, and takes all of it away again.",
    "Needs root.",
  ].join("\n"),
  flags: FLAGS as readonly Flag[],
};

/** What the command line asks of the lab. */
export interface LabFlags {
  readonly hosts: number;
  readonly isRouted: boolean;
  readonly families: readonly Family[];
  /** Whether the hosts keep running until the lab is asked to end. */
  readonly isKept: boolean;
  /** Each one line to print. */
  readonly warnings: readonly string[];
}

/**
 * Reads the flags of `loden lab`; `undefined` where they ask for help.
 *
 * @throws {UsageError} If a flag is unknown or has a bad value.
 */
export function parseLabFlags(argv: readonly string[]): LabFlags | undefined {
  const outcome = readFlags(argv, {}, FLAGS);
  if (outcome.kind !== "values") return undefined;
  const { values, warnings } = outcome.reading;
  const isOn = (name: (typeof FLAGS)[number]["name"]) => values.get(name) === true;
  if (isOn("ipv6") && isOn("dual")) {
    throw new UsageError("Cannot use -ipv6 with -dual: the one is IPv6 alone, the other both families");
  }
  return {
    hosts: values.get("hosts") as number,
    isRouted: isOn("routed"),
    families: isOn("dual") ? [AF_INET, AF_INET6] : isOn("ipv6") ? [AF_INET6] : [AF_INET],
    isKept: isOn("keep"),
    warnings,
  };
}

/** What `loden lab -help` prints. */
export function labHelp(): string {
  const lines = FLAGS.map((flag: Flag) => {
    const name = flag.value === undefined ? `-${flag.name}` : `-${flag.name} ${flag.value}`;
    const standard = flag.kind === "integer" ? ` (${flag.default})` : "";
    return `  ${name.padEnd(10)} ${flag.help}${standard}`;
  });
  return [
    "Usage: loden lab [-FLAG[=VALUE]]...",
    "",
    "Makes several hosts on this machine, in network namespaces, with an agent and a",
    "pod on each, measures the overlay between the pods, and takes all of it away",
    "again. Needs root.",
    "",
    ...lines,
  ].join("\n");
}
