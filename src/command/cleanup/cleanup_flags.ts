import { DEFAULT_NETWORKS_DIR } from "../../leftovers/host_local.ts";
import { DEFAULT_RESULTS_DIR } from "../../leftovers/leftover_facts.ts";
import { DEFAULT_DATA_DIR } from "../../pods/settings.ts";
import { USUAL_NETWORK } from "../../pods/conflist.ts";
import { type Flag, type Flag as AgentFlag, FLAG_GROUPS } from "../../config/flag.ts";
import { FLAGS } from "../../config/flags.ts";
import { readFlags } from "../../config/parse_flags.ts";
import type { CommandUsage } from "../command.ts";
import { UsageError } from "../../config/usage_error.ts";

const group = FLAG_GROUPS[3];

/** The flags of `loden cleanup` that no agent has. */
const CLEANUP_FLAGS = [
  {
    name: "stale",
    kind: "boolean",
    group,
    default: false,
    help: "release what pods that have vanished have left",
  },
  {
    name: "node",
    kind: "boolean",
    group,
    default: false,
    help: "remove all of ours from a host that leaves the overlay",
  },
  { name: "dry-run", kind: "boolean", group, default: false, help: "only say what would be done" },
  {
    name: "data-dir",
    kind: "string",
    group,
    default: DEFAULT_DATA_DIR,
    isRequired: true,
    help: "the plugin's state",
  },
  {
    name: "networks-dir",
    kind: "string",
    group,
    default: DEFAULT_NETWORKS_DIR,
    isRequired: true,
    help: "host-local's reservations",
  },
  {
    name: "results-dir",
    kind: "string",
    group,
    default: DEFAULT_RESULTS_DIR,
    isRequired: true,
    help: "what the container runtime keeps",
  },
  {
    name: "cni-path",
    kind: "string",
    group,
    default: "",
    help: "folders of plugins, with colons; else CNI_PATH",
  },
  {
    name: "network",
    kind: "string",
    group,
    default: USUAL_NETWORK,
    help: "looked at beside those of the state files",
  },
] as const satisfies readonly Flag[];

/** How it is asked for, as far as completion and the man page tell it. */
export const CLEANUP_USAGE: CommandUsage = {
  line: "loden cleanup --stale|--node",
  about: [
    "Releases what pods that have vanished have left (--stale), or removes all of ours",
    "from a host that leaves the overlay (--node).",
  ].join("\n"),
  flags: CLEANUP_FLAGS,
  takesAgentFlags: true,
};

const STANDARD_CNI_PATH = "/opt/cni/bin:/usr/lib/cni";

/** What `loden cleanup` is asked to do. */
export interface CleanupOptions {
  readonly mode: "stale" | "node";
  readonly isDryRun: boolean;
  readonly dataDir: string;
  readonly networksDir: string;
  readonly resultsDir: string;
  /** The folders in which plugins are looked for, in order. */
  readonly pluginFolders: readonly string[];
  /** A network that is looked at beside those of the state files; absent for none. */
  readonly network: string | undefined;
  /** The other words: the agent's flags. */
  readonly agentArgs: readonly string[];
}

/**
 * Reads the arguments of `loden cleanup`; absent where they ask for help.
 *
 * @throws {UsageError} If a person must change them.
 */
export function readCleanupOptions(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): CleanupOptions | undefined {
  const { own, others } = splitArgs(args);
  if (others.some((word) => /^--?(help|h)$/.test(word))) return undefined;
  // Not from the environment: what a command deletes is said where it is called.
  const outcome = readFlags(own, {}, CLEANUP_FLAGS);
  if (outcome.kind !== "values") return undefined;
  const { values } = outcome.reading;
  const text = (name: string) => values.get(name) as string;
  const [isStale, isNode] = [values.get("stale"), values.get("node")];
  if (isStale === isNode) {
    throw new UsageError(
      isStale === true
        ? "Cannot do both at once: leave out --stale or --node"
        : "Cannot tell what to clean up: add --stale for what vanished pods have left, or --node for all of ours",
    );
  }
  if (isStale === true && others.length > 0) {
    throw new UsageError(`Cannot read ${JSON.stringify(others[0])}: --stale has no such flag`);
  }
  const path = text("cni-path") || environment.CNI_PATH || STANDARD_CNI_PATH;
  return {
    mode: isStale === true ? "stale" : "node",
    isDryRun: values.get("dry-run") as boolean,
    dataDir: text("data-dir"),
    networksDir: text("networks-dir"),
    resultsDir: text("results-dir"),
    pluginFolders: path.split(":").filter((folder) => folder !== ""),
    network: text("network") || undefined,
    agentArgs: others,
  };
}

/**
 * Tells our flags, with their values, from the agent's.
 *
 * @throws {UsageError} For a word that is neither.
 */
function splitArgs(args: readonly string[]): { own: string[]; others: string[] } {
  const own: string[] = [];
  const others: string[] = [];
  const words = [...args];
  const table: readonly AgentFlag[] = [...CLEANUP_FLAGS, ...FLAGS];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (!/^--?[^-]/.test(word)) {
      throw new UsageError(
        `Cannot read ${JSON.stringify(word)}: it is not a flag; see 'loden cleanup -help'`,
      );
    }
    const [, name, equals] = /^--?([^-=][^=]*)(=)?/.exec(word) ?? [];
    const flag = table.find((flag) => flag.name === name);
    const isOwn = (CLEANUP_FLAGS as readonly Flag[]).some((flag) => flag.name === name);
    const side = isOwn ? own : others;
    side.push(word);
    const takesNext = flag !== undefined && flag.kind !== "boolean" && equals === undefined;
    if (takesNext && words.length > 0) side.push(words.shift()!);
  }
  return { own, others };
}

/** What `loden cleanup -help` prints. */
export function cleanupHelp(): string {
  const line = (flag: Flag) => {
    const name = flag.kind === "boolean" ? `--${flag.name}` : `--${flag.name}=VALUE`;
    const initial = typeof flag.default === "string" && flag.default !== "" ? ` (${flag.default})` : "";
    return `  ${name.padEnd(22)} ${flag.help}${initial}`;
  };
  return [
    "Usage: loden cleanup --stale [FLAGS]",
    "       loden cleanup --node [FLAGS] [THE AGENT'S FLAGS]",
    "",
    ...CLEANUP_FLAGS.map(line),
    "",
    "With --node the registry and the files are those that the agent's flags and",
    "FLANNELD_* variables name.",
  ].join("\n");
}
