import { NotedFlagsError, notedFlagsPath, notGiven, readNotedFlags } from "../agent/noted_flags.ts";
import { FLAGS } from "../config/flags.ts";
import { type Options, parseOptions } from "../config/options.ts";
import { type Environment, readFlags } from "../config/parse_flags.ts";
import { UsageError } from "../config/usage_error.ts";

/** The flags by which a registry is named. */
const REGISTRY_FLAGS = ["etcd-endpoints", "kube-subnet-mgr", "local-registry"];
/** What to say where none is. */
export const NAME_REGISTRY = "the agent's flags and variables, as -kube-subnet-mgr or -etcd-endpoints";

/** What is given to a command, before it is known what an agent of this host was started with. */
export interface GivenFlags {
  readonly args: readonly string[];
  readonly variables: Environment;
  /** The names of flags, and of those that are given as variables. */
  readonly names: ReadonlySet<string>;
  readonly subnetFilePath: string;
}

/** What an agent of this host is started with, as far as a command can know it. */
export interface AgentFlags {
  readonly options: Options;
  /** The names of all that were given, now or to the last agent. */
  readonly given: ReadonlySet<string>;
  readonly environment: Environment;
  /** Flags that the last agent had, that are secrets and that nobody has given: `-etcd-password`. */
  readonly leftOut: readonly string[];
  /** Why it is not known what the last agent had, a sentence; `undefined` where it is, or there was none. */
  readonly fault: NotedFlagsError | undefined;
}

/**
 * Reads what is given, part by part: it may only make sense with what is noted.
 *
 * @throws {UsageError} If a person must change the command line.
 */
export function readGivenFlags(
  command: string,
  args: readonly string[],
  variables: Environment,
): GivenFlags {
  const outcome = readFlags(args, variables, FLAGS);
  if (outcome.kind !== "values") {
    throw new UsageError(`Cannot run ${command}: the agent's flags ask for no agent`);
  }
  const { given, values } = outcome.reading;
  const subnetFilePath = values.get("subnet-file") as string;
  return { args, variables, names: new Set(given.keys()), subnetFilePath };
}

/** Whether a registry is named by what is given. */
export function namesRegistry({ names }: GivenFlags): boolean {
  return REGISTRY_FLAGS.some((name) => names.has(name));
}

/** What the last agent has noted, if it can be read. */
export function readNoted({ subnetFilePath }: GivenFlags): {
  readonly noted?: ReturnType<typeof readNotedFlags>;
  readonly fault?: NotedFlagsError;
} {
  try {
    return { noted: readNotedFlags(notedFlagsPath(subnetFilePath)) };
  } catch (error) {
    if (!(error instanceof NotedFlagsError)) throw error;
    return { fault: error };
  }
}

/**
 * The flags that are given, and those that the last agent has noted where none are.
 *
 * @throws {UsageError} If a person must change them.
 */
export function agentFlags(
  { args, variables, names }: GivenFlags,
  { noted, fault }: ReturnType<typeof readNoted>,
): AgentFlags {
  const environment = { ...noted?.environment, ...variables };
  const outcome = parseOptions([...notGiven(noted?.args ?? [], names), ...args], environment);
  if (outcome.kind !== "run") throw new UsageError("Cannot read the flags: they ask for no agent");
  const { options, given } = outcome;
  return {
    options,
    given: new Set(given.keys()),
    environment,
    leftOut: (noted?.leftOut ?? []).filter((flag) => !names.has(flag.slice(1))),
    fault,
  };
}
